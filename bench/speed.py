"""The rows of the table: draining, queueing and starting, each as a ratio of medians.

The contenders of a row run in turn, so that other load of the machine hits all of them.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench.rivals import (
    Case,
    Figures,
    Outbox,
    OutboxBesideHoles,
    PostOffice,
    Rival,
    SmtplibLoop,
    TaskPerMessage,
)
from bench.world import OURS, ROOT, THEIRS, World, children_seconds, sink

Runs = dict[str, list[Figures]]
_MINIMAL = "bench.contenders.outbox_settings"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: how many times as good the outbox is."""

    title: str
    against: str
    measured: float
    target: float | None
    is_cost: bool = False  # at most the target, instead of at least

    def __str__(self) -> str:
        measured = f"{self.measured:,.2f} x"
        if self.target is None:
            return f"| {self.title} | {self.against} | {measured} | | |"
        is_met = (self.measured <= self.target) if self.is_cost else (self.measured >= self.target)
        bound = "at most " if self.is_cost else ""
        return (
            f"| {self.title} | {self.against} | {measured} "
            f"| {bound}{self.target:,} x | {'met' if is_met else '**missed**'} |"
        )


def drains(world: World, rounds: int, count: int) -> tuple[list[Row], Runs]:
    """Measure draining; return the rows, and the runs without a delay."""
    database = "SQLite" if world.postgres is None else "PostgreSQL"
    few = max(count // 4, 100)
    quick = Case(count)
    slow = Case(few, connections=10, delay_ms=20)
    chunks = replace(slow, chunking=True)
    wide = Case(count, connections=200, delay_ms=20)
    title = f"drain, no delay, {database}"
    if world.postgres is None:
        runs = _drain(world, rounds, title, quick, {Outbox: quick, PostOffice: quick})
        return [_row(title, "post_office, best", runs, "post_office", 1.2)], runs
    every = (Outbox, OutboxBesideHoles, PostOffice, TaskPerMessage, SmtplibLoop)
    first = _drain(world, rounds, title, quick, dict.fromkeys(every, quick))
    rows = [
        _row(title, "post_office, best", first, "post_office", 1.3),
        _row("drain, no delay", "one Celery task per message", first, "task per message", 12),
        _row("drain, no delay", "`smtplib`, one open connection", first, "smtplib", None),
    ]
    alone, beside = (_rate(first[name]) for name in ("outbox", OutboxBesideHoles.name))
    rows.append(
        Row("drain, no delay, beside two servers that never reply", "alone", beside / alone, 0.9)
    )
    for title, own, other, target in (
        ("drain, 20 ms, 10 connections", slow, slow, 2.0),
        ("drain, 20 ms, 10 connections, CHUNKING", chunks, chunks, 3.5),
        ("drain, 20 ms, 200 connections", wide, replace(wide, connections=400), 2.2),
    ):
        runs = _drain(world, rounds, title, own, {Outbox: own, PostOffice: other})
        against = f"post_office, {other.connections} connections"
        rows.append(_row(title, against, runs, "post_office", target))
    return rows, first


def _drain(
    world: World, rounds: int, title: str, case: Case, rivals: Mapping[type[Rival], Case]
) -> Runs:
    runs: Runs = {kind.name: [] for kind in rivals}
    with sink(world.scratch, delay_ms=case.delay_ms, chunking=case.chunking) as receiver:
        for _ in range(rounds):
            for kind, own in rivals.items():
                rival = kind(world, receiver.port, own.connections)
                runs[kind.name].append(rival.measure_draining(own))
    _show(title, runs)
    return runs


def queues(world: World, rounds: int, count: int) -> tuple[list[Row], Runs]:
    """Measure queueing one and a thousand per call."""
    database = "SQLite" if world.postgres is None else "PostgreSQL"
    few = max(count // 4, 100)
    ways: dict[str, Callable[[], Figures]] = {
        f"{kind.name}, {way}": _queueing(kind(world), way, number)
        for kind, way, number in (
            (Outbox, "one", few),
            (PostOffice, "one", few),
            (Outbox, "many", count),
            (PostOffice, "send_many", count),
            (Outbox, "loop", count),
        )
    }
    runs: Runs = {name: [] for name in ways}
    for _ in range(rounds):
        for name, measure in ways.items():
            runs[name].append(measure())
    _show(f"queue, {database}", runs)
    is_sqlite = world.postgres is None
    ours = {"outbox": runs["outbox, one"]} | runs
    rows = [
        _row(
            f"queue one per call, {database}",
            "post_office's backend",
            ours,
            "post_office, one",
            0.8 if is_sqlite else 1.0,
        )
    ]
    ours["outbox"] = runs["outbox, many"]
    title = f"queue 1,000 per call, {database}"
    target = 0.8 if is_sqlite else 0.9
    rows.append(_row(title, "post_office's send_many", ours, "post_office, send_many", target))
    if not is_sqlite:
        rows.append(_row(title, "a loop of `message().as_bytes()`", ours, "outbox, loop", 0.75))
    return rows, runs


def _queueing(rival: Rival, way: str, count: int) -> Callable[[], Figures]:
    return lambda: rival.measure_queueing(way, count)


def cpu_row(drained: Runs, queued: Runs) -> Row:
    """Return the row about the CPU of queueing and draining a message, with the database's."""
    ours, theirs = (
        _cost(drained[name]) + min(_cost(runs) for way, runs in queued.items() if way in ways)
        for name, ways in (
            ("outbox", ("outbox, one", "outbox, many")),
            ("post_office", ("post_office, one", "post_office, send_many")),
        )
    )
    title = "CPU of queueing and draining a message, with the database's"
    return Row(title, "post_office, best", ours / theirs, 1.0, is_cost=True)


def starts(world: World, rounds: int) -> list[Row]:
    """Measure the CPU of a command that finds an empty queue, the whole process."""
    deliver = ("outbox_deliver", "--until-empty")
    ways = {
        "outbox_deliver, in a project with nothing else": ("ours", _MINIMAL, deliver),
        "outbox_deliver, in the whole site": ("ours", OURS, deliver),
        "send_queued_mail": ("theirs", THEIRS, ("send_queued_mail",)),
    }
    runs: Runs = {name: [] for name in ways}
    for database in ("ours", "theirs"):
        world.fresh(database, f"{database}_empty")
    for number in range(rounds * 3 + 1):
        for name, (database, settings, command) in ways.items():
            figures = _start(world.environment(database, settings), command)
            if number:  # the first time, Python compiles its modules
                runs[name].append(figures)
    _show("start, empty queue", runs)
    minimal, whole, theirs = (statistics.median(one.cpu for one in each) for each in runs.values())
    title = "start-up of `outbox_deliver --until-empty`, CPU"
    return [
        Row(title, "send_queued_mail", minimal / theirs, 1.1, is_cost=True),
        Row(f"{title}, in the whole site", "send_queued_mail", whole / theirs, None),
    ]


def _start(environment: Mapping[str, str], command: tuple[str, ...]) -> Figures:
    cpu, began = children_seconds(), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "django", *command],
        env=dict(environment),
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Figures(1 / (time.monotonic() - began), children_seconds() - cpu, 0)


def _row(title: str, against: str, runs: Runs, other: str, target: float | None) -> Row:
    ours, theirs = _rate(runs["outbox"]), _rate(runs[other])
    return Row(
        f"{title}: {ours:,.0f} per second", f"{against}: {theirs:,.0f}", ours / theirs, target
    )


def _rate(runs: list[Figures]) -> float:
    return statistics.median(run.rate for run in runs)


def _cost(runs: list[Figures]) -> float:
    return statistics.median(run.cpu + run.database_cpu for run in runs)


def _show(title: str, runs: Runs) -> None:
    """Print the details of a row."""
    for name, figures in runs.items():
        cpu, database = (
            statistics.median(getattr(run, what) for run in figures) * 1000
            for what in ("cpu", "database_cpu")
        )
        each = " ".join(f"{run.rate:,.1f}" for run in figures)
        print(
            f"{title}: {name}: {each} per second, CPU {cpu:.2f} ms, database {database:.2f} ms",
            file=sys.stderr,
            flush=True,
        )

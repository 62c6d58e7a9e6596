"""`make bench`: the outbox beside its neighbours, in one run, interleaved, as ratios of medians.

    python -m bench [--rounds 3] [--count 10000] [--only drain|queue|claim|memory|wal]

Prints Markdown tables; absolute rates move with the machine, ratios are what to quote.
"""

import argparse
import json
import statistics
from collections.abc import Callable

from bench import claims, memory, wal
from bench.drains import (
    Case,
    Figures,
    outbox,
    outbox_beside_holes,
    post_office,
    settled_seconds,
    smtplib_loop,
    task_per_mail,
)
from bench.world import Contender, World, sink, world

Drain = Callable[[World, int, Case], Figures]
Costs = dict[str, float]  # CPU seconds a mail, by contender


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, help="messages; 10,000, for WAL 2,000")
    parser.add_argument("--only", choices=["drain", "queue", "claim", "memory", "wal"])
    parser.add_argument("--details", action="store_true", help="the kinds of WAL records, too")
    options = parser.parse_args()
    if options.only in (None, "wal"):
        with world(wal.OPTIONS) as servers:
            prepare(servers)
            wal.show(servers, options.count or 2_000, details=options.details)
    if options.only != "wal":
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure times and memory."""
    options.count = options.count or 10_000
    with world() as servers:
        prepare(servers)
        drained = queued = None
        if options.only in (None, "drain"):
            drained = drains(servers, options.rounds, options.count)
        if options.only in (None, "queue"):
            queued = queues(servers, options.rounds, options.count)
        if drained and queued:
            show_sum(drained, queued)
        if options.only in (None, "claim"):
            claims.show(servers)
        if options.only in (None, "memory"):
            memory.show(servers)


def prepare(servers: World) -> None:
    """Make the empty databases once; every run begins from a copy."""
    for database, settings, module, words in (
        ("ours_empty", "mailsite.settings", "outbox_queue", (1, 1, 0, "migrate")),
        (
            "theirs_empty",
            "bench.contenders.post_office_settings",
            "post_office",
            (1, 0, "migrate", 1),
        ),
        (
            "tasks_empty",
            "bench.contenders.task_per_mail_settings",
            "task_per_mail",
            (1, 0, "migrate"),
        ),
    ):
        servers.fresh(database)
        Contender(module, *words, environment=servers.environment(database, settings)).end()


def drains(servers: World, rounds: int, count: int) -> Costs:
    """Every case, every contender that it is for, in turn; return the CPU of the first case."""
    costs: Costs = {}
    few = max(count // 4, 500)
    cases: list[tuple[Case, dict[str, tuple[Drain, Case]]]] = []
    quick = Case(name="no delay, at most 50 connections", count=count, connections=50)
    slow = Case(name="20 ms, 10 connections, PIPELINING", count=few, connections=10, delay_ms=20)
    chunks = Case(
        name="20 ms, 10 connections, CHUNKING",
        count=few,
        connections=10,
        delay_ms=20,
        chunking=True,
    )
    wide = Case(
        name="20 ms, 100 connections, PIPELINING", count=count, connections=100, delay_ms=20
    )
    best = Case(name=wide.name, count=count, connections=400, delay_ms=20)
    cases = [
        (
            quick,
            {
                "outbox": (outbox, quick),
                "outbox beside two black holes": (outbox_beside_holes, quick),
                "post_office": (post_office, quick),
                "task a mail": (task_per_mail, quick),
                "smtplib": (smtplib_loop, quick),
            },
        ),
        (slow, {"outbox": (outbox, slow), "post_office": (post_office, slow)}),
        (chunks, {"outbox": (outbox, chunks), "post_office": (post_office, chunks)}),
        (wide, {"outbox": (outbox, wide), "post_office": (post_office, best)}),
    ]
    print("\n| drained a second | contender | median | outbox is | CPU ms a mail | + database |")
    print("|---|---|---|---|---|---|")
    for case, contenders in cases:
        with sink(servers.scratch, delay_ms=case.delay_ms, chunking=case.chunking) as receiver:
            runs: dict[str, list[Figures]] = {name: [] for name in contenders}
            for _ in range(rounds):
                for name, (drain, own) in contenders.items():
                    runs[name].append(drain(servers, receiver.port, own))
        show(case.name, runs)
        costs = costs or {
            name: statistics.median(run.cpu + run.database_cpu for run in figures)
            for name, figures in runs.items()
        }
    return costs


def show(title: str, runs: dict[str, list[Figures]]) -> None:
    """Print one case's rows."""
    ours = statistics.median(run.rate for run in runs["outbox"])
    for name, figures in runs.items():
        rate = statistics.median(run.rate for run in figures)
        cpu = statistics.median(run.cpu for run in figures) * 1000
        database = statistics.median(run.database_cpu for run in figures) * 1000
        ratio = "" if name == "outbox" else f"{ours / rate:.2f} x"
        print(
            f"| {title} | {name} | {rate:,.0f} | {ratio} | {cpu:.2f} | {database:.2f} |", flush=True
        )


def queues(servers: World, rounds: int, count: int) -> Costs:
    """Queueing one a call and a thousand a call; return the CPU of the cheaper of the two."""
    few = max(count // 4, 500)
    ours, theirs = "mailsite.settings", "bench.contenders.post_office_settings"
    ways = {
        "outbox, one a call": ("ours", ours, "outbox_queue", (1, 1, few, "one")),
        "post_office, one a call": ("theirs", theirs, "post_office", (1, few, "one", 1)),
        "outbox, 1,000 a call": ("ours", ours, "outbox_queue", (1, 1, count, "many")),
        "post_office, 1,000 a call": ("theirs", theirs, "post_office", (1, count, "many", 1)),
        "message().as_bytes() in a loop": ("ours", ours, "outbox_queue", (1, 1, count, "loop")),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    in_database: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (database, settings, module, words) in ways.items():
            servers.fresh(database, f"{database}_empty")
            before = servers.database_seconds()
            run = Contender(module, *words, environment=servers.environment(database, settings))
            run.wait_ready()
            run.go()
            figures = json.loads(run.end())
            number = few if "one" in words else count
            rates[name].append(number / figures["seconds"])
            cpus[name].append(figures["cpu"] / number)
            in_database[name].append((settled_seconds(servers) - before) / number)
    print("\n| queued a second | median | CPU ms a mail | + database |\n|---|---|---|---|")
    for name in ways:
        cpu, more = (statistics.median(each[name]) * 1000 for each in (cpus, in_database))
        print(f"| {name} | {statistics.median(rates[name]):,.0f} | {cpu:.2f} | {more:.2f} |")
    median = {name: statistics.median(values) for name, values in rates.items()}
    one = median["outbox, one a call"] / median["post_office, one a call"]
    many = median["outbox, 1,000 a call"] / median["message().as_bytes() in a loop"]
    print(f"\nOne a call against post_office: {one:.2f} x")
    print(f"1,000 a call against the loop: {many:.2f} x")
    costs = {
        name: statistics.median(cpus[name]) + statistics.median(in_database[name]) for name in ways
    }
    return {
        who: min(cost for name, cost in costs.items() if name.startswith(f"{who},"))
        for who in ("outbox", "post_office")
    }


def show_sum(drained: Costs, queued: Costs) -> None:
    """Print the CPU of a mail's whole way, each contender queueing in its cheaper manner."""
    ours, theirs = (drained[who] + queued[who] for who in ("outbox", "post_office"))
    print(
        f"\nCPU of queueing and draining a mail, with the database's: outbox {ours * 1000:.2f} ms, "
        f"post_office {theirs * 1000:.2f} ms: {ours / theirs:.2f} x"
    )


if __name__ == "__main__":
    main()

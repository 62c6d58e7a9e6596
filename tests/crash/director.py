"""The director: who dies when. It lays out the plan of points and does the kills from outside.

It knows no rule of the engine; it only sees to it that every kind of kill happens as often as the
scale says, while mail is under way.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from django.db import connection

from dev.processes import wait_until
from outbox.conf import get_conf
from tests.crash.load import patiently
from tests.crash.log import read_kills
from tests.crash.points import Point, WebPoint
from tests.crash.stage import Kept, Stage


class Deed(StrEnum):
    """A kill from outside."""

    WORKER = "worker with its child, at random"
    CHILD = "worker's child, at random"
    PARENT = "worker without its child, at random"
    STOPPING = "worker told to stop, then killed"
    FROZEN = "worker frozen beyond its lease"
    IMMEDIATE = "PostgreSQL stopped immediate"
    POSTMASTER = "PostgreSQL's first process killed"
    BACKEND = "a connection's PostgreSQL process killed"
    BOTH = "PostgreSQL stopped immediate, then a worker"
    REDIS = "Redis killed, comes back empty"
    EMPTIED = "Redis emptied"
    WEB_CHILD = "web worker, at random"
    WEB = "web, whole, at random"
    BEAT = "beat, at random"


# Deeds of one group happen one after the other, the groups side by side.
ON_WORKERS = (Deed.WORKER, Deed.CHILD, Deed.PARENT, Deed.STOPPING, Deed.FROZEN)
ON_THE_REST = tuple(deed for deed in Deed if deed not in ON_WORKERS)

# Points that a worker passes a few times in its life; the others come with every mail.
SELDOM = {
    Point.REGISTERED: 1,
    Point.SLOTS_TAKEN: 2,
    Point.CLAIMING: 4,
    Point.CLAIMED: 4,
    Point.CONNECTING: 3,
    Point.CONNECTED: 3,
    Point.RETURNING: 1,
    Point.FREEING: 1,
    Point.QUITTING: 2,
    Point.BEFORE_HEARTBEAT: 3,
    Point.HEARTBEAT: 3,
    Point.SWEEPING: 2,
    Point.SWEPT: 2,
    Point.RESENT: 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is done."""

    mails: int  # at least
    heap: int  # of them queued before anything dies
    rate: float  # a second, from then on
    visitors: int
    rounds: int  # kills at each point of a worker
    web_rounds: int  # kills at each point of Send
    deeds: dict[Deed, int]
    often: int  # a point of every mail is passed up to so often before it kills
    pause: float  # seconds between two deeds of a group, on average
    within: float  # seconds for all of it; what has not come about by then is told


FULL = Scale(
    mails=20_000,
    heap=2_000,
    rate=60,
    visitors=2,
    rounds=5,
    web_rounds=5,
    deeds={
        Deed.WORKER: 14,
        Deed.CHILD: 20,
        Deed.PARENT: 6,
        Deed.STOPPING: 6,
        Deed.FROZEN: 8,
        Deed.IMMEDIATE: 8,
        Deed.POSTMASTER: 4,
        Deed.BACKEND: 6,
        Deed.BOTH: 4,
        Deed.REDIS: 10,
        Deed.EMPTIED: 6,
        Deed.WEB_CHILD: 10,
        Deed.WEB: 4,
        Deed.BEAT: 4,
    },
    often=40,
    pause=1.0,
    within=1_800,
)
MEDIUM = replace(
    FULL,
    mails=6_000,
    heap=1_000,
    rounds=2,
    web_rounds=2,
    deeds={deed: max(2, count // 4) for deed, count in FULL.deeds.items()},
    within=900,
)
SHORT = Scale(
    mails=1_000,
    heap=200,
    rate=40,
    visitors=2,
    rounds=1,
    web_rounds=1,
    deeds=dict.fromkeys(Deed, 1),
    often=5,
    pause=0.3,
    within=150,
)
SCALES = {"short": SHORT, "medium": MEDIUM, "full": FULL}


@dataclass(slots=True)
class Director:
    """Carries the kills out."""

    stage: Stage
    scale: Scale
    chance: random.Random
    _defects: list[BaseException] = field(default_factory=list)

    def wait_for_traffic(self) -> None:
        """Wait until a worker talks to a receiver: before, there is nothing to break."""
        workers = self.stage.workers
        wait_until(lambda: any(map(self.stage.talks, workers)), within=90, what="a worker at work")

    def write_plans(self) -> None:
        """Lay out the entries that workers take as they are born, one round after the other."""
        self._write(list(Point), self.scale.rounds)
        self._write(list(WebPoint), self.scale.web_rounds)

    def _write(self, points: list[Point] | list[WebPoint], rounds: int) -> None:
        number = 0
        for _ in range(rounds):
            self.chance.shuffle(points)
            for point in points:
                number += 1
                most = SELDOM.get(point, self.scale.often) if isinstance(point, Point) else 3
                folder = self.stage.plan if isinstance(point, Point) else self.stage.web_plan
                (folder / f"{number:04}-{point.name}-{self.chance.randint(1, most)}").touch()

    def run(self, check: Callable[[], None]) -> list[str]:
        """Let everything happen; return the entries of the plan that never came about.

        `check` is called now and then, and ends it by raising.
        """
        deadline = time.monotonic() + self.scale.within
        groups = [
            threading.Thread(target=self._guarded, args=(group,), daemon=True)
            for group in (ON_WORKERS, ON_THE_REST)
        ]
        for group in groups:
            group.start()
        while any(group.is_alive() for group in groups) or self._pending():
            if self._defects:
                raise self._defects[0]
            if time.monotonic() > deadline:
                return self._pending() or ["the last of the kills from outside"]
            check()
            self._renew_entries()
            time.sleep(0.2)  # between two looks at the log of kills
        return []

    def _guarded(self, group: tuple[Deed, ...]) -> None:
        try:
            deeds = [deed for deed in group for _ in range(self.scale.deeds[deed])]
            self.chance.shuffle(deeds)
            for deed in deeds:
                time.sleep(self.chance.uniform(0, 2 * self.scale.pause))  # a random moment
                self._do(deed)
        except BaseException as error:  # noqa: BLE001  # raised by `run`
            self._defects.append(error)
        finally:
            connection.close()

    def _do(self, deed: Deed) -> None:
        stage = self.stage
        acts: dict[Deed, Callable[[], None]] = {
            Deed.WORKER: lambda: stage.kill_group(self._worker(), deed),
            Deed.CHILD: lambda: stage.kill_child(self._worker(), deed),
            Deed.STOPPING: lambda: self._kill_stopping(deed),
            Deed.PARENT: lambda: stage.kill_parent(self._worker(), deed),
            Deed.FROZEN: lambda: stage.freeze(self._worker(), deed, get_conf().lease_for + 1.5),
            Deed.IMMEDIATE: lambda: stage.crash_postgres(deed, signal.SIGQUIT, self._moment),
            Deed.POSTMASTER: lambda: stage.crash_postgres(deed, signal.SIGKILL, self._moment),
            Deed.BACKEND: lambda: self._kill_backend(deed),
            Deed.BOTH: lambda: self._crash_both(deed),
            Deed.REDIS: lambda: stage.crash_redis(deed),
            Deed.EMPTIED: lambda: stage.empty_redis(deed),
            Deed.WEB_CHILD: lambda: stage.kill_child(stage.web, deed),
            Deed.WEB: lambda: stage.kill_group(stage.web, deed),
            Deed.BEAT: lambda: stage.kill_group(stage.beat, deed),
        }
        acts[deed]()

    def _worker(self) -> Kept:
        """Wait for one that talks to a receiver: the death of an idle one proves nothing."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            busy = [worker for worker in self.stage.workers if self.stage.talks(worker)]
            if busy:
                return self.chance.choice(busy)
            time.sleep(0.02)  # between two looks at the connections
        return self.chance.choice(self.stage.workers)

    def _moment(self) -> None:
        time.sleep(self.chance.uniform(0, 1))  # kills come at random moments

    def _kill_stopping(self, deed: Deed) -> None:
        while not self.stage.kill_stopping(self._worker(), deed, self.chance.uniform(0, 0.4)):
            pass

    def _crash_both(self, deed: Deed) -> None:
        """A worker dies with outcomes in hand that it could not write down."""
        worker = self._worker()

        def meanwhile() -> None:
            time.sleep(self.chance.uniform(0.05, 0.5))  # a random moment of the crash
            self.stage.kill_group(worker, deed)

        self.stage.crash_postgres(deed, signal.SIGQUIT, meanwhile)

    def _kill_backend(self, deed: Deed) -> None:
        """PostgreSQL answers the death of one of its processes by ending all and recovering."""
        while not _is_held(pid := patiently(_some_backend)):
            time.sleep(0.05)  # its client was killed meanwhile
        self.stage.note_for_all(deed)
        os.kill(pid, signal.SIGKILL)

    # The plan

    def _pending(self) -> list[str]:
        """Entries that were not taken, or whose taker has not died of them."""
        done = {kill.entry for kill in read_kills(self.stage.log)}
        folders = (self.stage.plan, self.stage.web_plan)
        names = [path.name for folder in folders for path in folder.iterdir()]
        entries = [name.split("-", 2)[2] if name.startswith("taken") else name for name in names]
        return [entry for entry in entries if entry not in done]

    def _renew_entries(self) -> None:
        """Put back what somebody took who then died of something else."""
        done = {kill.entry for kill in read_kills(self.stage.log)}
        for folder in (self.stage.plan, self.stage.web_plan):
            for path in folder.glob("taken-*"):
                _, pid, entry = path.name.split("-", 2)
                if entry not in done and not _runs(int(pid)):
                    path.rename(folder / entry)


def _some_backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        )
        (pid,) = cursor.fetchone()
    return int(pid)


def _is_held(pid: int) -> bool:
    """Stop a process where it is, unless it is gone."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

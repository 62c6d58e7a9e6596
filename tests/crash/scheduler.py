"""When each process is killed: the plan of points, and the kills from outside.

It knows no rule of the engine. It ensures that every kind of kill happens as often as the scale
says, while messages are being delivered.
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
from tests.crash.cluster import Cluster, Supervised, is_running
from tests.crash.log import read_kills
from tests.crash.points import Point, WebPoint
from tests.crash.users import until_available


class ExternalKill(StrEnum):
    """A kill that the process does not do to itself."""

    WORKER = "worker with its child process, at random"
    CHILD = "worker's child process, at random"
    PARENT = "worker without its child process, at random"
    STOPPING = "worker asked to stop, then killed"
    FROZEN = "worker stopped for longer than its lease"
    IMMEDIATE = "PostgreSQL shut down immediately"
    POSTMASTER = "PostgreSQL's postmaster killed"
    BACKEND = "a PostgreSQL backend killed"
    BOTH = "PostgreSQL shut down immediately, then a worker"
    REDIS = "Redis killed and started empty"
    EMPTIED = "Redis emptied"
    WEB_CHILD = "web worker, at random"
    WEB = "web server with its workers, at random"
    BEAT = "beat, at random"


# Kills of one group happen one after another, the groups at the same time.
ON_WORKERS = (
    ExternalKill.WORKER,
    ExternalKill.CHILD,
    ExternalKill.PARENT,
    ExternalKill.STOPPING,
    ExternalKill.FROZEN,
)
ON_OTHER_PARTS = tuple(kind for kind in ExternalKill if kind not in ON_WORKERS)

# Points that a worker passes only a few times in its life; others are passed for every message.
PASSES_AT_MOST = {
    Point.REGISTERED: 1,
    Point.SLOTS_TAKEN: 2,
    Point.CLAIM_WRITTEN: 4,
    Point.CLAIM_COMMITTED: 4,
    Point.CONNECTING: 3,
    Point.CONNECTED: 3,
    Point.JOBS_RETURNED: 1,
    Point.SLOTS_RELEASED: 1,
    Point.BEFORE_QUIT: 2,
    Point.BEFORE_HEARTBEAT: 3,
    Point.HEARTBEAT: 3,
    Point.SWEEP_WRITTEN: 2,
    Point.SWEEP_COMMITTED: 2,
    Point.RESEND_COMMITTED: 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The size of a run."""

    messages: int  # at least
    initial: int  # of them, queued before the first kill
    rate: float  # messages per second from then on
    visitors: int
    rounds: int  # kills at each point of a worker
    web_rounds: int  # kills at each point of a web process
    kills: dict[ExternalKill, int]
    passes: int  # a point that every message passes kills at a pass up to this one
    pause: float  # seconds between two kills of a group, on average
    within: float  # seconds for all kills; those that have not happened by then are reported


FULL = Scale(
    messages=20_000,
    initial=2_000,
    rate=60,
    visitors=2,
    rounds=5,
    web_rounds=5,
    kills={
        ExternalKill.WORKER: 14,
        ExternalKill.CHILD: 20,
        ExternalKill.PARENT: 6,
        ExternalKill.STOPPING: 6,
        ExternalKill.FROZEN: 8,
        ExternalKill.IMMEDIATE: 8,
        ExternalKill.POSTMASTER: 4,
        ExternalKill.BACKEND: 6,
        ExternalKill.BOTH: 4,
        ExternalKill.REDIS: 10,
        ExternalKill.EMPTIED: 6,
        ExternalKill.WEB_CHILD: 10,
        ExternalKill.WEB: 4,
        ExternalKill.BEAT: 4,
    },
    passes=40,
    pause=1.0,
    within=1_800,
)
MEDIUM = replace(
    FULL,
    messages=6_000,
    initial=1_000,
    rounds=2,
    web_rounds=2,
    kills={kind: max(2, count // 4) for kind, count in FULL.kills.items()},
    within=900,
)
SHORT = Scale(
    messages=1_000,
    initial=200,
    rate=40,
    visitors=2,
    rounds=1,
    web_rounds=1,
    kills=dict.fromkeys(ExternalKill, 1),
    passes=5,
    pause=0.3,
    within=300,  # a quiet machine needs a tenth of it
)
SCALES = {"short": SHORT, "medium": MEDIUM, "full": FULL}


@dataclass(slots=True)
class KillScheduler:
    """Carry out every kill of one run."""

    cluster: Cluster
    scale: Scale
    chance: random.Random
    _defects: list[BaseException] = field(default_factory=list)

    def wait_for_traffic(self) -> None:
        """Wait until a worker has a connection to a sink: before that, nothing can break."""
        workers = self.cluster.workers
        wait_until(
            lambda: any(map(self.cluster.has_connection, workers)),
            within=90,
            what="a worker at work",
        )

    def write_plans(self) -> None:
        """Write the entries that processes take when they start, one round after another."""
        self._write(list(Point), self.scale.rounds)
        self._write(list(WebPoint), self.scale.web_rounds)

    def _write(self, points: list[Point] | list[WebPoint], rounds: int) -> None:
        number = 0
        for _ in range(rounds):
            self.chance.shuffle(points)
            for point in points:
                number += 1
                most = (
                    PASSES_AT_MOST.get(point, self.scale.passes) if isinstance(point, Point) else 3
                )
                folder = self.cluster.plan if isinstance(point, Point) else self.cluster.web_plan
                (folder / f"{number:04}-{point.name}-{self.chance.randint(1, most)}").touch()

    def run(self, check: Callable[[], None]) -> list[str]:
        """Carry out all kills; return the entries of the plan that never happened.

        `check` is called repeatedly and ends the run by raising.
        """
        deadline = time.monotonic() + self.scale.within
        groups = [
            threading.Thread(target=self._guarded, args=(group,), daemon=True)
            for group in (ON_WORKERS, ON_OTHER_PARTS)
        ]
        for group in groups:
            group.start()
        while any(group.is_alive() for group in groups) or self._pending():
            if self._defects:
                raise self._defects[0]
            if time.monotonic() > deadline:
                return self._pending() or ["the last of the external kills"]
            check()
            self._renew_entries()
            time.sleep(0.2)  # between two reads of the log
        return []

    def _guarded(self, group: tuple[ExternalKill, ...]) -> None:
        try:
            kills = [kind for kind in group for _ in range(self.scale.kills[kind])]
            self.chance.shuffle(kills)
            for kind in kills:
                time.sleep(self.chance.uniform(0, 2 * self.scale.pause))  # a random moment
                self._kill(kind)
        except BaseException as error:  # noqa: BLE001  # raised by `run`
            self._defects.append(error)
        finally:
            connection.close()

    def _kill(self, kind: ExternalKill) -> None:
        cluster = self.cluster
        kills: dict[ExternalKill, Callable[[], None]] = {
            ExternalKill.WORKER: lambda: cluster.kill_with_children(self._worker(), kind),
            ExternalKill.CHILD: lambda: cluster.kill_child(self._worker(), kind),
            ExternalKill.STOPPING: lambda: self._kill_stopping(kind),
            ExternalKill.PARENT: lambda: cluster.kill_parent(self._worker(), kind),
            ExternalKill.FROZEN: lambda: cluster.freeze(
                self._worker(), kind, get_conf().lease_duration + 1.5
            ),
            ExternalKill.IMMEDIATE: lambda: cluster.crash_postgres(
                kind, signal.SIGQUIT, self._moment
            ),
            ExternalKill.POSTMASTER: lambda: cluster.crash_postgres(
                kind, signal.SIGKILL, self._moment
            ),
            ExternalKill.BACKEND: lambda: self._kill_backend(kind),
            ExternalKill.BOTH: lambda: self._crash_both(kind),
            ExternalKill.REDIS: lambda: cluster.crash_redis(kind),
            ExternalKill.EMPTIED: lambda: cluster.empty_redis(kind),
            ExternalKill.WEB_CHILD: lambda: cluster.kill_child(cluster.web, kind),
            ExternalKill.WEB: lambda: cluster.kill_with_children(cluster.web, kind),
            ExternalKill.BEAT: lambda: cluster.kill_with_children(cluster.beat, kind),
        }
        kills[kind]()

    def _worker(self) -> Supervised:
        """Wait for a worker that has a connection: the kill of an idle one proves nothing."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            busy = [
                worker for worker in self.cluster.workers if self.cluster.has_connection(worker)
            ]
            if busy:
                return self.chance.choice(busy)
            time.sleep(0.02)  # between two reads of the connections
        return self.chance.choice(self.cluster.workers)

    def _moment(self) -> None:
        time.sleep(self.chance.uniform(0, 1))  # kills come at random moments

    def _kill_stopping(self, kind: ExternalKill) -> None:
        while not self.cluster.kill_stopping(self._worker(), kind, self.chance.uniform(0, 0.4)):
            pass

    def _crash_both(self, kind: ExternalKill) -> None:
        """Kill a worker while it has outcomes that it cannot write."""
        worker = self._worker()

        def kill_worker() -> None:
            time.sleep(self.chance.uniform(0.05, 0.5))  # a random moment of the crash
            self.cluster.kill_with_children(worker, kind)

        self.cluster.crash_postgres(kind, signal.SIGQUIT, kill_worker)

    def _kill_backend(self, kind: ExternalKill) -> None:
        """Kill one backend: PostgreSQL then ends all others and recovers."""
        while not _stop(pid := until_available(_some_backend)):
            time.sleep(0.05)  # its client was killed in between
        self.cluster.log_for_all_workers(kind)
        os.kill(pid, signal.SIGKILL)

    # The plan

    def _pending(self) -> list[str]:
        """Return the entries that were not taken, or whose process has not been killed by them."""
        done = {kill.entry for kill in read_kills(self.cluster.log)}
        folders = (self.cluster.plan, self.cluster.web_plan)
        names = [path.name for folder in folders for path in folder.iterdir()]
        entries = [name.split("-", 2)[2] if name.startswith("taken") else name for name in names]
        return [entry for entry in entries if entry not in done]

    def _renew_entries(self) -> None:
        """Restore the entries of processes that were killed by something else."""
        done = {kill.entry for kill in read_kills(self.cluster.log)}
        for folder in (self.cluster.plan, self.cluster.web_plan):
            for path in folder.glob("taken-*"):
                _, pid, entry = path.name.split("-", 2)
                if entry not in done and not is_running(int(pid)):
                    path.rename(folder / entry)


def _some_backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        )
        (pid,) = cursor.fetchone()
    return int(pid)


def _stop(pid: int) -> bool:
    """Send SIGSTOP to a process; return whether it still exists."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    return True

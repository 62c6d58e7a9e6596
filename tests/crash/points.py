"""The points at which a worker or a web process can be killed.

A process that is to be killed watches its own seams: the statements and commits that psycopg sends
to PostgreSQL, the bytes that asyncio passes to and from an SMTP server, the public methods of
`smtp.Connection`, and Celery's signal of a published task. So a point is where PostgreSQL or the
server really is at that moment, whatever code led there. Linux and macOS only: SIGKILL.
"""

import os
import signal
import threading
from enum import StrEnum
from pathlib import Path

from tests.crash.log import log_kill, open_connections, wait_until_stopped


class Point(StrEnum):
    """A point in the work of a worker, in the order in which a message passes them."""

    REGISTERED = "worker registered"
    CLAIM_WRITTEN = "claim written, not committed"
    CLAIM_COMMITTED = "claim committed"
    SLOTS_TAKEN = "connection slot taken"
    CONNECTING = "before connecting"
    CONNECTED = "SMTP session open, not yet recorded"
    BEFORE_ENVELOPE = "before the envelope"
    ENVELOPE_SENT = "envelope sent"
    MARK_WRITTEN = "mark before the final dot written, not committed"
    MARK_COMMITTED = "mark before the final dot committed"
    HALF_BODY_SENT = "half of the body sent"
    BEFORE_DOT = "before the final dot"
    DOT_SENT = "final dot sent"
    REPLY_RECEIVED = "final reply received"
    OUTCOME_PENDING = "outcome not yet written"
    OUTCOME_WRITTEN = "outcome written, not committed"
    OUTCOME_COMMITTED = "outcome committed"
    JOBS_RETURNED = "return of unstarted jobs written, not committed"
    SLOTS_RELEASED = "release of connection slots written, not committed"
    BEFORE_QUIT = "before QUIT"
    BEFORE_HEARTBEAT = "before a heartbeat"
    HEARTBEAT = "after a heartbeat"
    SWEEP_WRITTEN = "sweep of a dead worker's attempt written, not committed"
    SWEEP_COMMITTED = "sweep of a dead worker's attempt committed"
    RESEND_COMMITTED = "resend of an uncertain recipient committed"


class WebPoint(StrEnum):
    """A point in a request that sends a message."""

    DRAFT_COMMITTED = "draft saved, not yet sent"
    QUEUE_WRITTEN = "message queued, not committed"
    QUEUE_COMMITTED = "message queued and committed, no wake-up published"
    WAKE_UP_PUBLISHED = "wake-up published, no response returned"


class KillSwitch:
    """Kills this process when it passes one point for the n-th time; the plan says which."""

    def __init__(self, plan: Path, log: Path) -> None:
        self._plan = plan
        self._log = log
        self._entry = ""
        self._point = ""
        self._passes_left = 0
        self._takes_entries = False
        self._lock = threading.Lock()

    def arm(self) -> None:
        """Claim an entry of the plan now, or, if it has none, as soon as it has one."""
        self._takes_entries = True
        self._claim_entry()

    def _claim_entry(self) -> None:
        """Claim the next entry of the plan by renaming it: a file "number-point-passes"."""
        with self._lock:
            if not self._point:
                self._rename_entry()

    def _rename_entry(self) -> None:
        for path in sorted(self._plan.glob("[0-9]*")):
            try:
                path.rename(path.with_name(f"taken-{os.getpid()}-{path.name}"))
            except FileNotFoundError:  # another process was quicker
                continue
            self._entry = path.name
            _, self._point, passes = path.name.split("-")
            self._passes_left = int(passes)
            return

    def kills_at(self, point: StrEnum) -> bool:
        """Return whether the next pass of this point is the last."""
        return point.name == self._point and self._passes_left <= 1

    def reach(self, point: StrEnum) -> None:
        """Count a pass of a point; kill the process at the last one.

        A process without an entry looks for one here: the entry of a process that was killed by
        something else may return to the plan after all others have started.
        """
        if self._takes_entries and not self._point:
            self._claim_entry()
        if point.name != self._point:
            return
        if self.kills_at(point):
            self._kill(os.getpid(), point)
        self._passes_left -= 1

    def _kill(self, pid: int, point: StrEnum) -> None:
        """Kill this process from a child of it, and never return.

        The child stops it first: its other threads would open and close connections while they are
        being counted.
        """
        if os.fork():
            threading.Event().wait()
        os.kill(pid, signal.SIGSTOP)
        wait_until_stopped(pid)
        connections = open_connections(pid)
        log_kill(
            self._log, kind=point.value, pids=[pid], connections=connections, entry=self._entry
        )
        os.kill(pid, signal.SIGKILL)
        os._exit(0)

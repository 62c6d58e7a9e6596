"""Where a process can be killed between claim, dot and record, and how it is made to die there.

The steps of the engine and of Send are wrapped in the process that was started to be killed;
nothing of this is known to the code it wraps. Linux and macOS only: it kills itself with SIGKILL.
"""

import functools
import inspect
import os
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from outbox import api, bell, smtp
from outbox.delivery import claim, converse, lease, record, recorder, route, sweep
from outbox.delivery.unit import Result, Unit
from outbox.smtp import connection, protocol, wire
from tests.crash.log import note_kill, open_connections


class Point(StrEnum):
    """A place in the life of a worker or of a request, in the order of a mail's own life."""

    REGISTERED = "worker registered"
    SLOTS_TAKEN = "connection slot taken"
    CLAIMING = "claim written, not committed"
    CLAIMED = "claim committed"
    CONNECTING = "before connecting"
    CONNECTED = "connected, not yet noted"
    BEFORE_ENVELOPE = "before the envelope"
    ENVELOPE = "envelope written"
    MARKING = "dot's mark written, not committed"
    MARKED = "dot's mark committed"
    HALF_BODY = "half of the body written"
    BEFORE_DOT = "just before the dot"
    DOT = "just behind the dot"
    REPLY = "reply received"
    OUTCOME_WAITS = "outcome waits for its commit"
    RECORDING = "outcome written, not committed"
    RECORDED = "outcome committed"
    RETURNING = "return of unstarted jobs, not committed"
    FREEING = "release of slots, not committed"
    QUITTING = "before QUIT"
    BEFORE_HEARTBEAT = "before a heartbeat"
    HEARTBEAT = "behind a heartbeat"
    SWEEPING = "sweep of a dead worker's mail, not committed"
    SWEPT = "sweep of a dead worker's mail committed"
    RESENT = "resend by policy committed"


class WebPoint(StrEnum):
    """A place inside Send."""

    SAVED = "draft saved, not yet sent"
    QUEUEING = "mail queued, not committed"
    QUEUED = "mail queued and committed, bell not rung"
    RUNG = "bell rung, not yet answered"


class Fuse:
    """Kills this process at the n-th pass of one point; the plan says which."""

    def __init__(self, plan: Path, log: Path) -> None:
        self._plan = plan
        self._log = log
        self._entry = ""
        self._point = ""
        self._left = 0

    def arm(self) -> None:
        """Take the next entry of the plan: a file "number-point-passes", renamed by its taker."""
        for path in sorted(self._plan.glob("[0-9]*")):
            try:
                path.rename(path.with_name(f"taken-{os.getpid()}-{path.name}"))
            except FileNotFoundError:  # somebody else was quicker
                continue
            self._entry = path.name
            _, self._point, passes = path.name.split("-")
            self._left = int(passes)
            return

    def reach(self, point: StrEnum) -> None:
        """Die here when it is this point's turn."""
        if point.name != self._point:
            return
        self._left -= 1
        if self._left <= 0:
            self._blow(point)

    def _blow(self, point: StrEnum) -> None:
        note_kill(
            self._log,
            kind=point.value,
            pids=[os.getpid()],
            connections=open_connections(os.getpid()),
            entry=self._entry,
        )
        os.kill(os.getpid(), signal.SIGKILL)


def wrap(
    owner: Any,
    name: str,
    *,
    before: Callable[..., object] | None = None,
    after: Callable[[Any], object] | None = None,
) -> None:
    """Look in before a step with its arguments, and behind it with what it returned."""
    found = inspect.getattr_static(owner, name)
    step = found.__func__ if isinstance(found, classmethod) else found

    @functools.wraps(step)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if before:
            before(*args, **kwargs)
        result = step(*args, **kwargs)
        if after:
            after(result)
        return result

    @functools.wraps(step)
    async def watched_async(*args: Any, **kwargs: Any) -> Any:
        if before:
            before(*args, **kwargs)
        result = await step(*args, **kwargs)
        if after:
            after(result)
        return result

    wrapper: Any = watched_async if inspect.iscoroutinefunction(step) else watched
    setattr(owner, name, classmethod(wrapper) if isinstance(found, classmethod) else wrapper)


def wrap_worker(fuse: Fuse) -> None:
    """Put every point of a worker within the fuse's reach."""

    def at(point: Point) -> Callable[..., object]:
        return lambda *args, **kwargs: fuse.reach(point)

    def if_any(point: Point) -> Callable[[Any], object]:
        return lambda result: fuse.reach(point) if result else None

    wrap(lease, "register", after=at(Point.REGISTERED))
    wrap(route, "take_slots", after=if_any(Point.SLOTS_TAKEN))
    wrap(claim, "_open_attempts", after=at(Point.CLAIMING))
    wrap(claim, "claim", after=if_any(Point.CLAIMED))
    wrap(smtp.Session, "open", before=at(Point.CONNECTING), after=at(Point.CONNECTED))
    wrap(recorder.Recorder, "mark", after=if_any(Point.MARKED))
    wrap(connection.Session, "_consent", after=at(Point.BEFORE_DOT))
    wrap(converse, "converse", before=at(Point.BEFORE_ENVELOPE), after=at(Point.REPLY))
    wrap(record, "_drop_attempts", after=if_any(Point.RETURNING))
    wrap(route, "free_slots", after=at(Point.FREEING))
    wrap(smtp.Session, "quit", before=at(Point.QUITTING))
    wrap(lease, "renew", before=at(Point.BEFORE_HEARTBEAT), after=at(Point.HEARTBEAT))
    wrap(sweep, "_tell", after=at(Point.SWEEPING))
    wrap(sweep, "_close_orphan", after=if_any(Point.SWEPT))
    wrap(sweep, "resend_uncertain", after=if_any(Point.RESENT))
    _wrap_wire(fuse)
    _wrap_recording(fuse)


def _wrap_wire(fuse: Fuse) -> None:
    """The points between two writes: what was written up to there leaves, the rest never does."""
    flush, hold, answers = wire.Wire.flush, wire.Wire.hold, wire.Wire.answers

    def watched_flush(self: wire.Wire) -> None:
        has_envelope = any(b"MAIL FROM:" in held[:64] for held in self._held)
        flush(self)
        if has_envelope:
            fuse.reach(Point.ENVELOPE)

    def watched_hold(self: wire.Wire, data: bytes) -> None:
        if fuse._point == Point.HALF_BODY.name:
            hold(self, data[: len(data) // 2])
            flush(self)
            fuse.reach(Point.HALF_BODY)
            hold(self, data[len(data) // 2 :])
        else:
            hold(self, data)

    async def watched_answers(self: wire.Wire) -> None:
        if self.protocol.state is protocol.State.ENDED:
            self.flush()
            fuse.reach(Point.DOT)
        await answers(self)

    wire.Wire.flush = watched_flush  # type: ignore[method-assign]  # that is the point
    wire.Wire.hold = watched_hold  # type: ignore[method-assign]  # likewise
    wire.Wire.answers = watched_answers  # type: ignore[method-assign]  # likewise


def _wrap_recording(fuse: Fuse) -> None:
    """The points around a group commit, where the group holds what they are about."""

    def with_results(units: Any) -> bool:
        return any(isinstance(unit, Result) for unit in units)

    write, write_ends, write_marks = record.write, record._write_ends, record._write_marks
    put = recorder.Recorder.put

    def watched_write(units: Any, using: str) -> None:
        write(units, using)
        if with_results(units):
            fuse.reach(Point.RECORDED)

    def watched_ends(results: Any, returned: Any, now: Any, using: str) -> None:
        write_ends(results, returned, now, using)
        if results:
            fuse.reach(Point.RECORDING)

    def watched_marks(marks: Any, now: Any, using: str) -> None:
        write_marks(marks, now, using)
        if marks:
            fuse.reach(Point.MARKING)

    def watched_put(self: recorder.Recorder, unit: Unit) -> None:
        put(self, unit)
        if isinstance(unit, Result):
            fuse.reach(Point.OUTCOME_WAITS)

    record.write = watched_write
    record._write_ends = watched_ends
    record._write_marks = watched_marks
    recorder.Recorder.put = watched_put  # type: ignore[method-assign]  # likewise


def wrap_web(fuse: Fuse) -> None:
    """Put every point of Send within the fuse's reach."""

    def at(point: WebPoint) -> Callable[..., object]:
        return lambda *args, **kwargs: fuse.reach(point)

    wrap(api, "save_draft", after=at(WebPoint.SAVED))
    wrap(bell, "ring", after=at(WebPoint.QUEUEING))
    wrap(bell, "_publish", before=at(WebPoint.QUEUED), after=at(WebPoint.RUNG))

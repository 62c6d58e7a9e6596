"""The evidence of a run: what users were promised, what the database says, what the sinks accepted.

It is read once, after the last delivery. Nothing here judges.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outbox.models import Attempt, Message, Outcome, Recipient, Worker
from tests.crash.log import Kill
from tests.crash.users import Promises

FOR_EVER = float("inf")
Copies = Mapping[tuple[str, str], Sequence["Copy"]]  # (Message-ID, recipient) → oldest first


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a message that a sink accepted for one recipient."""

    at: float
    way: str  # "ok", or how the sink withheld its reply


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt, times as seconds since 1970."""

    pk: int
    message_pk: int
    worker_pk: int | None
    began: float
    ended: float
    outcome: str
    has_traceback: bool

    @property
    def is_uncertain(self) -> bool:
        """Whether it was recorded as uncertain, whatever was decided later."""
        return self.outcome == Outcome.UNCERTAIN


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """The row of one worker; a process that lost its lease registers another."""

    pk: int
    pid: int
    began: float
    last_heartbeat: float
    lease_until: float
    ended: float

    def held_at(self, moment: float) -> bool:
        """Return whether the worker held its lease at a moment."""
        return self.began <= moment < min(self.lease_until, self.ended)


def read_copies(ledgers: Iterable[Path]) -> Copies:
    """Return every accepted copy."""
    copies: dict[tuple[str, str], list[Copy]] = defaultdict(list)
    for ledger in ledgers:
        for text in ledger.read_bytes().splitlines():
            line = json.loads(text)
            for recipient in line["recipients"]:
                copies[line["message_id"], recipient].append(Copy(line["at"], line["way"]))
    for accepted in copies.values():
        accepted.sort(key=lambda copy: copy.at)
    return dict(copies)


class Evidence:
    """The evidence by message and by kill."""

    def __init__(self, kills: Sequence[Kill], copies: Copies, promises: Promises) -> None:
        self.kills = kills
        self.copies = copies
        self.promises = promises
        self.messages = {row.pk: row for row in Message.objects.select_related("account")}
        self.recipients: dict[int, list[Recipient]] = defaultdict(list)
        for recipient in Recipient.objects.all():
            self.recipients[recipient.message_id].append(recipient)
        self.attempts: dict[int, list[AttemptRecord]] = defaultdict(list)
        for attempt in _attempts():
            self.attempts[attempt.message_pk].append(attempt)
        self.workers = {worker.pk: worker for worker in _workers()}
        self._killer = self._killers()

    def _killers(self) -> dict[int, Kill]:
        """Return, for each worker, the kill that ended it while it held its lease."""
        found: dict[int, Kill] = {}
        for kill in self.kills:
            for worker in self.workers.values():
                if worker.pid in kill.pids and worker.held_at(kill.at):
                    found.setdefault(worker.pk, kill)
        return found

    def killer(self, attempt: AttemptRecord) -> Kill | None:
        """Return the kill of the worker that made an attempt."""
        return self._killer.get(attempt.worker_pk) if attempt.worker_pk else None

    def outage(self, attempt: AttemptRecord) -> Kill | None:
        """Return the first crash of the database after the last heartbeat of an attempt's worker.

        A worker that cannot renew its lease loses it, and its claims, without being killed.
        """
        worker = self.workers.get(attempt.worker_pk or 0)
        if worker is None:
            return None
        crashes = (kill for kill in self.kills if not kill.pids and "PostgreSQL" in kill.kind)
        return next((k for k in crashes if worker.last_heartbeat <= k.at <= attempt.ended), None)

    def had_lease_lapsed(self, attempt: AttemptRecord) -> bool:
        """Return whether its worker's lease was over when the attempt ended.

        On a busy machine a worker may be too late with its heartbeat, without any kill.
        """
        worker = self.workers.get(attempt.worker_pk or 0)
        return worker is not None and worker.lease_until <= attempt.ended

    def accepted(self, recipient: Recipient) -> Sequence[Copy]:
        """Return the copies that a sink accepted for a recipient."""
        message = self.messages[recipient.message_id]
        return self.copies.get((message.message_id, recipient.address), ())

    def marks_before(self, message_pk: int, moment: float) -> int:
        """Count the attempts of a message that were recorded as uncertain before a moment."""
        return sum(one.is_uncertain and one.ended <= moment for one in self.attempts[message_pk])

    def had_reply_withheld(self, attempt: AttemptRecord) -> bool:
        """Return whether a sink accepted the message and, on purpose, did not reply."""
        return any(
            copy.way != "ok" and attempt.began <= copy.at <= attempt.ended
            for recipient in self.recipients[attempt.message_pk]
            for copy in self.accepted(recipient)
        )

    def under_way(self, kill: Kill) -> list[AttemptRecord]:
        """Return the attempts that a kill interrupted, of all workers if they share its victim."""
        return [
            attempt
            for attempts in self.attempts.values()
            for attempt in attempts
            if attempt.began <= kill.at < attempt.ended
            and (not kill.pids or self.killer(attempt) is kill)
        ]


def _workers() -> Iterable[WorkerRecord]:
    for worker in Worker.objects.all():
        yield WorkerRecord(
            worker.pk,
            worker.pid,
            worker.started_at.timestamp(),
            worker.heartbeat_at.timestamp(),
            worker.lease_until.timestamp(),
            worker.ended_at.timestamp() if worker.ended_at else FOR_EVER,
        )


def _attempts() -> Iterable[AttemptRecord]:
    rows = Attempt.objects.order_by("pk").values_list(
        "pk", "message_id", "worker_id", "started_at", "ended_at", "outcome", "traceback"
    )
    for pk, message_pk, worker_pk, started_at, ended_at, outcome, traceback in rows:
        yield AttemptRecord(
            pk,
            message_pk,
            worker_pk,
            started_at.timestamp(),
            ended_at.timestamp() if ended_at else FOR_EVER,
            outcome,
            bool(traceback),
        )

"""The evidence of a run: what was promised, what the database says, what the receivers took.

Read once, after the last mail came to rest; nothing here judges.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outbox.models import Attempt, Message, Outcome, Recipient, Worker
from tests.crash.load import Promises
from tests.crash.log import Kill

FOR_EVER = float("inf")
Copies = Mapping[tuple[str, str], Sequence["Copy"]]  # (Message-ID, recipient) → oldest first


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a mail that a receiver took for one recipient."""

    at: float
    way: str  # "ok", or how the receiver failed to say so


@dataclass(frozen=True, slots=True)
class Try:
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
        """Tell whether it was marked uncertain, whatever came later."""
        return self.outcome == Outcome.UNCERTAIN


@dataclass(frozen=True, slots=True)
class Life:
    """One engine's row as a worker; a process that lost its lease begins another."""

    pk: int
    pid: int
    began: float
    last_heartbeat: float
    lease_until: float
    ended: float

    def held_at(self, moment: float) -> bool:
        """Tell whether it was a worker then: what it left later is no work of that moment."""
        return self.began <= moment < min(self.lease_until, self.ended)


def read_copies(ledgers: Iterable[Path]) -> Copies:
    """Return the copies taken."""
    copies: dict[tuple[str, str], list[Copy]] = defaultdict(list)
    for ledger in ledgers:
        for text in ledger.read_bytes().splitlines():
            line = json.loads(text)
            for recipient in line["recipients"]:
                copies[line["message_id"], recipient].append(Copy(line["at"], line["way"]))
    for taken in copies.values():
        taken.sort(key=lambda copy: copy.at)
    return dict(copies)


class Evidence:
    """All of it, by message and by kill."""

    def __init__(self, kills: Sequence[Kill], copies: Copies, promises: Promises) -> None:
        self.kills = kills
        self.copies = copies
        self.promises = promises
        self.messages = {row.pk: row for row in Message.objects.select_related("account")}
        self.recipients: dict[int, list[Recipient]] = defaultdict(list)
        for recipient in Recipient.objects.all():
            self.recipients[recipient.message_id].append(recipient)
        self.tries: dict[int, list[Try]] = defaultdict(list)
        for attempt in _tries():
            self.tries[attempt.message_pk].append(attempt)
        self.lives = {life.pk: life for life in _lives()}
        self._killer = self._killers()

    def _killers(self) -> dict[int, Kill]:
        """Find, for each worker, the kill that ended it while it held its lease."""
        found: dict[int, Kill] = {}
        for kill in self.kills:
            for life in self.lives.values():
                if life.pid in kill.pids and life.held_at(kill.at):
                    found.setdefault(life.pk, kill)
        return found

    def killer(self, attempt: Try) -> Kill | None:
        """Return the kill of the worker that made an attempt."""
        return self._killer.get(attempt.worker_pk) if attempt.worker_pk else None

    def outage(self, attempt: Try) -> Kill | None:
        """Return what cut its worker off: the first death of the database after its last heartbeat.

        A worker that cannot renew its lease for too long loses it, and so its mail, without dying.
        """
        life = self.lives.get(attempt.worker_pk or 0)
        if life is None:
            return None
        deaths = (kill for kill in self.kills if not kill.pids and "PostgreSQL" in kill.kind)
        return next((k for k in deaths if life.last_heartbeat <= k.at <= attempt.ended), None)

    def taken(self, recipient: Recipient) -> Sequence[Copy]:
        """Return the copies a receiver took for a recipient."""
        message = self.messages[recipient.message_id]
        return self.copies.get((message.message_id, recipient.address), ())

    def marks_before(self, message_pk: int, moment: float) -> int:
        """Count the attempts at a message that were marked uncertain before a moment."""
        return sum(one.is_uncertain and one.ended <= moment for one in self.tries[message_pk])

    def was_left_unanswered(self, attempt: Try) -> bool:
        """Tell whether the receiver took this try's mail and, on purpose, did not say so."""
        return any(
            copy.way != "ok" and attempt.began <= copy.at <= attempt.ended
            for recipient in self.recipients[attempt.message_pk]
            for copy in self.taken(recipient)
        )

    def under_way(self, kill: Kill) -> list[Try]:
        """Return the attempts of the killed that were open then; of all, where all share it."""
        return [
            attempt
            for attempts in self.tries.values()
            for attempt in attempts
            if attempt.began <= kill.at < attempt.ended
            and (not kill.pids or self.killer(attempt) is kill)
        ]


def _lives() -> Iterable[Life]:
    for worker in Worker.objects.all():
        yield Life(
            worker.pk,
            worker.pid,
            worker.started_at.timestamp(),
            worker.heartbeat_at.timestamp(),
            worker.lease_until.timestamp(),
            worker.ended_at.timestamp() if worker.ended_at else FOR_EVER,
        )


def _tries() -> Iterable[Try]:
    rows = Attempt.objects.order_by("pk").values_list(
        "pk", "message_id", "worker_id", "started_at", "ended_at", "outcome", "traceback"
    )
    for pk, message_pk, worker_pk, started_at, ended_at, outcome, traceback in rows:
        yield Try(
            pk,
            message_pk,
            worker_pk,
            started_at.timestamp(),
            ended_at.timestamp() if ended_at else FOR_EVER,
            outcome,
            bool(traceback),
        )

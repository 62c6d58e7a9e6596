"""Claim: take due recipients of one destination, under one short transaction.

Before any connection is opened, an attempt row says who sends what; its id is the fencing token.
Which rows are taken is `turns`' affair.
"""

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.db import connections, transaction

from outbox.conf import get_conf
from outbox.delivery import route
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.job import Job, JobRecipient
from outbox.delivery.turns import Due, Row, take
from outbox.models import Attempt, Destination, OnUncertain, Outcome, State, Status
from outbox.models.bulk import Column, insert_rows, select_rows, update_rows
from outbox.models.clock import database_now
from outbox.models.rollup import roll_up

_ATTEMPT = (
    Column("message_id", "bigint"),
    Column("worker_id", "bigint"),
    Column("started_at", "timestamptz"),
    Column("number_in_session", "integer"),
    Column("is_resend", "boolean"),
    *(
        Column(name, "text")
        for name in (
            "outcome",
            "phase",
            "fault",
            "detail",
            "reply_enhanced",
            "reply_text",
            "reply_command",
            "results",
            "phases_ms",
            "transfer",
            "sent_sha256",
            "late_reply",
            "traceback",
        )
    ),
)
_NO_TEXTS = ("",) * 13
# The row is locked, so that a worker cannot be ended, and what it held be taken back, while a claim
# of its is still being committed: what that claimed would never be found.
_HOLDS_ITS_LEASE = (
    "EXISTS (SELECT 1 FROM outbox_worker w "
    "WHERE w.id = %s AND w.ended_at IS NULL AND w.lease_until > {{now}}{lock})"
)

_MAIL = """
SELECT m.id, m.envelope_sender, m.recipient_count, m.on_uncertain, a.on_uncertain,
    a.resend_after, s.data, s.sha256, m.wants_report, m.status
FROM {values}
JOIN outbox_message m ON m.id = v.id
LEFT JOIN outbox_account a ON a.id = m.account_id
LEFT JOIN outbox_source s ON s.message_id = m.id"""


@dataclass(frozen=True, slots=True)
class _Mail:
    """What the jobs of one message have in common."""

    envelope_sender: str
    recipient_count: int
    own_policy: str
    account_policy: str | None
    account_resend_after: dt.timedelta | int | None  # SQLite keeps microseconds
    data: bytes | memoryview | None
    sha256: str | None
    wants_report: bool | int  # SQLite keeps a number
    status: str

    @property
    def resend_after(self) -> dt.timedelta | None:
        """None: an uncertain recipient waits for a person."""
        policy = self.own_policy or self.account_policy or OnUncertain.HOLD
        after = self.account_resend_after
        if policy == OnUncertain.HOLD or after is None:
            return None
        return dt.timedelta(microseconds=after) if isinstance(after, int) else after


def claim_within_limits(
    destination: Destination, worker_id: int, room: int, after_sender: int, using: str
) -> list[Job]:
    """Claim as much of `room` as the circuit and the rate limits give leave for."""
    asked = route.has_limits(destination)
    leave = route.ask_leave(destination.pk, room, using) if asked else route.Leave(room)
    if leave.recipients <= 0:
        return []
    jobs = claim(
        destination_id=destination.pk,
        worker_id=worker_id,
        limit=leave.recipients,
        after_sender=after_sender,
        using=using,
    )
    unused = leave.recipients - sum(len(job.recipients) for job in jobs)
    if asked and unused:
        with suppress(*DATABASE_AWAY):  # what was claimed must not be lost for a count
            route.give_back_leave(destination.pk, leave, unused, using)
    return jobs


class ClaimInDoubtError(Exception):
    """Nobody knows whether this claim was committed; give `jobs` back when the database answers."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__("the connection was lost while a claim was being committed")
        self.jobs = jobs


def claim(
    *, destination_id: int, worker_id: int, limit: int, after_sender: int, using: str
) -> list[Job]:
    """Take up to `limit` due recipients; return them as jobs, each a message, source included.

    `after_sender` is the sender served last: the next one in order has the first turn. A worker
    whose lease is over gets none, though it may not know yet. Raises ClaimInDoubtError when the
    connection was lost while the claim was being committed.
    """
    jobs: list[Job] = []
    try:
        with transaction.atomic(using=using):
            now = database_now(using)
            rows = take(Due(destination_id, now, using), limit, after_sender)
            if not rows:
                return []
            jobs = _open_attempts(rows, destination_id, worker_id, now, using)
    except DATABASE_AWAY as error:
        # SQLite's commit either was or was not; and it would give the same ids out again.
        if jobs and connections[using].vendor == "postgresql":
            raise ClaimInDoubtError(jobs) from error
        raise
    return jobs


def _open_attempts(
    rows: Sequence[Row], destination_id: int, worker_id: int, now: dt.datetime, using: str
) -> list[Job]:
    batches = _batches(rows, get_conf().recipients_per_transaction)
    mails = _mails([batch[0][1] for batch in batches], using)
    repeated = _once_uncertain(rows, using)
    attempt_ids = insert_rows(
        using,
        "outbox_attempt",
        _ATTEMPT,
        [
            (batch[0][1], worker_id, now, 0, batch[0][1] in repeated, *_NO_TEXTS)
            for batch in batches
        ],
        guard=_HOLDS_ITS_LEASE.format(lock=_lock(using)),
        guarded_by=[worker_id],
    )
    if not attempt_ids:
        return []  # the guard refused
    update_rows(
        using,
        "outbox_recipient",
        (Column("attempt_id", "bigint"), Column("last_attempt_at", "timestamptz")),
        [
            (row[0], attempt_id, now)
            for attempt_id, batch in zip(attempt_ids, batches, strict=True)
            for row in batch
        ],
        set_also=f"state = '{State.SENDING}', first_attempt_at = "
        "COALESCE(t.first_attempt_at, v.last_attempt_at)",
    )
    # No other message is updated: which are being sent is known by their recipients.
    begun = [pk for pk, mail in mails.items() if mail.status == Status.SCHEDULED]
    roll_up(begun, now, using)
    return [
        _job(attempt_id, mails[batch[0][1]], batch, destination_id)
        for attempt_id, batch in zip(attempt_ids, batches, strict=True)
    ]


def _lock(using: str) -> str:
    return " FOR SHARE" if connections[using].vendor == "postgresql" else ""


def _once_uncertain(rows: Sequence[Row], using: str) -> set[int]:
    """Find the messages of which a copy may be out already: the page says so of this attempt."""
    tried = {row[1] for row in rows if row[3]}
    if not tried:
        return set()
    uncertain = Attempt.objects.using(using).filter(message_id__in=tried, outcome=Outcome.UNCERTAIN)
    return set(uncertain.values_list("message_id", flat=True))


def _batches(rows: Sequence[Row], most: int) -> list[list[Row]]:
    """Group by message in order of the first row, no batch larger than one transaction takes."""
    by_message: dict[int, list[Row]] = {}
    for row in rows:
        by_message.setdefault(row[1], []).append(row)
    return [
        group[start : start + most]
        for group in by_message.values()
        for start in range(0, len(group), most)
    ]


def _mails(message_ids: Sequence[int], using: str) -> dict[int, _Mail]:
    """Read what the messages' jobs need; a large source is read when its turn comes."""
    rows = select_rows(using, _MAIL, [(pk,) for pk in sorted(set(message_ids))])
    return {row[0]: _Mail(*row[1:]) for row in rows}


def _job(attempt_id: int, mail: _Mail, batch: Sequence[Row], destination_id: int) -> Job:
    return Job(
        attempt_id=attempt_id,
        message_id=batch[0][1],
        destination_id=destination_id,
        sender_key=batch[0][5],
        is_whole=mail.recipient_count == 1,
        envelope_sender=mail.envelope_sender,
        sha256=mail.sha256 or "",
        source=bytes(mail.data) if mail.data is not None else None,
        resend_after=mail.resend_after,
        wants_report=bool(mail.wants_report),
        recipients=[
            JobRecipient(
                id=row[0],
                address=row[2],
                attempts=row[3],
                expires_at=row[4],
                attempts_at_retry=row[6],
            )
            for row in batch
        ],
    )

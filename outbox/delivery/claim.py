"""Claim: take due recipients of one destination in a short transaction.

`due` chooses and locks them. Before any connection is opened, an attempt row records which worker
sends which message; its id is the fencing token.
"""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from django.db import connections, transaction
from django.db.models import Count, Max, Q

from outbox.conf import get_conf
from outbox.db.bulk import insert_rows, select_rows, update_rows
from outbox.db.clock import database_now
from outbox.db.columns import columns_of, complete
from outbox.db.unavailable import DATABASE_UNAVAILABLE, is_connection_lost
from outbox.delivery.due import DueAt, DueRecipient, aware
from outbox.delivery.job import Job, JobRecipient, ReportOptions
from outbox.delivery.paused_tags import paused_among, postpone
from outbox.delivery.suppressed import hold_suppressed, suppressed_among
from outbox.mail.mailbox import domain_of
from outbox.models import Attempt, Outcome, Recipient, Ret, State, Status
from outbox.models.report_request import REPORTED
from outbox.models.rollup import roll_up
from outbox.models.transitions import resend_after
from outbox.reasons import Reason

logger = logging.getLogger(__name__)


class _NewAttempt(NamedTuple):
    """The columns of an attempt that a claim writes; the others begin with their defaults."""

    message_id: int
    worker_id: int
    started_at: dt.datetime
    is_resend: bool


class _Claimed(NamedTuple):
    """The columns of a recipient that a claim writes, besides the state."""

    id: int
    attempt_id: int
    last_attempt_at: dt.datetime


class _Message(NamedTuple):
    """A row of `_MESSAGES`: what the jobs of one message have in common."""

    id: int
    account_id: int | None
    status: str
    envelope_sender: str
    is_sender_given: bool | int  # SQLite keeps a number
    recipient_count: int
    size: int
    wants_report: bool | int
    tls_requirement: str
    notify: str | None  # NULL: the message has no report request
    ret: str | None
    envid: str | None
    is_sensitive: bool | int
    policy: str
    account_policy: str | None
    account_resend_after: dt.timedelta | int | None  # SQLite keeps microseconds
    return_path: str | None
    from_address: str | None
    queued_at: Any  # SQLite returns text
    send_at: Any
    data: bytes | memoryview | None  # None: a larger source, which is read when it is sent
    sha256: str | None

    @property
    def since(self) -> dt.datetime | None:
        """When the message could be sent first."""
        return max(filter(None, (aware(self.queued_at), aware(self.send_at))), default=None)

    @property
    def resend_after(self) -> dt.timedelta | None:
        """How long an uncertain recipient waits; None: until a person resolves it."""
        wait = self.account_resend_after
        if isinstance(wait, int):
            wait = dt.timedelta(microseconds=wait)
        return resend_after(self.policy, self.account_policy, wait)


_MILLISECOND = dt.timedelta(milliseconds=1)
# Bytes of a source that is read with the claim. Up to a hundred jobs of each destination wait in
# memory, so larger ones are read one by one, within the worker's memory budget.
SMALL_SOURCE = 32_768
_ATTEMPT_COLUMNS = columns_of(Attempt, _NewAttempt._fields)
_ATTEMPT_DEFAULTS = {
    name: value
    for name, value in complete(Attempt, dict.fromkeys(_NewAttempt._fields, "")).items()
    if value
}
_RECIPIENT_COLUMNS = columns_of(Recipient, _Claimed._fields[1:])
_CLAIMED = (
    f"state = '{State.SENDING}', first_attempt_at = COALESCE(t.first_attempt_at, v.last_attempt_at)"
)
# The row is locked, so that a worker cannot be ended, and its claims be taken over, while a claim
# of its own is still being committed: what that one claimed would never be found.
_HAS_ITS_LEASE = (
    "EXISTS (SELECT 1 FROM outbox_worker w "
    "WHERE w.id = %s AND w.ended_at IS NULL AND w.lease_until > {{now}}{lock})"
)
_CIRCUIT_IS_CLOSED = (
    "EXISTS (SELECT 1 FROM outbox_destination d WHERE d.id = %s AND d.circuit = 'closed')"
)
_MESSAGES = """
SELECT m.id, m.account_id, m.status, m.envelope_sender, m.is_sender_given, m.recipient_count,
    m.size, m.wants_report, m.tls_requirement, q.notify, q.ret, q.envid, m.is_sensitive,
    m.on_uncertain, a.on_uncertain, a.resend_after, a.return_path, a.from_address, m.queued_at,
    m.send_at, CASE WHEN m.size <= {small} THEN s.data END, s.sha256
FROM {values}
JOIN outbox_message m ON m.id = v.id
LEFT JOIN outbox_account a ON a.id = m.account_id
LEFT JOIN outbox_source s ON s.message_id = m.id
LEFT JOIN outbox_reportrequest q ON q.message_id = m.id""".replace("{small}", str(SMALL_SOURCE))


class Claim(NamedTuple):
    """What a claim took. `is_cut_short`: it did not look at all that is due; claim again."""

    jobs: list[Job]
    is_cut_short: bool = False


class ClaimLimits(Protocol):
    """What limits a claim. The transaction of the claim calls it at its beginning and its end."""

    def allow(self, wanted: int) -> int:
        """Return how many recipients may be claimed, up to `wanted`."""

    def count(self, jobs: Sequence[Job]) -> bool:
        """Count what was claimed. Return False if it cannot be sent, and must not be claimed."""


class _Unlimited:
    def allow(self, wanted: int) -> int:
        return wanted

    def count(self, jobs: Sequence[Job]) -> bool:
        return True


UNLIMITED: ClaimLimits = _Unlimited()


class ClaimInDoubtError(Exception):
    """It is unknown whether a claim was committed. Return `jobs` once the database is available."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__("the connection was lost while a claim was being committed")
        self.jobs = jobs


def claim(
    *,
    destination_id: int,
    worker_id: int,
    limit: int,
    after_sender: int,
    using: str,
    by_domain: bool = False,
    needs_closed_circuit: bool = False,
    limits: ClaimLimits = UNLIMITED,
) -> Claim:
    """Claim up to `limit` due recipients; return them as jobs, one per message, with its source.

    With `by_domain`, the recipients of a job also have the same domain, whose servers get it. With
    `needs_closed_circuit`, nothing is claimed while the circuit is not closed.

    `after_sender` is the sender that was served last; the next one in order comes first. A worker
    whose lease has expired claims nothing, though it may not know yet. Recipients whose address is
    suppressed are held instead, and those of a paused tag are postponed. One claim does so with a
    limited number of them, since the claims for all other destinations wait for it. Raises
    ClaimInDoubtError when the connection was lost while the claim was being committed.
    """
    found = _claim_others(
        destination_id,
        worker_id,
        limit,
        after_sender,
        using,
        by_domain=by_domain,
        needs_closed_circuit=needs_closed_circuit,
        limits=limits,
    )
    moved = 0
    try:
        if found.suppressed:
            moved += hold_suppressed(found.suppressed, using)
        if found.has_paused:
            moved += postpone(destination_id, after_sender, using)
    except DATABASE_UNAVAILABLE:
        pass  # the next claim finds the same
    except Exception:  # what was claimed must not be lost
        logger.exception("Recipients that may not be sent to could not be moved.")
    # Without a job, others have locked what is due, or the circuit has opened: not at once again.
    is_cut_short = found.has_others if found.jobs else moved > 0
    return Claim(found.jobs, is_cut_short=is_cut_short)


class _Found(NamedTuple):
    """What a claim has found to be due."""

    jobs: list[Job]
    suppressed: dict[int, Reason]  # recipients to hold
    has_paused: bool  # whether messages of a paused tag are among them
    has_others: bool = False  # whether it is not all that is due


def _claim_others(
    destination_id: int,
    worker_id: int,
    limit: int,
    after_sender: int,
    using: str,
    *,
    by_domain: bool,
    needs_closed_circuit: bool,
    limits: ClaimLimits,
) -> _Found:
    """Claim what is due, and neither suppressed nor of a paused tag.

    The others are changed in database transactions of their own: this one writes messages
    afterwards.
    """
    jobs: list[Job] = []
    try:
        with transaction.atomic(using=using):
            if not (limit := limits.allow(limit)):
                limits.count([])
                return _Found([], {}, has_paused=False)
            now = database_now(using)
            due = DueAt(destination_id, now, using)
            locked = due.lock(limit, after_sender)
            paused = paused_among(locked, now, using) if due.is_tag_paused else {}
            others = [row for row in locked if row.message_id not in paused]
            suppressed = suppressed_among(others, destination_id, now, using)
            if rows := [row for row in others if row.id not in suppressed]:
                batches = _batches(rows, get_conf().recipients_per_transaction, by_domain=by_domain)
                jobs = _open_attempts(
                    batches,
                    destination_id,
                    worker_id,
                    now,
                    using,
                    needs_closed_circuit=needs_closed_circuit,
                )
            if not limits.count(jobs):
                transaction.set_rollback(True, using=using)
                jobs = []
    except DATABASE_UNAVAILABLE as error:
        # SQLite's commit is never in doubt; and it would assign the same ids again.
        is_in_doubt = bool(jobs) and is_connection_lost(error)
        if is_in_doubt and connections[using].vendor == "postgresql":
            raise ClaimInDoubtError(jobs) from error
        raise
    return _Found(jobs, suppressed, bool(paused), due.has_others)


def _open_attempts(
    batches: Sequence[Sequence[DueRecipient]],
    destination_id: int,
    worker_id: int,
    now: dt.datetime,
    using: str,
    *,
    needs_closed_circuit: bool,
) -> list[Job]:
    rows = [row for batch in batches for row in batch]
    messages = _messages({row.message_id for row in rows}, using)
    resent, signatures = _earlier_attempts(rows, using)
    attempts = [
        _NewAttempt(batch[0].message_id, worker_id, now, batch[0].message_id in resent)
        for batch in batches
    ]
    guard, guarded_by = _HAS_ITS_LEASE.format(lock=_lock(using)), [worker_id]
    if needs_closed_circuit:
        guard, guarded_by = f"{guard} AND {_CIRCUIT_IS_CLOSED}", [*guarded_by, destination_id]
    attempt_ids = insert_rows(
        using,
        "outbox_attempt",
        _ATTEMPT_COLUMNS,
        attempts,
        others=_ATTEMPT_DEFAULTS,
        guard=guard,
        guarded_by=guarded_by,
    )
    if not attempt_ids:
        return []  # the guard refused
    claimed = [
        _Claimed(row.id, attempt_id, now)
        for attempt_id, batch in zip(attempt_ids, batches, strict=True)
        for row in batch
    ]
    # The rows are locked in the states that a claim starts from, so that no guard is needed.
    update_rows(using, "outbox_recipient", _RECIPIENT_COLUMNS, claimed, set_also=_CLAIMED)
    # No other message is updated: which are being sent is known from their recipients.
    scheduled = [pk for pk, message in messages.items() if message.status == Status.SCHEDULED]
    roll_up(scheduled, now, using)
    return [
        _job(
            attempt_id,
            messages[batch[0].message_id],
            batch,
            destination_id,
            worker_id,
            signatures.get(batch[0].message_id, ""),
            now,
        )
        for attempt_id, batch in zip(attempt_ids, batches, strict=True)
    ]


def _lock(using: str) -> str:
    return " FOR SHARE" if connections[using].vendor == "postgresql" else ""


def _earlier_attempts(rows: Sequence[DueRecipient], using: str) -> tuple[set[int], dict[int, str]]:
    """Return the messages with an uncertain attempt, and the last signatures of each message.

    Of the former, this attempt may send a second copy. The latter are sent again.
    """
    tried = {row.message_id for row in rows if row.attempts}
    if not tried:
        return set(), {}
    attempts = Attempt.objects.using(using).order_by()
    is_uncertain, is_signed = Q(outcome=Outcome.UNCERTAIN), Q(signature__isnull=False)
    earlier = attempts.filter(is_uncertain | is_signed, message_id__in=tried)
    # One row for each message: a newsletter has thousands of attempts, each with its signature.
    found = earlier.values("message_id").annotate(
        uncertain=Count("pk", filter=is_uncertain), signed=Max("pk", filter=is_signed)
    )
    summaries = list(found.values_list("message_id", "uncertain", "signed"))
    last = [signed for _, _, signed in summaries if signed is not None]
    read = attempts.filter(pk__in=last).values_list("message_id", "signature") if last else ()
    return (
        {message_id for message_id, uncertain, _ in summaries if uncertain},
        {message_id: signature for message_id, signature in read if signature},
    )


def _batches(
    rows: Sequence[DueRecipient], size: int, *, by_domain: bool = False
) -> list[list[DueRecipient]]:
    """Group by message in order of the first row; a batch is what one SMTP transaction takes.

    Recipients that a person has retried have another envelope sender than the others.
    """
    alike: dict[tuple[int, int, str], list[DueRecipient]] = {}
    for row in rows:
        domain = domain_of(row.address) if by_domain else ""
        alike.setdefault((row.message_id, row.attempts_at_retry, domain), []).append(row)
    return [
        group[start : start + size]
        for group in alike.values()
        for start in range(0, len(group), size)
    ]


def _messages(ids: set[int], using: str) -> dict[int, _Message]:
    found = map(_Message._make, select_rows(using, _MESSAGES, [(pk,) for pk in sorted(ids)]))
    return {message.id: message for message in found}


def _report_of(message: _Message) -> ReportOptions | None:
    """Return the reports that the message requests, as the commands name them."""
    if message.notify is None:
        # It was queued by a version without the row, which requested all of them.
        notify = tuple(one.upper() for one in REPORTED) if message.wants_report else ()
        return ReportOptions(notify=notify) if notify else None
    notify = tuple(one.upper() for one in message.notify.split(",") if one)
    # A report that returns the content would show it to everyone with access to the mailbox.
    ret = Ret.HDRS.value if message.is_sensitive else message.ret or ""
    return ReportOptions(notify=notify, ret=ret.upper(), envid=message.envid or "")


def _job(
    attempt_id: int,
    message: _Message,
    batch: Sequence[DueRecipient],
    destination_id: int,
    worker_id: int,
    signature: str,
    now: dt.datetime,
) -> Job:
    return Job(
        attempt_id=attempt_id,
        message_id=message.id,
        destination_id=destination_id,
        worker_id=worker_id,
        account_id=message.account_id,
        since=message.since,
        sender_key=batch[0].sender_key,
        is_whole=message.recipient_count == 1,
        envelope_sender=message.envelope_sender,
        return_path="" if message.is_sender_given else message.return_path or "",
        from_address="" if message.is_sender_given else message.from_address or "",
        sha256=message.sha256 or "",
        size=message.size,
        source=bytes(message.data) if message.data is not None else None,
        resend_after=message.resend_after,
        tls_requirement=message.tls_requirement,
        report=_report_of(message),
        is_sensitive=bool(message.is_sensitive),
        signature=signature,
        recipients=[
            JobRecipient(
                id=row.id,
                address=row.address,
                attempts=row.attempts,
                expires_at=row.expires_at,
                attempts_at_retry=row.attempts_at_retry,
                waited_ms=max((now - row.next_attempt_at) // _MILLISECOND, 0),
            )
            for row in batch
        ],
    )

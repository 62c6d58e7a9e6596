"""The rows that a result leaves in the tables of attempts and recipients.

They are built by position, in the order of their fields, since keywords would take twice the time.
"""

import datetime as dt
import json
from collections.abc import Iterator
from typing import NamedTuple

from outbox.db.columns import columns_of
from outbox.delivery.job import Result
from outbox.mail.dkim import without_hashes
from outbox.models import Attempt, Recipient, State
from outbox.models.delivery_count import CountKey, domain_of
from outbox.models.delivery_time import ENDS, Measured, TimeKind
from outbox.models.recipient import REFUSALS_FROM
from outbox.models.transitions import Transition, state_columns
from outbox.texts import storable


class AttemptRow(NamedTuple):
    """The columns of an attempt that its result decides."""

    id: int
    session_id: int | None
    number_in_session: int
    ended_at: dt.datetime | None  # None: the database's time
    outcome: str
    phase: str
    fault: str
    reason: str
    reply_code: int | None
    reply_enhanced: str
    reply_text: str
    reply_command: str
    results: str
    phases_ms: str
    transfer: str
    sent_sha256: str
    signature: str | None
    traceback: str


class RecipientRow(NamedTuple):
    """The columns of a recipient that a result decides."""

    id: int
    attempt_id: int
    state: str
    next_attempt_at: dt.datetime | None
    resend_at: dt.datetime | None
    final_at: dt.datetime | None
    ended_as: str | None
    attempts: int
    reply_code: int | None
    reply_enhanced: str | None
    reply_text: str | None
    reply_command: str | None
    reply_key: int | None
    remote_host: str
    remote_queue_id: str
    reason: str


# The last reply stays until there is another: a timeout says nothing new.
_OF_REPLY = ("reply_code", "reply_enhanced", "reply_text", "reply_command", "reply_key")
_MILLISECOND = dt.timedelta(milliseconds=1)
_LONG_TEXT = 100  # characters
ATTEMPT_COLUMNS = columns_of(Attempt, AttemptRow._fields[1:])
RECIPIENT_COLUMNS = columns_of(
    Recipient, RecipientRow._fields[1:], kept_without=dict.fromkeys(_OF_REPLY, "reply_code")
)


def attempt_row(result: Result, now: dt.datetime | None) -> AttemptRow:
    """Return the attempt as the result leaves it."""
    last = next((verdict for verdict in reversed(result.verdicts) if verdict.reply), None)
    reply = last.reply if last else None
    return AttemptRow(
        result.job.attempt_id,
        result.session.pk if result.session else None,
        result.number_in_session,
        now,
        result.outcome,
        result.phase,
        result.fault,
        result.reason.dump(),
        reply.code if reply else None,
        reply.enhanced if reply else "",
        storable(reply.text) if reply else "",
        last.command[:8] if last else "",
        results_json(result),
        result.phases_ms,
        storable(result.transfer),
        # The hash of a short code in a known text reveals the code.
        "" if result.job.is_sensitive else result.sent_sha256,
        stored_signature(result),
        storable(result.traceback),
    )


def stored_signature(result: Result) -> str | None:
    """Return the signature fields to store; of a sensitive message only what names the keys."""
    if not result.signature:
        return None
    return without_hashes(result.signature) if result.job.is_sensitive else result.signature


def results_json(result: Result) -> str:
    """Return the result for each recipient; nothing where the attempt's own columns have it.

    In place of a long text that an earlier row has, a row has the number of that row.
    """
    if result.job.is_whole and result.verdicts[0].state.value == result.outcome.value:
        return ""
    firsts: dict[str, int] = {}
    rows = []
    pairs = zip(result.job.recipients, result.verdicts, strict=True)
    for number, (recipient, verdict) in enumerate(pairs):
        text = storable(verdict.reply.text) if verdict.reply else ""
        first = firsts.setdefault(text, number)
        rows.append(
            {
                "recipient": recipient.id,
                "address": recipient.address,
                "state": verdict.state.value,
                "command": verdict.command,
                "code": verdict.reply.code if verdict.reply else None,
                "enhanced": verdict.reply.enhanced if verdict.reply else "",
                "text": text if first == number or len(text) < _LONG_TEXT else first,
            }
        )
    return json.dumps(rows, ensure_ascii=False)


def recipient_rows(
    result: Result, transition: Transition, now: dt.datetime | None
) -> Iterator[RecipientRow]:
    """Yield each recipient as the result leaves it. Raise TransitionError for unlawful states."""
    host = result.session.host if result.session else ""
    rows = zip(result.job.recipients, result.verdicts, result.group_keys, strict=True)
    for recipient, verdict, group_key in rows:
        transition.check(verdict.state)
        reply = verdict.reply
        yield RecipientRow(
            recipient.id,
            result.job.attempt_id,
            verdict.state,
            *state_columns(verdict.state, now, verdict.next_attempt_at),
            recipient.attempts + 1 if verdict.counts else recipient.attempts,
            reply.code if reply else None,
            reply.enhanced[:12] if reply else None,
            storable(reply.text) if reply else None,
            verdict.command[:8] if reply else None,
            group_key if reply and reply.code >= REFUSALS_FROM else None,
            host[:255],
            result.remote_queue_id[:100] if verdict.state == State.SENT else "",
            verdict.reason.dump(),
        )


def measured(result: Result, number: int, now: dt.datetime) -> Iterator[Measured]:
    """Yield the times of a recipient of the job, whose outcome is written at `now`."""
    job, recipient = result.job, result.job.recipients[number]
    yield Measured(job.worker_id, TimeKind.WAIT.value, recipient.waited_ms)
    kind, since = end_of(result, number)
    if since is not None:
        yield Measured(job.worker_id, kind, max((now - since) // _MILLISECOND, 0))


def end_of(result: Result, number: int) -> tuple[str, dt.datetime | None]:
    """Return how the delivery to a recipient ended, and since when it could have been sent.

    The time is None if the delivery did not end, or if a person had it tried again.
    """
    state = result.verdicts[number].state.value
    is_first = not result.job.recipients[number].attempts_at_retry
    return state, result.job.since if state in ENDS and is_first else None


def count_key(result: Result, number: int, minute: dt.datetime | None = None) -> CountKey:
    """Return what the outcome of a recipient of the job is counted as."""
    job = result.job
    return CountKey(
        minute,
        job.worker_id,
        job.account_id or 0,
        storable(domain_of(job.recipients[number].address)),
        result.verdicts[number].state.value,
        result.group_keys[number],
    )

"""Rows: what a result leaves in the tables of attempts and recipients."""

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any

from outbox.delivery.unit import Result, clean
from outbox.models import DUE, State
from outbox.models.bulk import Column
from outbox.models.states import ended_as

ATTEMPT = (
    Column("session_id", "bigint"),
    Column("number_in_session", "integer"),
    Column("ended_at", "timestamptz"),
    Column("outcome", "text"),
    Column("phase", "text"),
    Column("fault", "text"),
    Column("detail", "text"),
    Column("reply_code", "smallint"),
    Column("reply_enhanced", "text"),
    Column("reply_text", "text"),
    Column("reply_command", "text"),
    Column("results", "text"),
    Column("phases_ms", "text"),
    Column("transfer", "text"),
    Column("sent_sha256", "text"),
    Column("traceback", "text"),
)
RECIPIENT = (
    Column("attempt_id", "bigint"),
    Column("state", "text"),
    Column("next_attempt_at", "timestamptz"),
    Column("resend_at", "timestamptz"),
    Column("attempts", "integer"),
    Column("settled_at", "timestamptz"),
    Column("ended_as", "text"),
    # The last reply stays until there is another: a timeout says nothing new.
    Column("reply_code", "smallint", keeps=True),
    Column("reply_enhanced", "text", keeps=True),
    Column("reply_text", "text", keeps=True),
    Column("reply_command", "text", keeps=True),
    Column("remote_host", "text"),
    Column("remote_queue_id", "text"),
    Column("reason", "text"),
)
SETTLED = frozenset({State.SENT, State.FAILED, State.EXPIRED, State.CANCELLED})


def attempt_row(result: Result, now: dt.datetime | None) -> tuple[Any, ...]:
    """Return the attempt's id and its values, in the order of ATTEMPT."""
    last = next((verdict for verdict in reversed(result.verdicts) if verdict.reply), None)
    reply = last.reply if last else None
    return (
        result.job.attempt_id,
        result.session.pk if result.session else None,
        result.number_in_session,
        now,
        result.outcome.value,
        result.phase,
        result.fault,
        clean(result.detail),
        reply.code if reply else None,
        reply.enhanced if reply else "",
        clean(reply.text) if reply else "",
        last.command[:8] if last else "",
        results_json(result),
        result.phases_ms,
        clean(result.transfer),
        result.sent_sha256,
        clean(result.traceback),
    )


def results_json(result: Result) -> str:
    """Return what became of each recipient; nothing where the attempt's own columns say it."""
    if result.job.is_whole and result.verdicts[0].state.value == result.outcome.value:
        return ""
    return json.dumps(
        [
            {
                "recipient": recipient.id,
                "address": recipient.address,
                "state": verdict.state.value,
                "command": verdict.command,
                "code": verdict.reply.code if verdict.reply else None,
                "enhanced": verdict.reply.enhanced if verdict.reply else "",
                "text": clean(verdict.reply.text) if verdict.reply else "",
            }
            for recipient, verdict in zip(result.job.recipients, result.verdicts, strict=True)
        ],
        ensure_ascii=False,
    )


def recipient_rows(result: Result, now: dt.datetime | None) -> Iterable[tuple[Any, ...]]:
    """Return each recipient's id and values, in the order of RECIPIENT."""
    host = result.session.host if result.session else ""
    for recipient, verdict in zip(result.job.recipients, result.verdicts, strict=True):
        reply = verdict.reply
        yield (
            recipient.id,
            result.job.attempt_id,
            verdict.state.value,
            verdict.next_attempt_at if verdict.state in DUE else None,
            verdict.next_attempt_at if verdict.state == State.UNCERTAIN else None,
            recipient.attempts + 1 if verdict.counts else recipient.attempts,
            now if verdict.state in SETTLED else None,
            ended_as(verdict.state),
            reply.code if reply else None,
            reply.enhanced[:12] if reply else None,
            clean(reply.text) if reply else None,
            verdict.command[:8] if reply else None,
            host[:255],
            result.remote_queue_id[:100] if verdict.state == State.SENT else "",
            clean(verdict.reason),
        )

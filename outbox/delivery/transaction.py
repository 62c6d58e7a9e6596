"""One SMTP transaction for one job, from reading the source to the result that is recorded.

The order of steps is what makes a crash explainable (docs/decisions/0002):

    claim committed → envelope → [commit: dot_marked_at] → final dot → reply → result recorded

A fault of our own code quarantines the message and stops no other message.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import time
import traceback
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

from outbox import smtp
from outbox.backoff import Backoff
from outbox.conf import Conf, get_conf
from outbox.db.packing import unpack
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery.claim import SMALL_SOURCE
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job, JobsReturned, Result
from outbox.delivery.session import DeliverySession, transcript_json
from outbox.delivery.signing_keys import SigningKeyUnreadableError
from outbox.delivery.storage import (
    SourceErasedError,
    SourceMissingError,
    StorageUnavailableError,
    find_source,
)
from outbox.delivery.verdict import (
    Case,
    Policy,
    Verdict,
    judge_exhausted,
    judge_recipients,
    judge_transaction,
    judge_unopened,
    judge_unread,
    judge_unrouted,
)
from outbox.models import Outcome, SmtpSession, State
from outbox.models.destination import DestinationEffect
from outbox.net.mx import RoutingError
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.texts import cause_of

_SHORT_WAIT = 1.0  # seconds for memory, in which no server ends an idle session
_COPIES_OF_CHANGED = 4  # of the message data, while it is signed or encoded for an old server


async def run(
    job: Job, session: DeliverySession, context: DeliveryContext
) -> tuple[DestinationEffect, Reason]:
    """Run the job's transaction and pass its result to the recorder.

    Return what the transaction means for the destination, and why. Raises DATABASE_UNAVAILABLE
    when the source could not be read; then nothing was sent.
    """
    recorder = context.recorder
    session.replies = ()
    while not recorder.has_room_for(job.destination_id):  # noqa: ASYNC110  # the recorder is a thread
        await asyncio.sleep(0.05)
    permit = DotPermit(job, context)
    try:
        await context.signing_keys.refresh(context.in_claimer, context.using)
        asked_at = time.monotonic()
        async with _memory_for(job, session, context):
            has_waited = time.monotonic() - asked_at > _SHORT_WAIT
            if has_waited and not await session.connection.check_idle():
                recorder.put(JobsReturned(jobs=[job], worker_id=context.lease.worker_id))
                return DestinationEffect.UNTESTED, NO_REASON
            source = await _read(job, session, context)
            job = job.without_source()
            sign = context.signing_keys.signer(job, source, session.account)
            result, effect = await _transact(job, source, session, permit, context, sign)
    except asyncio.CancelledError:  # the worker stops, and has no time left
        if not permit.granted:
            recorder.put(JobsReturned(jobs=[job], worker_id=context.lease.worker_id))
        raise
    except DATABASE_UNAVAILABLE:
        raise
    except (StorageUnavailableError, SigningKeyUnreadableError) as error:  # nothing was sent
        recorder.put(unread(job, error, context.lease.now))
        return DestinationEffect.UNTESTED, NO_REASON
    except SourceErasedError:  # a retry began while delivery to the last recipient ended
        recorder.put(erased(job))
        return DestinationEffect.UNTESTED, NO_REASON
    except Exception as error:  # noqa: BLE001  # it concerns this message alone
        if smtp.is_exhausted(error) and not permit.granted:
            recorder.put(unread(job, error, context.lease.now))
            session.connection.abort()
            return DestinationEffect.UNTESTED, NO_REASON
        recorder.put(quarantined(job, error, is_dot_marked=permit.granted))
        session.connection.abort()
        return DestinationEffect.UNTESTED, NO_REASON
    recorder.put(result)
    return effect, result.verdicts[0].reason


class DotPermit:
    """The permission to send an attempt's final dot: the lease is held and the mark committed."""

    def __init__(self, job: Job, context: DeliveryContext) -> None:
        self._ids = (job.attempt_id, job.destination_id)
        self._context = context
        self.granted = False

    async def request(self) -> bool:
        """Commit the mark and return whether the final dot may be sent."""
        if self._context.lease.held:
            self.granted = await self._context.recorder.mark(*self._ids)
        return self.granted


def _memory_for(
    job: Job, session: DeliverySession, context: DeliveryContext
) -> AbstractAsyncContextManager[None]:
    """Hold memory for the message data, of which small messages need none."""
    if job.size <= SMALL_SOURCE:
        return nullcontext()
    is_unchanged = session.connection.has_8bitmime and not context.signing_keys
    copies = 1 if is_unchanged else _COPIES_OF_CHANGED
    return context.memory.holding(session.owner, job.size * copies)


async def _read(job: Job, session: DeliverySession, context: DeliveryContext) -> bytes:
    if job.source is not None:
        stored, job.source = job.source, None  # the caller keeps the job
        return unpack(stored)
    row = await context.in_claimer(partial(find_source, job.message_id, context.using))
    return await context.sources.read(row, session.owner)


async def _transact(
    job: Job,
    source: bytes,
    session: DeliverySession,
    permit: DotPermit,
    context: DeliveryContext,
    sign: smtp.Sign | None,
) -> tuple[Result, DestinationEffect]:
    lease, report = context.lease, job.report
    number = session.connection.messages + 1
    transaction = await session.connection.send(
        smtp.Envelope(
            sender=job.sender,
            sender_instead=job.sender_instead,
            recipients=tuple(recipient.address for recipient in job.recipients),
            envid=(report.envid or job.token) if report else "",
            notify=report.notify if report else (),
            ret=report.ret if report else "",
            is_sensitive=job.is_sensitive,
            requires_tls=job.requires_tls,
        ),
        source,
        permit.request,
        lease_held=lambda: lease.held,
        source_sha256=job.sha256,
        sign=sign,
    )
    has_login = not session.is_direct
    policy = policy_for(get_conf(), job.resend_after, lease.now, has_login=has_login)
    verdicts = judge_recipients(transaction, _cases(job, is_first=number == 1), policy)
    fault = transaction.fault
    result = Result(
        job=job,
        verdicts=verdicts,
        outcome=outcome_of(verdicts),
        session=session.row,
        number_in_session=number,
        phase=fault.phase.value if fault else "",
        fault=fault.kind.value if fault else "",
        reason=fault.reason if fault else NO_REASON,
        transfer=transcript_json(transaction.transcript),
        phases_ms=json.dumps(transaction.phases_ms),
        sent_sha256=transaction.sent_sha256,
        signature=transaction.signature if transaction.dot_sent else "",
        remote_queue_id=transaction.queue_id,
    )
    replies = [outcome.reply for outcome in transaction.recipients]
    replies.append(fault.reply if fault else None)
    session.replies = tuple(reply for reply in replies if reply is not None)
    effect = judge_transaction(
        transaction,
        has_login=has_login,
        is_first_on_connection=number == 1,
        is_probe=job.probe is not None,
        is_first_attempt=job.is_first_attempt,
    )
    return result, effect


def _cases(job: Job, *, is_first: bool) -> list[Case]:
    return [
        Case(
            attempts=recipient.attempts,
            attempts_at_retry=recipient.attempts_at_retry,
            expires_at=recipient.expires_at,
            is_first_on_connection=is_first,
        )
        for recipient in job.recipients
    ]


def policy_for(
    conf: Conf, resend_after: dt.timedelta | None, now: dt.datetime, *, has_login: bool = True
) -> Policy:
    """Return the policy for verdicts at this time of the database."""
    return Policy(
        backoff=Backoff(
            first=conf.backoff_initial,
            factor=conf.backoff_factor,
            longest=conf.backoff_max,
            jitter=conf.backoff_jitter,
            hint_max=conf.retry_after_max,
        ),
        max_attempts=conf.max_attempts,
        resend_after=resend_after,
        now=now,
        chance=random.random(),  # noqa: S311  # spreads load; guards nothing
        has_login=has_login,
    )


def unopened(job: Job, row: SmtpSession, fault: smtp.SmtpFault, retry_at: dt.datetime) -> Result:
    """Return the result of a job for which no session could be opened."""
    verdicts = [judge_unopened(fault, retry_at, case) for case in _cases(job, is_first=True)]
    return Result(
        job=job.without_source(),
        verdicts=verdicts,
        outcome=Outcome.DEFERRED,
        session=row,
        phase=fault.phase.value,
        fault=fault.kind.value,
        reason=fault.reason,
    )


def refused(
    job: Job, row: SmtpSession, fault: smtp.SmtpFault, now: dt.datetime, *, is_permanent: bool
) -> Result:
    """Return the result of a job whose requirements none of the servers fulfills."""
    policy = policy_for(get_conf(), job.resend_after, now)
    verdicts = [
        judge_unrouted(fault.reason, case, policy, is_permanent=is_permanent, reply=fault.reply)
        for case in _cases(job, is_first=True)
    ]
    return Result(
        job=job.without_source(),
        verdicts=verdicts,
        outcome=outcome_of(verdicts),
        session=row,
        phase=fault.phase.value,
        fault=fault.kind.value,
        reason=fault.reason,
    )


def unread(job: Job, error: Exception, now: dt.datetime) -> Result:
    """Return the result of a job whose source, or the key that signs it, is not readable now."""
    policy = policy_for(get_conf(), job.resend_after, now)
    origin = error.__cause__ or error
    if isinstance(error, SigningKeyUnreadableError):
        reason, judge = Reason(ReasonCode.SIGNING_KEY_UNREADABLE, key=error.key), judge_unread
    elif smtp.is_exhausted(origin):
        reason, judge = smtp.exhaustion_reason(origin), judge_exhausted
    else:
        cause = error.cause if isinstance(error, StorageUnavailableError) else cause_of(error)
        reason, judge = Reason(ReasonCode.SOURCE_UNREADABLE, cause=cause), judge_unread
    verdicts = [judge(reason, case, policy) for case in _cases(job, is_first=True)]
    return Result(
        job=job.without_source(),
        verdicts=verdicts,
        outcome=outcome_of(verdicts),
        reason=reason,
    )


def unrouted(job: Job, error: RoutingError, now: dt.datetime) -> Result:
    """Return the result of a job for whose domain DNS names no server."""
    policy = policy_for(get_conf(), job.resend_after, now)
    verdicts = [
        judge_unrouted(error.reason, case, policy, is_permanent=error.is_permanent)
        for case in _cases(job, is_first=True)
    ]
    return Result(
        job=job.without_source(),
        verdicts=verdicts,
        outcome=outcome_of(verdicts),
        phase=smtp.Phase.RESOLVE.value,
        fault=smtp.FaultKind.RESOLVE.value,
        reason=error.reason,
    )


def erased(job: Job) -> Result:
    """Return the result of a job whose content was erased before it was read."""
    reason = Reason(ReasonCode.CONTENT_ERASED)
    verdict = Verdict(state=State.FAILED, reason=reason)
    verdicts = [verdict for _ in job.recipients]
    return Result(job=job, verdicts=verdicts, outcome=Outcome.FAILED, reason=reason)


def quarantined(job: Job, error: Exception, *, is_dot_marked: bool) -> Result:
    """Return the result of a job on which our own code failed, with the traceback.

    A person decides about the message: it is held if it is certainly unsent, else uncertain.
    """
    cause, trace = cause_of(error), traceback.format_exception(error)
    if job.is_sensitive:  # what an error says may quote the content
        cause, trace = type(error).__name__, traceback.format_tb(error.__traceback__)
    reason = Reason(ReasonCode.DEFECT, cause=cause)
    if isinstance(error, SourceMissingError):
        reason = Reason(ReasonCode.SOURCE_MISSING)
    verdict = Verdict(state=State.UNCERTAIN if is_dot_marked else State.HELD, reason=reason)
    return Result(
        job=job.without_source(),
        verdicts=[verdict for _ in job.recipients],
        outcome=Outcome.QUARANTINED,
        reason=reason,
        traceback="".join(trace),
    )


def outcome_of(verdicts: list[Verdict]) -> Outcome:
    """Return the outcome of an attempt as a whole."""
    states = {verdict.state for verdict in verdicts}
    if State.UNCERTAIN in states:
        return Outcome.UNCERTAIN
    if states == {State.SENT}:
        return Outcome.SENT
    if State.SENT in states:
        return Outcome.PARTIAL
    if states & {State.DEFERRED, State.QUEUED}:
        return Outcome.DEFERRED
    return Outcome.FAILED

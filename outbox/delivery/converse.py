"""Converse: turn a job into one SMTP transaction, and what came of it into a result to record."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from outbox import smtp
from outbox.conf import Conf, get_conf
from outbox.delivery.job import Job
from outbox.delivery.lease import Lease
from outbox.delivery.schedule import Backoff
from outbox.delivery.unit import Result, clean
from outbox.delivery.verdict import (
    Case,
    Policy,
    RouteEffect,
    Verdict,
    judge_recipients,
    judge_transaction,
    judge_unopened,
    judge_unread,
)
from outbox.models import Account, Destination, Outcome, Session, State
from outbox.net import is_public

_REPORTED = ("SUCCESS", "FAILURE", "DELAY")  # what a wanted report tells of (RFC 3461 4.1)


def server_for(account: Account, secret: str | None = None) -> smtp.Server:
    """Describe the account's server to the SMTP client. Raises SecretUnreadableError."""
    conf = get_conf()
    return smtp.Server(
        host=account.host,
        port=account.port,
        security=smtp.Security(account.security),
        username=account.username,
        secret=(account.secret if secret is None else secret) if account.username else "",
        secret_is_token=account.secret_is_token,
        ehlo_name=conf.ehlo_name,
        allow_plaintext_auth=conf.allow_private_hosts and _is_loopback(account.host),
        allow_address=address_rule(conf, trusted=account.owner_id is None),
        timeouts=smtp.Timeouts(
            connect=conf.connect_timeout,
            greeting=conf.greeting_timeout,
            command=conf.command_timeout,
            tls=conf.tls_timeout,
            auth=conf.auth_timeout,
            data=conf.data_timeout,
            block=conf.block_timeout,
            dot=conf.dot_timeout,
            quit=conf.quit_timeout,
        ),
        ca_file=conf.ca_file or None,
        pipelining=conf.pipelining,
        chunking=conf.chunking,
    )


def address_rule(conf: Conf, *, trusted: bool) -> Callable[[str], bool]:
    """Return the test each resolved address must pass; a user's account reaches no inner host."""
    if conf.allow_private_hosts or trusted:
        return lambda address: True
    return is_public


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def policy_for(conf: Conf, resend_after: dt.timedelta | None, now: dt.datetime) -> Policy:
    """Return the judge's policy at this moment of the database's."""
    return Policy(
        backoff=Backoff(
            first=conf.backoff_first,
            factor=conf.backoff_factor,
            longest=conf.backoff_max,
            jitter=conf.backoff_jitter,
            hint_max=conf.retry_after_max,
        ),
        attempts_max=conf.attempts_max,
        resend_after=resend_after,
        now=now,
        chance=random.random(),  # noqa: S311  # spreads load; guards nothing
    )


async def converse(
    session: smtp.Session,
    row: Session,
    job: Job,
    source: bytes,
    before_dot: Callable[[], Awaitable[bool]],
    lease: Lease,
) -> tuple[Result, RouteEffect]:
    """Hand one job to the server; return what to record and what it means for the route."""
    number = session.messages + 1
    transaction = await session.send(
        smtp.Envelope(
            sender=job.envelope_sender,
            recipients=tuple(recipient.address for recipient in job.recipients),
            envid=f"outbox-{job.message_id}" if job.wants_report else "",
            notify=_REPORTED if job.wants_report else (),
        ),
        source,
        before_dot,
        still=lambda: lease.held,
        source_sha256=job.sha256,
    )
    cases = _cases(job, first=number == 1)
    policy = policy_for(get_conf(), job.resend_after, lease.now)
    verdicts = judge_recipients(transaction, cases, policy)
    fault = transaction.fault
    result = Result(
        job=job,
        verdicts=verdicts,
        outcome=outcome_of(verdicts),
        session=row,
        number_in_session=number,
        phase=fault.phase.value if fault else "",
        fault=fault.kind.value if fault else "",
        detail=fault.detail if fault else "",
        transfer=transcript_json(transaction.transcript),
        phases_ms=json.dumps(transaction.phases_ms),
        sent_sha256=transaction.sent_sha256,
        remote_queue_id=transaction.queue_id,
    )
    return result, judge_transaction(transaction)


def _cases(job: Job, *, first: bool) -> list[Case]:
    return [
        Case(
            attempts=recipient.attempts,
            attempts_at_retry=recipient.attempts_at_retry,
            expires_at=recipient.expires_at,
            is_first_on_connection=first,
        )
        for recipient in job.recipients
    ]


def unopened(job: Job, row: Session, fault: smtp.SmtpFault, retry_at: dt.datetime) -> Result:
    """Describe a job whose connection could not be opened."""
    verdicts = [judge_unopened(fault, retry_at, case) for case in _cases(job, first=True)]
    return Result(
        job=job,
        verdicts=verdicts,
        outcome=Outcome.DEFERRED,
        session=row,
        phase=fault.phase.value,
        fault=fault.kind.value,
        detail=fault.detail,
    )


def unread(job: Job, why: str, now: dt.datetime) -> Result:
    """Describe a job whose source is in a storage that is away."""
    policy = policy_for(get_conf(), job.resend_after, now)
    reason = f"The stored mail cannot be read at present: {why}"
    verdicts = [judge_unread(reason, case, policy) for case in _cases(job, first=True)]
    return Result(job=job, verdicts=verdicts, outcome=outcome_of(verdicts), detail=reason)


def quarantined(job: Job, why: str) -> Result:
    """Describe a job on which our own code failed: kept with its traceback, in nobody's way.

    A person decides what becomes of it; whether it may have been sent is told by its state.
    """
    verdict = Verdict(
        state=State.UNCERTAIN if job.is_marked else State.HELD,
        reason=f"This mail could not be processed: {why}",
    )
    return Result(
        job=job,
        verdicts=[verdict for _ in job.recipients],
        outcome=Outcome.QUARANTINED,
        detail=why,
        traceback=traceback.format_exc(),
    )


def session_row(
    destination: Destination,
    worker_id: int,
    facts: smtp.SessionFacts | None,
    opening: smtp.Transcript | None,
) -> Session:
    """Describe a connection, or the failure to get one, as its row."""
    account = destination.account
    facts = facts or smtp.SessionFacts(host=account.host, port=account.port)
    return Session(
        destination_id=destination.pk,
        worker_id=worker_id,
        host=facts.host,
        address=facts.address,
        port=facts.port,
        local_address=facts.local_address,
        started_at=dt.datetime.now(dt.UTC),
        greeting=clean(facts.greeting),
        extensions=dict(facts.extensions),
        tls=asdict(facts.tls) if facts.tls else None,
        auth_mechanism=facts.auth_mechanism,
        tried=facts.tried,
        phases_ms=facts.phases_ms,
        opening=transcript_json(opening) if opening else "",
    )


def transcript_json(transcript: smtp.Transcript) -> str:
    """Put a dialogue into the form it is stored in."""
    return clean(json.dumps(transcript.dump(), ensure_ascii=False))


def outcome_of(verdicts: list[Verdict]) -> Outcome:
    """Sum up an attempt in one word."""
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

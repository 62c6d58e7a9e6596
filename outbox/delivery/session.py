"""An SMTP session and its row: opened, reused while that is safe, and closed with QUIT."""

import asyncio
import json
import time
from collections.abc import Hashable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Self

from django.core.exceptions import ImproperlyConfigured

from outbox import smtp
from outbox.conf import Conf, get_conf
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import SessionClosed, SessionOpened
from outbox.delivery.lease import Lease
from outbox.delivery.pool import owner_of
from outbox.delivery.recorder import Recorder
from outbox.delivery.server import server_for
from outbox.delivery.server_memory import ServerMemory
from outbox.delivery.tokens import (
    WAIT,
    WAIT_MAX,
    Access,
    RefreshWaits,
    access_for,
    current_access,
    waits_too_long,
)
from outbox.models import Account, Destination, SmtpSession
from outbox.models.destination_limits import limits_of
from outbox.models.secrets import SecretUnreadableError
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.texts import storable

_RENEWAL_MAX = 60.0  # seconds in which a renewal begins and ends
_IDLE_AFTER = 0.2  # seconds without a transaction after which the connection is checked


class DeliverySession:
    """An open SMTP session, its row, and the account settings that it was opened with."""

    __slots__ = (
        "_settings",
        "account",
        "connection",
        "is_direct",
        "messages_max",
        "owner",
        "replies",
        "row",
        "target_key",
    )

    def __init__(
        self,
        connection: smtp.Connection,
        row: SmtpSession,
        account: Account,
        *,
        messages_max: int,
        target_key: Hashable = (),
    ) -> None:
        self.connection = connection
        self.messages_max = messages_max
        self.target_key = target_key  # only jobs with this target are sent over it
        self.is_direct = account.is_direct
        self.replies: tuple[smtp.Reply, ...] = ()  # to the recipients of the latest transaction
        self.row = row
        self.account = account
        self.owner = owner_of(account)
        self._settings = _settings_of(account)

    @classmethod
    async def open(
        cls, destination: Destination, memory: ServerMemory, context: DeliveryContext
    ) -> Self:
        """Connect and log in. What the memory knows to be rejected is not used.

        Raises SmtpFault, also when the account's own settings make a login impossible.
        """
        account = destination.account
        access = await access_to(account, context)
        try:
            connection = await smtp.Connection.open(_server(account, access, memory, context))
        except smtp.SmtpFault as fault:
            renewed = await _renewed_after(fault, account, access, context)
            if renewed is None:
                raise
            connection = await smtp.Connection.open(_server(account, renewed, memory, context))
        row = session_row(destination, context.lease, connection.facts, connection.transcript)
        context.recorder.put(SessionOpened(session=row))
        messages_max = limits_of(destination, context.lease.now).per_connection.value
        return cls(connection, row, destination.account, messages_max=messages_max)

    async def is_reusable(self, conf: Conf, account: Account) -> bool:
        """Return whether another transaction can begin.

        While the session was idle, the server may have closed it and the account may have changed.
        """
        if self.is_used_up(conf, account):
            return False
        if time.monotonic() - self.connection.last_used_at < _IDLE_AFTER:
            return self.connection.usable
        return await self.connection.check_idle()

    def is_used_up(self, conf: Conf, account: Account) -> bool:
        """Return whether the session reached a limit, or the account was edited since."""
        return (
            self.connection.messages >= self.messages_max
            or time.monotonic() - self.connection.opened_at > conf.session_max_age
            or self._settings != _settings_of(account)
        )

    async def close(self, recorder: Recorder) -> None:
        """Send QUIT, once the results of this session are recorded."""
        try:
            # A killed worker leaves no more uncertain recipients than it had connections.
            await recorder.caught_up(self.row.destination_id or 0)
            await self.connection.quit()
        except asyncio.CancelledError:
            self.connection.abort()  # the engine ends and has no time left for QUIT
            raise
        finally:
            closing = self.connection.transcript.close
            text = transcript_json(closing) if closing else ""
            recorder.put(SessionClosed(session=self.row, closing=text))


def _server(
    account: Account, access: Access | None, memory: ServerMemory, context: DeliveryContext
) -> smtp.Server:
    """Return the server with its login. Raise SmtpFault if the password is unreadable."""
    try:
        server = server_for(account, access.token if access else None)
    except (SecretUnreadableError, ImproperlyConfigured) as error:
        kind, reason = smtp.FaultKind.AUTH_UNAVAILABLE, _why_unreadable(error)
        raise smtp.SmtpFault(smtp.Phase.AUTH, kind, reason) from error
    return replace(
        server, restrictions=lambda offered: memory.restrictions(offered, context.lease.now)
    )


async def access_to(
    account: Account, context: DeliveryContext, *, rejected: int | None = None
) -> Access | None:
    """Return the access token of an account; None if it logs in with a password.

    Raise SmtpFault. No transaction is open while the token service is asked.
    """
    if not (account.secret_is_token and account.username):
        return None
    ends_at = time.monotonic() + WAIT_MAX
    while True:
        try:
            if rejected is None:
                # Accounts with a valid token do not wait for those whose service is slow.
                current = partial(current_access, account, context.using)
                if (found := await context.in_claimer(current)) is not None:
                    return found
            async with asyncio.timeout(_RENEWAL_MAX):
                return await context.in_renewer(
                    partial(access_for, account, context.using, rejected=rejected)
                )
        except TimeoutError:  # the threads are busy; a renewal that began goes on
            raise waits_too_long() from None
        except RefreshWaits:
            if time.monotonic() > ends_at:
                raise waits_too_long() from None
        except (SecretUnreadableError, ImproperlyConfigured) as error:
            kind, reason = smtp.FaultKind.AUTH_UNAVAILABLE, _why_unreadable(error)
            raise smtp.SmtpFault(smtp.Phase.AUTH, kind, reason) from error
        await asyncio.sleep(WAIT)


async def _renewed_after(
    fault: smtp.SmtpFault, account: Account, access: Access | None, context: DeliveryContext
) -> Access | None:
    """Return another token after the server rejected one; None if there is no other."""
    is_rejected = fault.kind == smtp.FaultKind.AUTH_REJECTED
    if not is_rejected or access is None or access.generation is None:
        return None
    renewed = await access_to(account, context, rejected=access.generation)
    if renewed is None or renewed.generation == access.generation:
        return None
    return renewed


def _settings_of(account: Account) -> tuple[object, ...]:
    return (
        account.route,
        account.host,
        account.port,
        account.security,
        account.username,
        account.secret_encrypted,
        account.secret_is_token,
        account.owner_id,
        account.sender_domains,
    )


def _why_unreadable(error: Exception) -> Reason:
    if isinstance(error, SecretUnreadableError):
        return Reason(ReasonCode.SECRET_UNREADABLE)
    return Reason(ReasonCode.SECRET_KEYS_MISSING)


def session_row(
    destination: Destination,
    lease: Lease,
    facts: smtp.SessionFacts | None,
    opening: smtp.Transcript | None,
    tls_policy: Reason = NO_REASON,
) -> SmtpSession:
    """Return the row of a session that was opened, or that could not be opened.

    `tls_policy` is why delivery by MX requested the level of TLS.
    """
    account = destination.account
    if facts is None and destination.is_direct:
        facts = smtp.SessionFacts(host=destination.site_key, port=get_conf().mx_port)
    facts = facts or smtp.SessionFacts(host=account.host, port=account.port)
    level: dict[str, Any] = {}
    if destination.is_direct:
        level = {
            "tls_requested": facts.tls_requested,
            "tls_policy": tls_policy,
            "tls_achieved": facts.tls_achieved.value,
            "tls_why": facts.tls_why,
        }
    return SmtpSession(
        destination_id=destination.pk,
        worker_id=lease.worker_id,
        host=facts.host[:255],
        address=facts.address,
        port=facts.port,
        local_address=facts.local_address,
        started_at=lease.now,
        greeting=storable(facts.greeting),
        extensions=dict(facts.extensions),
        tls=asdict(facts.tls) if facts.tls else None,
        auth_mechanism=facts.auth_mechanism,
        tried=[[address, reason.dump()] for address, reason in facts.tried],
        phases_ms=facts.phases_ms,
        opening=transcript_json(opening) if opening else "",
        **level,
    )


def unopened_row(destination: Destination, lease: Lease, fault: smtp.SmtpFault) -> SmtpSession:
    """Return the row of a session that this fault prevented."""
    return session_row(destination, lease, fault.facts, fault.transcript, fault.tls_policy)


def transcript_json(transcript: smtp.Transcript) -> str:
    """Return a transcript in the form in which it is stored."""
    return storable(json.dumps(transcript.dump(), ensure_ascii=False))

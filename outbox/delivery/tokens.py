"""Access tokens of accounts, and their renewal by one process at a time.

A token is renewed before it expires, when a session is about to be opened. No database transaction
is open during a request. The row of the account decides between processes on all hosts:

1. The lease is taken by one statement, judged by the database's clock.
2. The token service is asked.
3. The new tokens are stored by one statement, which is a transaction of its own, and which names
   the generation that it replaces. A rotated refresh token is therefore stored as soon as it is
   known, whatever becomes of the delivery.

A process that is killed before 2 delays the renewal until the lease ends. Between 2 and 3 it loses
the new tokens. The next process sends the former refresh token: most services accept it, and one
that rotates rejects it, so that the account says “Connect again”. A result that arrives after the
lease was lost is stored if no other was stored since.

Only a rejection (`outbox.oauth.faults`) holds an account. The trouble of a service delays its next
request, and a token that is still valid is used until then.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.models import F, Q
from django.views.decorators.debug import sensitive_variables

from outbox import oauth
from outbox.backoff import Backoff
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery.token_service import request_tokens, token_of_site
from outbox.models import Account
from outbox.models.oauth import WITH_NEW_TOKENS, OAuthAccess, OAuthToken, tokens_of
from outbox.models.secrets import SecretUnreadableError
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import FaultKind, Phase, SmtpFault

logger = logging.getLogger(__name__)
MARGIN = dt.timedelta(minutes=5)  # a token is renewed this long before it expires
_SHARE = 4  # of a short-lived token, that is a quarter of its lifetime
LEASE = dt.timedelta(seconds=60)  # longer than a request may take, and storing its result
_STORED_WITHIN = 30.0  # seconds for which storing is repeated while the database is unavailable
WAIT = 0.25  # seconds between two looks at a row that another process renews
WAIT_MAX = 25.0  # seconds; then the account waits like one whose service is unavailable
_TROUBLE = FaultKind.AUTH_TEMPORARY
BACKOFF = Backoff(first=15, factor=2, longest=900, jitter=0.2, can_shorten=False)


class RefreshWaits(Exception):  # noqa: N818 - nothing went wrong
    """Another process renews the token."""


@dataclass(frozen=True, slots=True)
class Access:
    """A token to log in with."""

    token: str = field(repr=False)
    generation: int | None = None  # None: it cannot be renewed here


@sensitive_variables()
def access_for(account: Account, using: str, *, rejected: int | None = None) -> Access:
    """Return a token for an account, renewed if necessary.

    `rejected` is the generation of a token that the server rejected. It is replaced, but only once:
    a token that already replaced a rejected one is returned again. Raise SmtpFault, RefreshWaits,
    and SecretUnreadableError for a token that was entered.
    """
    given = _token_of_site(account)
    if given is not None:
        return Access(given)
    row = tokens_of(account, using)
    if row is None:
        return Access(account.secret)
    if row.is_rejected:
        raise _held(row.reason)
    now = database_now(using)
    is_forced = rejected is not None and row.generation == rejected
    if is_forced and row.forced_generation == row.generation:
        return _present(row)
    is_usable = row.is_usable(now) and not is_forced and not _is_discarded(row)
    if is_usable and not _is_due(row, now):
        return _present(row)
    try:
        return _renewed(row, now, using, is_forced=is_forced)
    except (RefreshWaits, SmtpFault) as obstacle:
        if not is_usable or (isinstance(obstacle, SmtpFault) and obstacle.kind != _TROUBLE):
            raise
        return _present(row)


@sensitive_variables()
def current_access(account: Account, using: str) -> Access | None:
    """Return the stored token of an account if no request is needed; None if one may be.

    Raise SmtpFault for a rejected account, and SecretUnreadableError for a token that was entered.
    """
    if get_conf().token_provider:
        return None  # the site's own code may take as long as a request
    row = tokens_of(account, using)
    if row is None:
        return Access(account.secret)
    if row.is_rejected:
        raise _held(row.reason)
    now = database_now(using)
    if not row.is_usable(now) or _is_due(row, now) or _is_discarded(row):
        return None
    return _present(row)


@sensitive_variables()
def wait_for_access(account: Account, using: str, *, rejected: int | None = None) -> Access:
    """Return a token for an account, and wait while another process renews it.

    `rejected` is as for `access_for`. Raise SmtpFault and SecretUnreadableError.
    """
    ends_at = time.monotonic() + WAIT_MAX
    while True:
        try:
            return access_for(account, using, rejected=rejected)
        except RefreshWaits:
            if time.monotonic() > ends_at:
                raise waits_too_long() from None
        time.sleep(WAIT)  # no event reports that another process has stored its result


def waits_too_long() -> SmtpFault:
    """Return the fault of a renewal by another process that takes too long."""
    return _waiting(Reason(ReasonCode.TOKEN_REFRESH_WAITS))


def store(
    row: OAuthToken, tokens: oauth.TokenSet, now: dt.datetime, using: str, **more: Any
) -> bool:
    """Store new tokens, unless another generation was stored since. Return whether they were.

    They count from `now`, a time of the database before they were requested.
    """
    columns = row.encrypted(access=tokens.access_token, refresh=tokens.refresh_token)
    same = OAuthToken.objects.using(using).filter(pk=row.pk, generation=row.generation)
    changed = same.update(
        **columns,
        expires_at=end_of(tokens, now),
        refreshed_at=now,
        **WITH_NEW_TOKENS,
        **more,
    )
    return changed > 0


def end_of(tokens: oauth.TokenSet, now: dt.datetime) -> dt.datetime:
    """Return when an access token expires that was requested at this time of the database."""
    return now + dt.timedelta(seconds=tokens.lifetime)


def _is_due(row: OAuthToken, now: dt.datetime) -> bool:
    """Return whether a valid token is about to expire."""
    assert row.expires_at is not None
    lifetime = row.expires_at - (row.refreshed_at or now)
    return row.expires_at - min(MARGIN, lifetime / _SHARE) <= now


def _is_discarded(row: OAuthToken) -> bool:
    """Return whether an app's token is for another server or mailbox. A new one needs no person."""
    if row.provider.access != OAuthAccess.APP:
        return False
    try:
        return not row.access_token
    except SecretUnreadableError:
        return True


@sensitive_variables()
def _present(row: OAuthToken) -> Access:
    try:
        return Access(row.access_token, row.generation)
    except SecretUnreadableError:  # the server or the username was changed since
        raise _held(Reason(ReasonCode.TOKEN_NOT_CONNECTED)) from None


def _take_lease(row: OAuthToken, key: str, now: dt.datetime, using: str) -> bool:
    same = OAuthToken.objects.using(using).filter(
        Q(lease_until=None) | Q(lease_until__lte=now),
        Q(retry_at=None) | Q(retry_at__lte=now),  # another process may have recorded a fault
        pk=row.pk,
        generation=row.generation,
        is_rejected=False,
    )
    return same.update(lease_until=now + LEASE, lease_key=key) > 0


@sensitive_variables()
def _renewed(row: OAuthToken, now: dt.datetime, using: str, *, is_forced: bool) -> Access:
    """Return a new token. Raise SmtpFault, and RefreshWaits while another process renews it."""
    if row.retry_at is not None and row.retry_at > now:
        raise _waiting(row.reason)
    key = secrets.token_hex(16)
    if not _take_lease(row, key, now, using):
        raise RefreshWaits
    try:
        tokens = request_tokens(row, now.timestamp())
    except oauth.TokenFault as fault:
        if not _record_fault(row, key, fault, using):
            raise RefreshWaits from None  # another process has stored a result since
        if fault.effect is oauth.Effect.REJECTED:
            raise _held(fault.reason) from None
        raise _waiting(_hinted(fault)) from None
    forced = row.generation + 1 if is_forced else None
    if not _store_surely(row, tokens, now, using, forced):
        raise RefreshWaits
    return Access(tokens.access_token, row.generation + 1)


@sensitive_variables()
def _store_surely(
    row: OAuthToken, tokens: oauth.TokenSet, now: dt.datetime, using: str, forced: int | None
) -> bool:
    """Store new tokens, also after the database was unavailable: no other copy exists."""
    ends_at = time.monotonic() + _STORED_WITHIN
    while True:
        try:
            return store(row, tokens, now, using, forced_generation=forced)
        except DATABASE_UNAVAILABLE:
            if time.monotonic() > ends_at:
                raise
            logger.warning("New tokens of account %d wait for the database.", row.pk)
            connections[using].close()
        time.sleep(WAIT)  # no event reports that the database is back


def _token_of_site(account: Account) -> str | None:
    try:
        return token_of_site(account)
    except oauth.TokenFault as fault:
        raise _waiting(fault.reason) from None


def _record_fault(row: OAuthToken, key: str, fault: oauth.TokenFault, using: str) -> bool:
    """Record a fault and end the lease. Return False if another process took over since."""
    same = OAuthToken.objects.using(using).filter(
        pk=row.pk, generation=row.generation, lease_key=key
    )
    if fault.effect is oauth.Effect.REJECTED:
        changed = same.update(
            is_rejected=True,
            reason=fault.reason,
            rejected_client=row.provider.client_fingerprint,
            lease_until=None,
            lease_key="",
        )
        if changed:
            logger.warning("Account %d has to be connected again: %s", row.pk, fault.reason)
        return changed > 0
    chance = random.random()  # noqa: S311  # jitter
    seconds = max(BACKOFF.wait(row.faults + 1, chance), fault.wait)
    logger.warning("The token of account %d was not renewed: %s", row.pk, fault.reason)
    changed = same.update(
        faults=F("faults") + 1,
        retry_at=database_now(using) + dt.timedelta(seconds=seconds),
        reason=_hinted(fault),
        lease_until=None,
        lease_key="",
    )
    return changed > 0


def _hinted(fault: oauth.TokenFault) -> Reason:
    """Return the reason with the wait that the service asks for, which the circuit obeys."""
    if not fault.wait:
        return fault.reason
    return fault.reason.with_reply(f"Retry after {fault.wait:.0f} seconds")


def _held(reason: Reason) -> SmtpFault:
    """Return the fault that opens the circuit until a person fixes the account."""
    return SmtpFault(Phase.AUTH, FaultKind.AUTH_UNAVAILABLE, reason)


def _waiting(reason: Reason) -> SmtpFault:
    """Return the fault of a service that is unavailable. It says nothing about the account."""
    return SmtpFault(Phase.AUTH, _TROUBLE, reason)

"""What stops an account's messages: an open circuit, or a limit that is reached.

The rules are those of `outbox.delivery`; here they are shown to the people whose messages wait. The
owner can retry at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import Account, Circuit, Destination
from outbox.reasons import Reason

SHOWN = 3  # destinations of one account


@dataclass(frozen=True, slots=True)
class BlockedDestination:
    """A destination to which nothing is sent at present, and why."""

    destination: Destination
    is_limit: bool  # else its circuit is open, or one message is being sent as a test
    is_suspended: bool = False  # the limit is one that the server asked for

    @property
    def needs_person(self) -> bool:
        """Return whether waiting alone will not help."""
        return self.destination.circuit_needs_person and not self.is_limit

    @property
    def reason(self) -> Reason:
        """Return the server's reply, or the limit."""
        row = self.destination
        if self.is_suspended:
            return row.limit_reason
        return row.paused_reason if self.is_limit else row.circuit_reason

    @property
    def wants_connecting(self) -> bool:
        """Return whether the owner has to allow the access to the mailbox again."""
        connection = getattr(self.destination.account, "oauth_token", None)
        return connection is not None and connection.is_rejected

    @property
    def place(self) -> str:
        """Return the server, or the domain of a direct delivery."""
        return str(self.destination)

    @property
    def until(self) -> dt.datetime | None:
        """Return when delivery is tried again without a person."""
        row = self.destination
        if self.is_suspended:
            return row.limit_until
        return row.paused_until if self.is_limit else row.circuit_until


def blocked_by_account(accounts: Iterable[Account]) -> dict[int, list[BlockedDestination]]:
    """Return the blocked destinations of each account, by its key; urgent ones first."""
    using = get_conf().database
    now = database_now(using)
    rows = (
        Destination.objects.using(using)
        .filter(account__in=[account.pk for account in accounts])
        .filter(
            ~Q(circuit=Circuit.CLOSED) | Q(paused_until__gt=now) | Destination.is_suspended_at(now),
            Destination.fitting(),
        )
        .select_related("account", "account__oauth_token")
        .order_by("-circuit_needs_person", "pk")
    )
    found: dict[int, list[BlockedDestination]] = {}
    for row in rows:
        is_limit = row.circuit == Circuit.CLOSED
        blocked = found.setdefault(row.account_id, [])
        is_suspended = is_limit and row.is_suspended(now)
        if len(blocked) < SHOWN and (not is_limit or is_suspended or row.is_paused(now)):
            blocked.append(BlockedDestination(row, is_limit, is_suspended))
    return found


def needing_attention(user: User | AnonymousUser) -> list[BlockedDestination]:
    """Return, for each of the user's own accounts, the first destination that needs a person."""
    rows = (
        Destination.objects.using(get_conf().database)
        .filter(
            Destination.fitting(),
            account__in=Account.objects.owned_by(user),
            circuit_needs_person=True,
        )
        .exclude(circuit=Circuit.CLOSED)
        .select_related("account", "account__oauth_token")
        .order_by("account_id", "pk")
    )
    first: dict[int, BlockedDestination] = {}
    for row in rows:
        first.setdefault(row.account_id, BlockedDestination(row, is_limit=False))
    return list(first.values())


def can_retry(blocked: Iterable[BlockedDestination]) -> bool:
    """Return whether a retry may help; a limit ends only by itself, and a rejection never."""
    return any(not one.is_limit and not one.wants_connecting for one in blocked)

"""What keeps an account's mail back: an open circuit, or a limit that is used up.

The rules are delivery's; here they are put before the people whose mail waits. The owner can let it
be tried at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q

from outbox import api
from outbox.conf import get_conf
from outbox.delivery.route import is_paused
from outbox.models import Account, Circuit, Destination
from outbox.models.clock import database_now

SHOWN = 3  # routes of one account; a direct account may have a hundred held domains


@dataclass(frozen=True, slots=True)
class Hold:
    """One route that lets nothing through, and why."""

    route: Destination
    is_limit: bool  # else its circuit is open, or one mail is being tried

    @property
    def needs_person(self) -> bool:
        """Tell whether waiting alone will not help."""
        return self.route.circuit_needs_person and not self.is_limit

    @property
    def reason(self) -> str:
        """The server's words, or the limit."""
        return self.route.paused_reason if self.is_limit else self.route.circuit_reason

    @property
    def place(self) -> str:
        """The server, or the domain of a direct route."""
        return str(self.route)

    @property
    def until(self) -> dt.datetime | None:
        """When it is tried again by itself."""
        return self.route.paused_until if self.is_limit else self.route.circuit_until


def holds_of(accounts: Iterable[Account]) -> dict[int, list[Hold]]:
    """Return what holds the mail of each account, by its key; those that need a person first."""
    using = get_conf().database
    now = database_now(using)
    routes = (
        Destination.objects.using(using)
        .filter(account__in=[account.pk for account in accounts])
        .filter(~Q(circuit=Circuit.CLOSED) | Q(paused_until__gt=now))
        .select_related("account")
        .order_by("-circuit_needs_person", "pk")
    )
    found: dict[int, list[Hold]] = {}
    for route in routes:
        is_limit = route.circuit == Circuit.CLOSED
        held = found.setdefault(route.account_id, [])
        if len(held) < SHOWN and (not is_limit or is_paused(route, now)):
            held.append(Hold(route, is_limit))
    return found


def needing(person: User | AnonymousUser) -> list[Hold]:
    """Return the routes of the person's own accounts that wait for them to act."""
    routes = (
        Destination.objects.using(get_conf().database)
        .filter(account__in=Account.objects.owned_by(person), circuit_needs_person=True)
        .exclude(circuit=Circuit.CLOSED)
        .select_related("account")
        .order_by("account_id", "pk")
    )
    first: dict[int, Hold] = {}
    for route in routes:
        first.setdefault(route.account_id, Hold(route, is_limit=False))
    return list(first.values())


def try_now(account: Account) -> int:
    """Let all the account's mail be tried at once; return how many routes were held."""
    routes = account.destinations.using(get_conf().database).exclude(circuit=Circuit.CLOSED)
    return sum(api.close_circuit(route) for route in routes)

"""The limits in force for a destination, each with its source.

Those of the account apply to each destination. A direct account has one for each MX site, whose
shaping may be stricter. A reply of the site can slow it down for a while.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from outbox.conf import get_conf
from outbox.mx_shaping import usable_overrides
from outbox.net.providers import by_mx_site
from outbox.net.shaping import Effect
from outbox.net.sites import Limit, MxSite, SiteShaping, Source, shaping_of

if TYPE_CHECKING:
    from outbox.models.destination import Destination

_SLOW = 1  # connection, and message a minute, after a reply that asks to slow down


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationLimits:
    """What is allowed at present; None: no limit."""

    connections: Limit
    per_connection: Limit  # messages
    per_minute: Limit | None = None  # recipients
    per_day: Limit | None = None  # recipients
    shaping: SiteShaping | None = None  # of an MX site


def limits_of(destination: Destination, now: dt.datetime) -> DestinationLimits:
    """Return the limits in force."""
    account, conf = destination.account, get_conf()
    connections = [
        Limit(account.max_connections, Source.ACCOUNT),
        Limit(conf.max_connections_per_account, Source.SETTING, "MAX_CONNECTIONS_PER_ACCOUNT"),
    ]
    per_connection = [Limit(conf.session_max_messages, Source.SETTING, "SESSION_MAX_MESSAGES")]
    per_minute = [Limit(account.per_minute, Source.ACCOUNT)]
    per_day = [Limit(account.per_day, Source.ACCOUNT)]
    site = site_at(destination)
    is_sent_to = destination.fits_account and not destination.is_unresolved
    if not is_sent_to:  # its recipients are moved
        per_minute, per_day = [], []
    if site is None:
        return DestinationLimits(
            connections=_least(connections) or connections[0],
            per_connection=per_connection[0],
            per_minute=_least(per_minute),
            per_day=_least(per_day),
        )
    shaping = shaping_of(site, usable_overrides())
    connections.append(shaping.connections)
    if is_sent_to:
        per_minute.append(shaping.messages_per_minute)
    if destination.limit_effect == Effect.SLOW_DOWN and destination.is_limited_by_reply(now):
        slow = Limit(_SLOW, Source.REPLY)
        connections.append(slow)
        if is_sent_to:
            per_minute.append(slow)
    return DestinationLimits(
        connections=_least(connections) or connections[0],
        per_connection=_least([*per_connection, shaping.messages_per_connection])
        or per_connection[0],
        per_minute=_least(per_minute),
        per_day=_least(per_day),
        shaping=shaping,
    )


def site_at(destination: Destination) -> MxSite | None:
    """Return the MX site of a destination; None for a smarthost, and before the lookup."""
    key = destination.site_key
    return _site(key, destination.mx_hosts) if key else None


@lru_cache(maxsize=2_000)
def _site(key: str, hosts: str) -> MxSite:
    return MxSite(key, tuple(hosts.split()) or tuple(key.split(",")), by_mx_site(key))


def _least(limits: Iterable[Limit]) -> Limit | None:
    given = [one for one in limits if one.value is not None]
    return min(given, key=lambda one: int(one.value), default=None)

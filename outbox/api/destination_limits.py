"""The MX sites of a direct account: the limits in force, where each comes from, and the circuit."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Case, IntegerField, When
from django.utils.translation import gettext as _

from outbox.api.explanations import Explanation, blocked_by
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import MX_PREFIX, Account, Circuit, Destination
from outbox.models.destination_limits import DestinationLimits, limits_of
from outbox.models.pause import pauses_in_force
from outbox.net.sites import Limit, Source

SITES_MAX = 100


@dataclass(frozen=True, slots=True)
class SiteLimit:
    """One limit of a site; `words` say where it comes from."""

    name: str  # connections, per_connection, per_minute, per_day or tls_floor
    label: str  # the name in the reader's language
    value: int | str
    source: str
    words: str


@dataclass(frozen=True, slots=True)
class SiteState:
    """One MX site of an account."""

    destination_id: int
    name: str
    hosts: tuple[str, ...]
    circuit: Circuit
    limits: tuple[SiteLimit, ...]
    blocked_by: Explanation | None  # what keeps its messages waiting


def sites_of(account: Account, limit: int = SITES_MAX) -> list[SiteState]:
    """Return up to `limit` MX sites of an account: those with an open circuit come first."""
    using = get_conf().database
    now, pauses = database_now(using), pauses_in_force(using)
    is_closed = Case(
        When(Destination.has_circuit(Circuit.CLOSED), then=1),
        default=0,
        output_field=IntegerField(),
    )
    rows = (
        Destination.objects.using(using)
        .filter(account=account.pk, key__startswith=MX_PREFIX)
        .select_related("account")
        .alias(closed=is_closed)
        .order_by("closed", "key")[:limit]
    )
    return [
        SiteState(
            destination_id=row.pk,
            name=str(row),
            hosts=tuple(row.mx_hosts.split()),
            circuit=row.circuit_in_force,
            limits=tuple(_limits(limits_of(row, now))),
            blocked_by=blocked_by(row, now, pauses),
        )
        for row in rows
    ]


def _limits(found: DestinationLimits) -> Iterator[SiteLimit]:
    given = {
        "connections": found.connections,
        "per_connection": found.per_connection,
        "per_minute": found.per_minute,
        "per_day": found.per_day,
        "tls_floor": found.shaping.tls_floor if found.shaping else None,
    }
    for name, one in given.items():
        if one is not None:
            value = one.value if isinstance(one.value, int) else str(one.value)
            yield SiteLimit(name, _label(name), value, one.source.value, _source(one))


def _label(name: str) -> str:
    return {
        "connections": _("connections"),
        "per_connection": _("messages per connection"),
        "per_minute": _("recipients per minute"),
        "per_day": _("recipients per day"),
        "tls_floor": _("least TLS"),
    }[name]


def _source(limit: Limit) -> str:
    words = {
        Source.DEFAULT: _("default"),
        Source.PROVIDER: _("provider: %(name)s"),
        Source.SETTING: _("setting: %(name)s"),
        Source.ACCOUNT: _("account"),
        Source.REPLY: _("reply of the server"),
    }
    return words[limit.source] % {"name": limit.name}

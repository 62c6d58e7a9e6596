"""The destinations: whether messages are sent to them, and what keeps the others waiting."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, Count, IntegerField, When
from django.utils.translation import gettext as _

from outbox.api.explanations import Explanation, blocked_by
from outbox.api.operations.present import Present
from outbox.delivery.limits import connections_of, quota_left
from outbox.models import Circuit, Destination, Pause, Slot
from outbox.net.providers import provider_of

SHOWN_MAX = 200


@dataclass(frozen=True, slots=True)
class DestinationState:
    """One destination at the time of the call; `waiting` and `due` are of the last snapshot."""

    destination_id: int
    name: str  # the server
    account_id: int
    account: str
    provider: str  # of the account's address, in the reader's language; "" if it is not known
    circuit: Circuit
    needs_person: bool
    connections: int  # in use
    connections_allowed: int
    minute_left: int | None  # recipients that the limit per minute still allows; None: no limit
    day_left: int | None
    waiting: int  # recipients
    due: int
    blocked_by: Explanation | None  # why they wait, and until when; None if nothing blocks them


def destinations(limit: int = SHOWN_MAX, present: Present | None = None) -> list[DestinationState]:
    """Return up to `limit` destinations: blocked ones first, then those with messages."""
    present = present or Present()
    using, now, snapshot = present.using, present.now, present.snapshot
    waiting = {pk: (number, due) for pk, number, due in snapshot.by_destination} if snapshot else {}
    is_closed = When(Destination.has_circuit(Circuit.CLOSED), then=1)
    has_messages = When(pk__in=list(waiting), then=0)
    rows = (
        Destination.objects.using(using)
        .select_related("account")
        .annotate(
            closed=Case(is_closed, default=0, output_field=IntegerField()),
            empty=Case(has_messages, default=1, output_field=IntegerField()),
        )
        .order_by("closed", "empty", "pk")[:limit]
    )
    slots = Slot.objects.using(using).values_list("destination_id").annotate(Count("pk"))
    in_use = dict(slots.order_by())
    return [
        _state(row, now, in_use.get(row.pk, 0), *waiting.get(row.pk, (0, 0)), present.pauses)
        for row in rows
    ]


def _state(
    row: Destination,
    now: dt.datetime,
    connections: int,
    waiting: int,
    due: int,
    pauses: Sequence[Pause],
) -> DestinationState:
    account = row.account
    provider = provider_of(account.from_address.rpartition("@")[2])
    minute_left, day_left = quota_left(row, now)
    return DestinationState(
        destination_id=row.pk,
        name=str(row),
        account_id=account.pk,
        account=str(account),
        provider=_(provider.name) if provider else "",
        circuit=row.circuit_in_force,
        needs_person=row.circuit_needs_person and row.fits_account,
        connections=connections,
        connections_allowed=connections_of(row, now),
        minute_left=minute_left,
        day_left=day_left,
        waiting=waiting,
        due=due,
        blocked_by=blocked_by(row, now, pauses),
    )

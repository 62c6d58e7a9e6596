"""The set of an operation: the ids of the messages that an action can change.

One query reads the ids of a filter. No list counts its table: only messages that match are read,
and the statuses that the action's states imply have indexes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet

from outbox.api.history.criteria import Criteria, matching
from outbox.models import DUE, FAILURES, Message, Recipient, State, Status

_Messages = TypeVar("_Messages", bound=QuerySet[Message])
_READ_AT_ONCE = 10_000
_WAITING = (Status.QUEUED, Status.SCHEDULED, Status.DEFERRED)
# The statuses that a message with a recipient in a state may have. A failure has a column.
_STATUSES = {
    State.UNCERTAIN: (Status.UNCERTAIN,),  # it precedes every other status
    State.HELD: (*_WAITING, Status.HELD, Status.UNCERTAIN),
    **dict.fromkeys((*DUE, State.SENDING), (*_WAITING, Status.UNCERTAIN)),
}


def changeable(messages: _Messages, states: Sequence[State]) -> _Messages:
    """Limit messages to those with a recipient in one of the states."""
    recipients = Recipient.objects.filter(message=OuterRef("pk"), state__in=states)
    return messages.filter(_may_have(states), Exists(recipients))


def _may_have(states: Sequence[State]) -> Q:
    statuses = {status for state in states for status in _STATUSES.get(state, ())}
    condition = Q(status__in=sorted(statuses)) if statuses else Q()
    if any(state in FAILURES for state in states):
        condition |= Q(has_failure=True)
    return condition


def matching_ids(criteria: Criteria, states: Sequence[State], using: str) -> Sequence[int]:
    """Return the ids of the messages that match a filter and have such a recipient, ascending."""
    found = [_ids(one.using(using), states) for one in matching(criteria)]
    return found[0] if len(found) == 1 else sorted(set().union(*found))


def chosen_ids(ids: Sequence[int], states: Sequence[State], using: str) -> Sequence[int]:
    """Return those of some messages that have such a recipient, ascending."""
    return _ids(Message.objects.using(using).filter(pk__in=ids), states)


def _ids(messages: QuerySet[Message], states: Sequence[State]) -> Sequence[int]:
    rows = changeable(messages, states).order_by("pk").values_list("pk", flat=True)
    return array("q", rows.iterator(_READ_AT_ONCE))

"""Recipients in the state that a test starts from, reached by lawful transitions only."""

from collections import deque
from typing import Any

from django.db.models import Manager, QuerySet

from outbox.models import CHANGES, Recipient, State


def set_state(
    recipients: Manager[Recipient] | QuerySet[Recipient], state: State | str, **values: Any
) -> int:
    """Change the recipients' state and further columns; return the number of recipients.

    Intermediate states change no other column.
    """
    rows = recipients.order_by("pk").values_list("pk", "state")
    by_state: dict[State, list[int]] = {}
    for pk, before in rows:
        by_state.setdefault(State(before), []).append(pk)
    every = Recipient.objects.using(recipients.db)
    for before, ids in by_state.items():
        for step in _path(before, State(state)):
            every.filter(pk__in=ids).update(state=step)
    ids = [pk for group in by_state.values() for pk in group]
    return every.filter(pk__in=ids).update(state=state, **values)


def _path(before: State, after: State) -> list[State]:
    """Return the shortest lawful way from one state to another, without the first one."""
    paths = deque([[before]])
    while paths:
        path = paths.popleft()
        if path[-1] == after:
            return path[1:]
        paths += [[*path, state] for state in CHANGES[path[-1]] if state not in path]
    raise ValueError(f"No transitions lead from {before} to {after}.")

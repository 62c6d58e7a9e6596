"""One page of a folder: its rows, and the addresses of the pages beside it.

Paged by key, not by number: no list is counted, and a page costs the same however far down it is.
Bodies, sources and transcripts are never loaded here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db.models import Count, Min
from django.http import QueryDict

from outbox.models import DUE, Folder, Message, Recipient, State, Status
from outbox.web.numbers import number
from outbox.web.wording import NORMAL

PAGE_SIZE = 50
SUMMARISED = 3  # as many names stand in a queued mail's `to_summary`
LIVE_FOLDERS = (Folder.OUTBOX, Folder.SCHEDULED)
_LISTED = (
    "id",
    "status",
    "subject",
    "snippet",
    "to_summary",
    "recipient_count",
    "attachment_count",
    "priority",
    "created_at",
    "queued_at",
    "send_at",
)


@dataclass(slots=True)
class Row:
    """One message in a list."""

    message: Message
    states: dict[str, int] = field(default_factory=dict)  # state → recipients in it
    next_attempt_at: dt.datetime | None = None

    @property
    def is_mixed(self) -> bool:
        """Tell whether its recipients differ, so that the status alone says too little."""
        return len(self.states) > 1

    @property
    def more_people(self) -> int:
        """How many recipients the summary leaves out."""
        return max(0, self.message.recipient_count - SUMMARISED)

    @property
    def at(self) -> dt.datetime:
        """When it came to this folder, as far as a list needs to know."""
        return self.message.queued_at or self.message.created_at

    @property
    def is_urgent(self) -> bool:
        """Tell whether it goes before others."""
        return self.message.priority < NORMAL


@dataclass(slots=True)
class Page:
    """Rows, newest first."""

    folder: Folder
    rows: list[Row]
    older: int | None  # the key to go on below
    newer: int | None  # the key to go on above
    query: str  # what leads to this very page again

    @property
    def is_live(self) -> bool:
        """Tell whether it may change by itself; further pages are read, not watched."""
        return not self.query and (
            self.folder in LIVE_FOLDERS or any(row.message.status in WATCHED for row in self.rows)
        )

    @property
    def fingerprint(self) -> str:
        """Name what is shown, so that an unchanged list is not sent again."""
        shown = [
            (row.message.pk, row.message.status, sorted(row.states.items()), row.next_attempt_at)
            for row in self.rows
        ]
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


WATCHED = (Status.QUEUED, Status.SENDING, Status.DEFERRED, Status.UNCERTAIN)


def read_page(person: User, folder: Folder, query: QueryDict) -> Page:
    """Read the page of the folder that `before` or `after` (ids of messages) leads to."""
    listed = Message.objects.visible_to(person).filter(folder=folder).only(*_LISTED)
    before, after = number(query.get("before")), number(query.get("after"))
    if after is not None:
        above = list(listed.filter(pk__gt=after).order_by("pk")[: PAGE_SIZE + 1])
        if len(above) > PAGE_SIZE:
            return _page(folder, above[PAGE_SIZE - 1 :: -1], query, older=True, newer=True)
        before = None  # the very top is near: show a whole page of it
    if before is not None:
        listed = listed.filter(pk__lt=before)
    found = list(listed.order_by("-pk")[: PAGE_SIZE + 1])
    return _page(
        folder,
        found[:PAGE_SIZE],
        query if before is not None else QueryDict(),
        older=len(found) > PAGE_SIZE,
        newer=before is not None,
    )


def _page(
    folder: Folder, found: list[Message], query: QueryDict, *, older: bool, newer: bool
) -> Page:
    return Page(
        folder=folder,
        rows=_rows(found),
        older=found[-1].pk if found and older else None,
        newer=found[0].pk if found and newer else None,
        query=query.urlencode(),
    )


def _rows(found: list[Message]) -> list[Row]:
    states, due = _states([message.pk for message in found])
    return [Row(message, states.get(message.pk, {}), due.get(message.pk)) for message in found]


def _states(
    keys: list[int],
) -> tuple[Mapping[int, dict[str, int]], dict[int, dt.datetime]]:
    """Count the recipients of each message by state, and find its next attempt."""
    states: dict[int, dict[str, int]] = defaultdict(dict)
    due: dict[int, dt.datetime] = {}
    counted = (
        Recipient.objects.filter(message__in=keys)
        .order_by()
        .values_list("message", "state")
        .annotate(count=Count("id"), next=Min("next_attempt_at"))
    )
    for key, state, count, next_attempt_at in counted:
        states[key][state] = count
        if next_attempt_at and State(state) in DUE:
            due[key] = min(next_attempt_at, due.get(key, next_attempt_at))
    return {key: _ordered(counts) for key, counts in states.items()}, due


def _ordered(counts: dict[str, int]) -> dict[str, int]:
    """Put states in the order in which they are reached."""
    return {state.value: counts[state] for state in State if state in counts}

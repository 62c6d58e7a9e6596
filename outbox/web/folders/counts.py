"""The numbers that every page shows: messages in folders, unread ones, due reminders.

They are one query, in which each count ends at its maximum, so that no list is counted to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import IntegerField, QuerySet, Subquery
from django.http import HttpRequest

from outbox.api.mailbox_notices import paused_mailboxes
from outbox.api.reminders import due_reminders
from outbox.models import Folder, InboundFolder, InboundMessage, Message

COUNT_MAX = 99  # beyond it the page shows "99+"
COUNTED = (Folder.OUTBOX, Folder.SCHEDULED, Folder.DRAFTS)


class _Count(Subquery):
    """The number of rows of a query, up to one more than are shown."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) _counted)"

    def __init__(self, rows: QuerySet[Any]) -> None:
        first = rows.order_by().values("pk")[: COUNT_MAX + 1]
        super().__init__(first, output_field=IntegerField())


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages wait in each counted folder, are unread, and have a due reminder.

    `mailboxes` are those that are not fetched until the user changes something.
    """

    folders: dict[Folder, int]
    unread: int = 0
    reminders: int = 0
    mailboxes: int = 0


def read_counts(request: HttpRequest) -> Counts:
    """Return the counts of the user of a request, which are read once."""
    found: Counts | None = getattr(request, "_outbox_counts", None)
    if found is None:
        found = _read(request.user) if request.user.is_authenticated else Counts({})
        request._outbox_counts = found  # type: ignore[attr-defined]  # read twice a page
    return found


def _read(user: Any) -> Counts:
    messages = Message.objects.visible_to(user)
    unread = InboundMessage.objects.visible_to(user).filter(
        folder=InboundFolder.INBOX, is_read=False
    )
    counts = {folder.value: _Count(messages.filter(folder=folder)) for folder in COUNTED}
    counts |= {
        "unread": _Count(unread),
        "reminders": _Count(due_reminders(user)),
        "mailboxes": _Count(paused_mailboxes(user)),
    }
    row = get_user_model().objects.filter(pk=user.pk).values_list(*counts.values()).first()
    values = dict(zip(counts, row or [0] * len(counts), strict=True))
    return Counts(
        {folder: values[folder.value] for folder in COUNTED},
        unread=values["unread"],
        reminders=values["reminders"],
        mailboxes=values["mailboxes"],
    )


def count_in_words(count: int) -> str:
    """Return a count for display, empty for none."""
    if count > COUNT_MAX:
        return f"{COUNT_MAX}+"
    return str(count) if count else ""

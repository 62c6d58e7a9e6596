"""One page of a folder: its rows, and the addresses of the pages beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import QueryDict

from outbox.models import Folder, Message, Status
from outbox.web.messages.paging import Place, find_among, read_stretch
from outbox.web.messages.rows import LISTED, Row, read_rows

LIVE_FOLDERS = (Folder.OUTBOX, Folder.SCHEDULED)
WATCHED = (Status.QUEUED, Status.SENDING, Status.DEFERRED, Status.UNCERTAIN)


@dataclass(slots=True)
class Page:
    """Rows, newest first."""

    folder: Folder
    rows: list[Row]
    older: Place | None  # where to go on below
    newer: Place | None  # where to go on above
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


def read_page(person: User, folder: Folder, query: QueryDict) -> Page:
    """Read the page of the folder that `before` or `after` leads to."""
    listed = Message.objects.visible_to(person).filter(folder=folder).only(*LISTED)
    stretch = read_stretch(query, find_among(listed))
    return Page(
        folder=folder,
        rows=read_rows(stretch.messages),
        older=stretch.older,
        newer=stretch.newer,
        query="" if stretch.is_newest else query.urlencode(),
    )

"""A page of mail as a list shows it, whatever the list is of."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from outbox.models import Folder, Status
from outbox.web.messages.paging import Stretch
from outbox.web.messages.rows import Row

LIVE_FOLDERS = (Folder.OUTBOX, Folder.SCHEDULED)
WATCHED = (Status.QUEUED, Status.SENDING, Status.DEFERRED, Status.UNCERTAIN)
ACT_LABELS: dict[str, tuple[str | Promise, str]] = {
    "cancel": (gettext_lazy("Cancel"), "ban"),
    "retry": (gettext_lazy("Retry"), "retry"),
    "hold": (gettext_lazy("Hold"), "pause"),
    "release": (gettext_lazy("Release"), "arrow"),
    "discard": (gettext_lazy("Discard"), "close"),
}
ACTS_IN: dict[Folder | None, tuple[str, ...]] = {
    Folder.OUTBOX: ("retry", "hold", "release", "cancel"),
    Folder.SCHEDULED: ("hold", "cancel"),
    Folder.DRAFTS: ("discard",),
    Folder.FAILED: ("retry",),
    None: ("retry", "hold", "release", "cancel", "discard"),
}
ACTS_IN_APPS = ("retry", "hold", "release", "cancel")
NOTHING_NEW = 204  # htmx leaves the page as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows, newest first."""

    rows: list[Row]
    stretch: Stretch
    refresh: str  # where its rows are asked for again; ends so that a parameter can follow
    here: str  # leads to the newest page of this list; ends likewise
    folder: Folder | None = None  # None: mail of all folders
    is_apps: bool = False  # messages that apps sent
    can_change: bool = True
    shows_snippets: bool = True

    @property
    def is_live(self) -> bool:
        """Tell whether it may change by itself; further pages are read, not watched."""
        return self.stretch.is_newest and (
            self.is_apps
            or self.folder in LIVE_FOLDERS
            or any(row.status in WATCHED for row in self.rows)
        )

    def mark_new(self, keys: Collection[int]) -> None:
        """Mark the rows of messages that the person sees for the first time."""
        for row in self.rows:
            row.is_new = row.is_new or row.message.pk in keys

    @property
    def acts(self) -> list[tuple[str, str | Promise, str]]:
        """What may be done about several of its mails: name, label, icon."""
        if not self.can_change:
            return []
        acts = ACTS_IN_APPS if self.is_apps else ACTS_IN.get(self.folder, ())
        return [(act, *ACT_LABELS[act]) for act in acts]

    @property
    def fingerprint(self) -> str:
        """Name what is shown, so that an unchanged list is not sent again."""
        shown = [
            (
                row.message.pk,
                row.status,
                sorted(row.states.items()),
                row.next_attempt_at,
                row.reason,
            )
            for row in self.rows
        ]
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]

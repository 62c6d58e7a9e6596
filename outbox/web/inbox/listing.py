"""A list of received messages: its rows, its views, and the actions on a selection.

Bodies and sources are never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from outbox.api.received import RECEIVED_ACTIONS, ReceivedAction
from outbox.models import InboundFolder, InboundKind, InboundMessage
from outbox.web.folders.pagination import MessageSlice
from outbox.web.inbox.senders import sender_name

UNREAD = "unread"  # the value of `show`
VIEWS: dict[str, str | Promise] = {
    "": pgettext_lazy("messages", "All"),
    UNREAD: pgettext_lazy("messages", "Unread"),
}
# The columns of InboundMessage that a row shows.
LISTED = (
    "id",
    "kind",
    "folder",
    "is_read",
    "from_header",
    "from_address",
    "subject",
    "snippet",
    "received_at",
    "attachment_count",
)


@dataclass(frozen=True, slots=True)
class ReceivedRow:
    """One received message in a list."""

    message: InboundMessage
    shows_folder: bool = False  # in a list of all folders
    is_received: bool = True

    @property
    def sender(self) -> str:
        """Return the name of the sender, or the address."""
        return sender_name(self.message)

    @property
    def is_notification(self) -> bool:
        """Return whether the row names the kind of the message."""
        return self.message.kind != InboundKind.MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedList:
    """One page of a folder of received messages, newest first."""

    rows: Sequence[ReceivedRow]
    slice: MessageSlice[InboundMessage]
    refresh_url: str  # returns the rows again; a parameter can be appended
    url: str  # leads to the newest page of this list; a parameter can be appended
    folder: InboundFolder
    show: str = ""

    @property
    def actions(self) -> list[ReceivedAction]:
        """Return the actions for selected messages of this list."""
        return [one for one in RECEIVED_ACTIONS.values() if self.folder in one.folders]

    @property
    def is_live(self) -> bool:
        """Return whether the page refreshes its rows; only the newest page does."""
        return self.slice.is_newest and self.folder == InboundFolder.INBOX

    @property
    def fingerprint(self) -> str:
        """Return a hash of what the rows show, so that unchanged rows are not sent again."""
        shown = [(row.message.pk, row.message.is_read) for row in self.rows]
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]

"""The page of a received message: what it replies to or reports, its neighbors, its thread."""

from __future__ import annotations

from functools import cached_property

from outbox.api.received import RECEIVED_ACTIONS, ReceivedAction, on_server
from outbox.models import InboundMessage, InboundReport, Message
from outbox.web.folders.pagination import NEWEST_FIRST, OLDEST_FIRST, Cursor
from outbox.web.inbox.thread import ThreadEntry, read_thread

REPORTS_SHOWN = 100


class ReceivedPage:
    """What the page shows beside the content, with a constant number of queries."""

    def __init__(self, message: InboundMessage) -> None:
        self.message = message

    @cached_property
    def replied_to(self) -> Message | None:
        """Return the message that this one replies to or reports on, if it has the same owner."""
        original = self.message.replies_to
        if original is None or original.owner_id != self.message.owner_id:
            return None
        return original

    @cached_property
    def reports(self) -> list[InboundReport]:
        """Return what a bounce or a similar message says about recipients."""
        reports = self.message.reports.select_related("recipient__message")
        return list(reports.order_by("pk")[: REPORTS_SHOWN + 1])

    @property
    def reports_shown(self) -> list[InboundReport]:
        """Return the first reports."""
        return self.reports[:REPORTS_SHOWN]

    @property
    def has_more_reports(self) -> bool:
        """Return whether there are reports that are not shown."""
        return len(self.reports) > REPORTS_SHOWN

    @cached_property
    def thread(self) -> list[ThreadEntry]:
        """Return the conversation, oldest first; only this message if there is no other."""
        return read_thread(self.message)

    @cached_property
    def older(self) -> InboundMessage | None:
        """Return the message below this one in its folder."""
        return self._beside(Cursor(self.message.received_at, self.message.pk).older, NEWEST_FIRST)

    @cached_property
    def newer(self) -> InboundMessage | None:
        """Return the message above this one in its folder."""
        return self._beside(Cursor(self.message.received_at, self.message.pk).newer, OLDEST_FIRST)

    def _beside(self, place: object, order: tuple[str, ...]) -> InboundMessage | None:
        folder = InboundMessage.objects.filter(
            owner=self.message.owner_id, folder=self.message.folder
        )
        return folder.listed().only("pk").filter(place).order_by(*order).first()

    @property
    def actions(self) -> list[ReceivedAction]:
        """Return the actions that the page offers."""
        return [one for one in RECEIVED_ACTIONS.values() if one.is_offered(self.message)]

    @cached_property
    def server(self) -> list[str]:
        """Return what happens to the copy on the server, in sentences."""
        return on_server([self.message])

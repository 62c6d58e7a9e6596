"""The page of a received message in the admin. Its content is shown on request and recorded."""

from __future__ import annotations

from functools import cached_property

from django.http import HttpRequest
from django.urls import reverse

from outbox.admin.history.page import CONTENT
from outbox.api.reading import record_reading_of_received
from outbox.models import InboundMessage
from outbox.models.access import can_read_received
from outbox.web.inbox.content import RECEIVED_TABS, ReceivedContent
from outbox.web.messages.preview import PAPERS, SANDBOX, make_permit


class ReceivedHistoryPage:
    """What the page shows beside the fields."""

    papers = PAPERS
    sandbox = SANDBOX
    tabs = RECEIVED_TABS

    def __init__(self, message: InboundMessage, request: HttpRequest) -> None:
        self.message = message
        self.request = request
        self.can_read = can_read_received(request.user, message)

    @cached_property
    def content(self) -> ReceivedContent | None:
        """Return the content if a tab of it was asked for and the user may read it.

        The reading is recorded.
        """
        tab = self.request.GET.get(CONTENT, "")
        if tab not in self.tabs or not self.can_read:
            return None
        record_reading_of_received(self.request, self.message)
        return ReceivedContent(self.message, tab)

    @property
    def preview_address(self) -> str:
        """Return the address of the HTML, which only this session can open, for a short time."""
        permit = make_permit(self.message, self.request)
        return reverse("admin:outbox_inboundmessage_preview", args=[self.message.pk, permit])

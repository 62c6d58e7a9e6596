"""The page of a message in the admin: what happened to it, with a bounded number of rows.

The content is shown on request only, since opening it is recorded and shown to the owner.
"""

from __future__ import annotations

from functools import cached_property

from django.db.models import prefetch_related_objects
from django.http import HttpRequest

from outbox.api.reading import record_reading
from outbox.models import DUE, Attempt, Message, Recipient, State
from outbox.models.access import can_read
from outbox.web.messages.content import TABS, Content
from outbox.web.messages.conversation import Conversation, read_conversation
from outbox.web.messages.expiry import expiry_of
from outbox.web.messages.preview import PAPERS, SANDBOX, preview_address
from outbox.web.messages.timeline import TimelineEntry

RECIPIENTS_SHOWN = 100
ATTEMPTS_SHOWN = 10
EVENTS_SHOWN = 100
CONTENT = "content"  # the parameter that names a tab
# Checks and changes compare drafts, which belong to the owner.
_TABS = tuple(tab for tab in TABS if tab not in {"checks", "changes"})


class HistoryPage:
    """What the page shows, with the same number of queries for any message."""

    def __init__(self, message: Message, request: HttpRequest) -> None:
        self.message = message
        self.request = request
        self.can_read = can_read(request.user, message)
        self.tabs = {tab: TABS[tab] for tab in _TABS}
        self._has_few_recipients = message.recipient_count <= RECIPIENTS_SHOWN
        if self._has_few_recipients:  # also each attempt names them
            prefetch_related_objects([message], "recipients")

    @cached_property
    def expiry(self) -> list[str]:
        """Return when parts of the message expire, and what was removed, in sentences."""
        return expiry_of(self.message)

    @cached_property
    def recipients(self) -> list[Recipient]:
        """Return the first recipients."""
        if self._has_few_recipients:
            return list(self.message.recipients.all())
        return list(self.message.recipients.order_by("pk")[:RECIPIENTS_SHOWN])

    @property
    def waiting_states(self) -> tuple[State, ...]:
        """Return the states of recipients that have a next attempt."""
        return (*DUE, State.UNCERTAIN)

    @property
    def recipients_hidden(self) -> int:
        """Return the number of recipients that are not shown."""
        return max(0, self.message.recipient_count - len(self.recipients))

    @cached_property
    def _attempts(self) -> tuple[list[Attempt], int]:
        """Return the latest attempts, newest first, and the number of all."""
        attempts = self.message.attempts.select_related("session", "worker").order_by("-pk")
        latest = list(attempts[: ATTEMPTS_SHOWN + 1])
        if len(latest) <= ATTEMPTS_SHOWN:  # as of most messages: there is nothing to count
            return latest, len(latest)
        return latest[:ATTEMPTS_SHOWN], self.message.attempts.count()

    @cached_property
    def conversations(self) -> list[Conversation]:
        """Return the latest attempts, newest first."""
        latest, count = self._attempts
        return [read_conversation(one, count - number) for number, one in enumerate(latest)]

    @property
    def attempts_hidden(self) -> int:
        """Return the number of older attempts that are not shown."""
        latest, count = self._attempts
        return count - len(latest)

    @cached_property
    def timeline(self) -> list[TimelineEntry]:
        """Return the latest events and attempts, newest first."""
        events = self.message.events.select_related("actor", "recipient").order_by("-pk")
        entries = [TimelineEntry(event.at, event=event) for event in events[:EVENTS_SHOWN]]
        entries += [
            TimelineEntry(one.attempt.started_at, conversation=one) for one in self.conversations
        ]
        return sorted(entries, key=lambda entry: entry.at, reverse=True)

    @cached_property
    def content(self) -> Content | None:
        """Return the content if a tab of it was asked for and the user may read it.

        The reading is recorded.
        """
        tab = self.request.GET.get(CONTENT, "")
        if tab not in self.tabs or not self.can_read:
            return None
        record_reading(self.request, self.message)
        return Content(self.message, tab)

    @property
    def preview_address(self) -> str:
        """Return the address of the HTML, which only this session can open, for a short time."""
        return preview_address(self.message, self.request, "admin:outbox_message_preview")

    @property
    def papers(self) -> dict[str, object]:
        """Return the titles of the previews."""
        return dict(PAPERS)

    @property
    def sandbox(self) -> str:
        """Return what the frame of the preview may do."""
        return SANDBOX

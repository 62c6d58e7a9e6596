"""The timeline of a message: its events and its attempts, of all recipients or of one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Q, prefetch_related_objects

from outbox.models import Event, Message, Recipient
from outbox.web.messages.conversation import Conversation, read_conversation
from outbox.web.messages.network import without_network

EVENTS_SHOWN = 200  # the latest; all of one recipient are shown on request
ATTEMPTS_SHOWN = 10  # the latest; older ones are shown on request


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry of the timeline: an event, or an attempt."""

    at: dt.datetime
    event: Event | None = None
    conversation: Conversation | None = None


class Timeline:
    """What has happened to a message. Transcripts are loaded only when they are asked for."""

    def __init__(
        self,
        message: Message,
        *,
        attempt_count: int,
        every_attempt: bool,
        recipient: int | None,
        shows_network: bool,
    ) -> None:
        self._message = message
        self._attempt_count = attempt_count
        self._every_attempt = every_attempt
        self._asked = recipient
        self._shows_network = shows_network

    @cached_property
    def chosen(self) -> Recipient | None:
        """Return the recipient to which the timeline is limited."""
        if self._asked is None:
            return None
        return self._message.recipients.filter(pk=self._asked).first()

    @cached_property
    def conversations(self) -> list[Conversation]:
        """Return the attempts, newest first."""
        attempts = self._message.attempts.select_related("session", "worker").order_by("-pk")
        if not self._every_attempt:
            attempts = attempts[:ATTEMPTS_SHOWN]
        count = self._attempt_count
        if self._message.recipient_count == 1:  # its results are in the columns of the attempts
            prefetch_related_objects([self._message], "recipients")
        found = [read_conversation(attempt, count - n) for n, attempt in enumerate(attempts)]
        return found if self._shows_network else [without_network(one) for one in found]

    @property
    def has_several_attempts(self) -> bool:
        """Return whether the outcome of an attempt may differ from the recipients' state."""
        return self._attempt_count > 1

    @property
    def attempts_hidden(self) -> int:
        """Return the number of older attempts that are not shown."""
        return self._attempt_count - len(self.conversations)

    @cached_property
    def entries(self) -> list[TimelineEntry]:
        """Return events and attempts, newest first."""
        events = self._events[:EVENTS_SHOWN] if self.has_older_events else self._events
        entries = [TimelineEntry(event.at, event=event) for event in reversed(events)]
        entries += [
            TimelineEntry(one.attempt.started_at, conversation=one)
            for one in self.conversations
            if self.chosen is None or _concerns(one, self.chosen)
        ]
        return sorted(entries, key=lambda entry: entry.at, reverse=True)

    @property
    def has_older_events(self) -> bool:
        """Return whether the timeline does not list all events."""
        return self.chosen is None and len(self._events) > EVENTS_SHOWN

    @cached_property
    def _events(self) -> list[Event]:
        """Return the latest events; those of one recipient without a limit."""
        events = self._message.events.select_related("actor", "recipient").order_by("-pk")
        if self.chosen:
            return list(events.filter(Q(recipient=self.chosen.pk) | Q(recipient=None)))
        return list(events[: EVENTS_SHOWN + 1])


def _concerns(conversation: Conversation, recipient: Recipient) -> bool:
    """Return whether the attempt was for the recipient; one without results may be for anyone."""
    named = {result.address for result in conversation.results}
    is_latest = conversation.attempt.pk == recipient.attempt_id
    return not named or recipient.address in named or is_latest

"""The message page: everything that is known about one message.

The live part has a fingerprint of small columns. Transcripts are loaded only after it has changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from functools import cached_property

from django.db.models import (
    Case,
    Prefetch,
    When,
    prefetch_related_objects,
)
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy

from outbox import api
from outbox.api.recipient_summary import RecipientSummary, summarize
from outbox.mail.wire_ids import queue_id_of
from outbox.models import (
    DUE,
    FINAL,
    OPEN,
    RETRYABLE,
    Attempt,
    InboundMessage,
    Message,
    Notify,
    Recipient,
    ReportRequest,
    State,
    Status,
)
from outbox.models.inbound import InboundMessageQuerySet
from outbox.models.message import MessageQuerySet
from outbox.models.report_request import REPORTED
from outbox.models.states import shown_status
from outbox.web.messages.expiry import expiry_of
from outbox.web.messages.marks import Marks
from outbox.web.messages.reports import ReplyRow, ReportRow, reply_rows, report_rows
from outbox.web.messages.timeline import Timeline

FEW_RECIPIENTS = 5
FIRST_RECIPIENTS = 3  # shown at once if there are more than a few
RECIPIENTS_SHOWN = 200
MADE_FROM_SHOWN = 10
FAST, SLOW = 1, 5  # seconds between refreshes, during an attempt and between attempts
_CALM_LAST = Case(When(state__in=(State.SENT, State.QUEUED), then=1), default=0)
SAME_TIME = dt.timedelta(minutes=1)  # two attempts that are closer are shown as one


_REQUESTED = {
    Notify.SUCCESS: gettext_lazy("on delivery"),
    Notify.FAILURE: gettext_lazy("on failure"),
    Notify.DELAY: gettext_lazy("on delay"),
}


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """One row of the table of recipients."""

    recipient: Recipient
    state: str  # shown
    next_at: dt.datetime | None  # of the next attempt, unless it is shown above the table
    receipt: ReportRow | None = None  # the latest report that it was delivered, relayed or read


class MessagePage:
    """What the page shows. A refresh that finds no change costs three small queries."""

    def __init__(
        self,
        message: Message,
        *,
        every_attempt: bool = False,
        recipient: int | None = None,
        visible: MessageQuerySet,  # the messages that the viewer may open
        received: InboundMessageQuerySet,  # the received messages that the viewer may open
        viewer: int | None = None,  # primary key of the user
        shows_network: bool = False,  # only staff see workers and private addresses
    ) -> None:
        self.message = message
        self._visible = visible
        self._received = received
        self._viewer = viewer
        self.shows_network = shows_network
        self.every_attempt = every_attempt
        self._asked = recipient

    @cached_property
    def explanation(self) -> api.Explanation:
        """Return what is happening and what comes next."""
        return api.explain(self.message)

    @cached_property
    def recipients(self) -> RecipientSummary:
        """Return all recipients, or the counts and some of many."""
        return summarize(self.message)

    @property
    def status(self) -> Status:
        """Return the status to show; "sending" is stored for recipients only."""
        return shown_status(self.message.status, self.recipients.states)

    @cached_property
    def expiry(self) -> list[str]:
        """Return when parts of the message expire, and what was removed, in sentences."""
        return expiry_of(self.message)

    @cached_property
    def replied_to(self) -> Message | None:
        """Return the message that this one replies to, if it has the same owner."""
        if not self.message.in_reply_to:
            return None
        known = self._of_owner.filter(message_id=self.message.in_reply_to)
        return known.order_by("-pk").first() or self._replied_to_on_wire

    @property
    def _replied_to_on_wire(self) -> Message | None:
        """Return the message to which a server gave the id that this one replies to."""
        queue_id = queue_id_of(self.message.in_reply_to)
        if not queue_id:
            return None
        # SQLite uses the partial index only if the query has its condition.
        named = Recipient.objects.filter(remote_queue_id=queue_id).exclude(remote_queue_id="")
        return self._of_owner.filter(pk__in=named.values("message_id")).order_by("-pk").first()

    @cached_property
    def original(self) -> Message | None:
        """Return the message from which the owner made this one, unless it is `replied_to`."""
        if not self.message.made_from_id or self.replied_to is not None:
            return None
        return self._of_owner.filter(pk=self.message.made_from_id).first()

    @cached_property
    def received_original(self) -> InboundMessage | None:
        """Return the received message from which the owner made this one."""
        if self.message.made_from_received_id is None:
            return None
        of_owner = InboundMessage.objects.filter(owner=self.message.owner_id)
        return of_owner.filter(pk=self.message.made_from_received_id).first()

    @property
    def _of_owner(self) -> MessageQuerySet:
        return self._visible.filter(owner=self.message.owner_id)

    @cached_property
    def made_from_message(self) -> list[Message]:
        """Return the replies, forwards and copies that the owner made from the message."""
        made = self._of_owner.filter(made_from=self.message.pk).select_related("draft")
        return list(made.order_by("-pk")[:MADE_FROM_SHOWN])

    @cached_property
    def reports(self) -> list[ReportRow]:
        """Return what bounces and similar messages say about the message."""
        return report_rows(self.message, self._received, self._viewer)

    @cached_property
    def replies(self) -> list[ReplyRow]:
        """Return the received replies that the viewer may open, newest first."""
        return reply_rows(self.message, self._received, self._viewer)

    @cached_property
    def recipients_shown(self) -> list[Recipient]:
        """Return the recipients to show; if there are many, those that need attention come first.

        Each recipient has its latest attempt with the session, unless they were deleted.
        """
        shown = self.recipients.rows
        if self.recipients.total > len(shown):
            shown = list(self.message.recipients.order_by(_CALM_LAST, "pk")[:RECIPIENTS_SHOWN])
        elif len(shown) > FEW_RECIPIENTS:
            shown = sorted(shown, key=_needs_attention, reverse=True)[:RECIPIENTS_SHOWN]
        latest = Attempt.objects.select_related("session").only("session__tls", "session__host")
        prefetch_related_objects(shown, Prefetch("attempt", latest))
        return shown

    @cached_property
    def rows(self) -> list[RecipientRow]:
        """Return a row for each recipient that is shown."""
        receipts = {row.report.recipient_id: row for row in self.reports if row.said}
        return [
            RecipientRow(one, self._state_of(one), self._own_next_at(one), receipts.get(one.pk))
            for one in self.recipients_shown
        ]

    @cached_property
    def requested_reports(self) -> list[str]:
        """Return which delivery reports the sender requested, in words."""
        if not self.message.wants_report:
            return []
        request = ReportRequest.objects.filter(pk=self.message.pk).first()
        wanted = request.wanted if request else frozenset(REPORTED)
        return [str(words) for notify, words in _REQUESTED.items() if notify in wanted]

    @property
    def rows_first(self) -> list[RecipientRow]:
        """Return the rows that are shown at once."""
        return self.rows if len(self.rows) <= FEW_RECIPIENTS else self.rows[:FIRST_RECIPIENTS]

    @property
    def rows_folded(self) -> list[RecipientRow]:
        """Return the rows that are shown on request."""
        return self.rows[len(self.rows_first) :]

    @property
    def is_scheduled(self) -> bool:
        """Return whether the message waits for a time that its owner chose."""
        return self.status == Status.SCHEDULED and not self.message.waits_for_undo

    @property
    def next_attempt_at(self) -> dt.datetime | None:
        """Return the time of the next attempt; of a scheduled message, the sentence has it."""
        return None if self.is_scheduled else self.explanation.until

    def _state_of(self, recipient: Recipient) -> str:
        return self._shown(recipient.state)

    def _shown(self, state: str) -> str:
        """Return the state to show; no state of recipients says that the message is scheduled."""
        return Status.SCHEDULED.value if self.is_scheduled and state == State.QUEUED else str(state)

    def _own_next_at(self, recipient: Recipient) -> dt.datetime | None:
        """Return the time of the recipient's next attempt if it differs from the message's."""
        is_waiting = recipient.state in DUE or recipient.state == State.UNCERTAIN
        if not is_waiting or self.is_scheduled or recipient.next_at is None:
            return None
        shown = self.next_attempt_at
        is_same = shown is not None and abs(recipient.next_at - shown) < SAME_TIME
        return None if is_same else recipient.next_at

    @property
    def is_final(self) -> bool:
        """Return whether no further attempt follows."""
        return self.recipients.states.issubset(FINAL)

    @property
    def query(self) -> str:
        """Return the parameters of the page that its live part needs as well."""
        asked = {"attempts": "all"} if self.every_attempt else {}
        chosen = self.timeline.chosen
        return urlencode(asked | ({"recipient": str(chosen.pk)} if chosen else {}))

    @property
    def return_path(self) -> str:
        """Return the account's address for bounces, if it replaces the envelope sender, or ""."""
        message = self.message
        if message.account is None or message.is_sender_given or not message.envelope_sender:
            return ""
        return message.account.return_path

    @property
    def smtputf8_addresses(self) -> list[str]:
        """Return the addresses for which the server must offer SMTPUTF8 (RFC 6531 3.7)."""
        recipients = self.message.recipients.values_list("address", flat=True)
        addresses = [self.return_path or self.message.envelope_sender, *recipients]
        return [address for address in addresses if not address.rpartition("@")[0].isascii()]

    @property
    def recipients_hidden(self) -> int:
        """Return the number of recipients that are only counted."""
        return max(0, self.recipients.total - RECIPIENTS_SHOWN)

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self.message, self.recipients)

    @cached_property
    def timeline(self) -> Timeline:
        """Return the events and attempts, of one recipient if the user asked for them."""
        return Timeline(
            self.message,
            attempt_count=self._marks.attempt_count,
            every_attempt=self.every_attempt,
            recipient=self._asked,
            shows_network=self.shows_network,
        )

    @property
    def states(self) -> list[tuple[str, int]]:
        """Return the number of recipients by state, in the order of the states."""
        counts = self.recipients.counts
        found = [(self._shown(state), counts[state]) for state in State if counts[state]]
        return sorted(found, key=lambda one: one[0] != Status.SCHEDULED)

    @property
    def has_failed(self) -> bool:
        """Return whether delivery to a recipient failed for good."""
        return bool(self.recipients.states.intersection(RETRYABLE))

    @property
    def fingerprint(self) -> str:
        """Return a hash of what is shown, so that an unchanged page is not sent again."""
        shown = (
            self.status,
            self._marks.of_recipients,
            self._marks.attempts,
            self.message.events.values_list("pk", flat=True).last(),
            self.explanation.sentence,
        )
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]

    @property
    def refresh_after(self) -> int | None:
        """Return the seconds until the next refresh, or None if nothing changes any more."""
        if self.recipients.states.intersection(OPEN):
            return FAST if self._marks.is_busy else SLOW
        return FAST if self._marks.awaits_closing else None


def _needs_attention(recipient: Recipient) -> bool:
    return recipient.state not in {State.SENT, State.QUEUED}

"""The message page: everything the system knows of one mail, and what a person may do about it.

The part that follows the delivery has a fingerprint of small columns; transcripts are loaded only
when it changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Prefetch, Q, prefetch_related_objects
from django.utils import timezone
from django.utils.http import urlencode

from outbox import api
from outbox.models import (
    CANCELLABLE,
    DUE,
    FINAL,
    OPEN,
    RETRYABLE,
    Attempt,
    Event,
    Message,
    Recipient,
    State,
    Status,
)
from outbox.models.states import shown_status
from outbox.web.messages.conversation import Conversation, read_conversation

FEW_RECIPIENTS = 5
FIRST_RECIPIENTS = 3  # shown without unfolding, where there are more than a few
RECIPIENTS_SHOWN = 200
ATTEMPTS_SHOWN = 10  # the latest; older ones are asked for
MADE_SHOWN = 10
FAST, SLOW = 1, 5  # seconds between looks: while something happens, while all waits
SOON = dt.timedelta(seconds=20)
CLOSING_FOR = dt.timedelta(minutes=2)  # how long a settled mail's open connection is watched


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the timeline: an event, or an attempt."""

    at: dt.datetime
    event: Event | None = None
    conversation: Conversation | None = None


class MessagePage:
    """Reads lazily: a look that finds nothing new costs three small queries."""

    def __init__(
        self,
        message: Message,
        *,
        every_attempt: bool = False,
        recipient: int | None = None,
        shows_drafts: bool = True,  # to their writer alone
    ) -> None:
        self.message = message
        self.shows_drafts = shows_drafts
        self.every_attempt = every_attempt
        self._asked = recipient

    @cached_property
    def explanation(self) -> api.Explanation:
        """One sentence on what is happening and what comes next."""
        return api.explain(self.message)

    @cached_property
    def recipients(self) -> list[Recipient]:
        """All of them, in the order they were named; an attempt may ask for them again."""
        prefetch_related_objects([self.message], "recipients")
        return list(self.message.recipients.all())

    @property
    def status(self) -> Status:
        """What the message is doing; while it is being sent, only its recipients say so."""
        return shown_status(self.message.status, {row.state for row in self.recipients})

    @cached_property
    def answered(self) -> Message | None:
        """The mail it answers, where that is one of its writer's own."""
        if not self.message.in_reply_to:
            return None
        known = Message.objects.filter(
            owner=self.message.owner_id, message_id=self.message.in_reply_to
        )
        return known.order_by("-pk").first()

    @cached_property
    def made_into(self) -> list[Message]:
        """What its writer made from it: replies, forwards, copies."""
        made = self.message.made_into.filter(owner=self.message.owner_id).select_related("draft")
        if not self.shows_drafts:
            made = made.exclude(status=Status.DRAFT)
        return list(made.order_by("-pk")[:MADE_SHOWN])

    @cached_property
    def recipients_shown(self) -> list[Recipient]:
        """As they were named; of many, those that need looking at come first. Each has its session.

        An attempt that is gone leaves its recipient none.
        """
        shown = self.recipients
        if len(shown) > FEW_RECIPIENTS:
            shown = sorted(shown, key=_needs_care, reverse=True)[:RECIPIENTS_SHOWN]
        latest = Attempt.objects.select_related("session").only("session__tls", "session__host")
        prefetch_related_objects(shown, Prefetch("attempt", latest))
        return shown

    @property
    def recipients_first(self) -> list[Recipient]:
        """Recipients that are shown at once: all of a few, else those that need attention."""
        few = len(self.recipients_shown) <= FEW_RECIPIENTS
        return self.recipients_shown if few else self.recipients_shown[:FIRST_RECIPIENTS]

    @property
    def recipients_folded(self) -> list[Recipient]:
        """Recipients that are shown on request."""
        return self.recipients_shown[len(self.recipients_first) :]

    @property
    def is_settled(self) -> bool:
        """Whether no further delivery is going to be attempted."""
        return all(recipient.state in FINAL for recipient in self.recipients)

    @cached_property
    def chosen(self) -> Recipient | None:
        """The recipient whose timeline was asked for."""
        return next((one for one in self.recipients if one.pk == self._asked), None)

    @property
    def is_scheduled(self) -> bool:
        """Return whether its time can still be changed."""
        return self.message.status == Status.SCHEDULED and not self.message.waits_for_undo

    @property
    def has_draft(self) -> bool:
        """Return whether it was composed here, so that it can be edited again."""
        return hasattr(self.message, "draft")

    @property
    def query(self) -> str:
        """What of the page's address must be asked for again with its live part."""
        asked = {"attempts": "all"} if self.every_attempt else {}
        return urlencode(asked | ({"recipient": str(self.chosen.pk)} if self.chosen else {}))

    @property
    def in_smtputf8(self) -> list[str]:
        """Name the addresses for which the server must offer SMTPUTF8 (RFC 6531 3.7)."""
        named = [self.message.envelope_sender, *(one.address for one in self.recipients)]
        return [address for address in named if not address.rpartition("@")[0].isascii()]

    @property
    def recipients_hidden(self) -> int:
        """How many recipients are only counted."""
        return max(0, len(self.recipients) - RECIPIENTS_SHOWN)

    @cached_property
    def _marks(self) -> list[tuple[object, ...]]:
        """What there is of attempts, without what they said."""
        return list(
            self.message.attempts.values_list(
                "pk", "outcome", "dot_marked_at", "ended_at", "session__ended_at", "session"
            )
        )

    @cached_property
    def conversations(self) -> list[Conversation]:
        """The attempts, newest first."""
        attempts = self.message.attempts.select_related("session", "worker").order_by("-pk")
        if not self.every_attempt:
            attempts = attempts[:ATTEMPTS_SHOWN]
        count = len(self._marks)
        return [read_conversation(attempt, count - n) for n, attempt in enumerate(attempts)]

    @property
    def has_several_attempts(self) -> bool:
        """Tell whether an attempt may differ from what its recipients have come to since."""
        return len(self._marks) > 1

    @property
    def attempts_hidden(self) -> int:
        """How many older attempts are not shown."""
        return len(self._marks) - len(self.conversations)

    @cached_property
    def timeline(self) -> list[Moment]:
        """Events and attempts, newest first."""
        events = self.message.events.select_related("actor", "recipient")
        if self.chosen:
            events = events.filter(Q(recipient=self.chosen.pk) | Q(recipient=None))
        moments = [Moment(event.at, event=event) for event in events]
        moments += [
            Moment(talk.attempt.started_at, conversation=talk)
            for talk in self.conversations
            if self.chosen is None or _concerns(talk, self.chosen)
        ]
        return sorted(moments, key=lambda moment: moment.at, reverse=True)

    @property
    def states(self) -> list[tuple[str, int]]:
        """How many recipients are in which state, in the order states are reached."""
        counted = Counter(recipient.state for recipient in self.recipients)
        return [(state.value, counted[state]) for state in State if counted[state]]

    @property
    def waiting_states(self) -> tuple[State, ...]:
        """The states in which a next attempt is due some time."""
        return (*DUE, State.UNCERTAIN)

    def _among(self, states: Collection[str]) -> list[Recipient]:
        return [recipient for recipient in self.recipients if recipient.state in states]

    @property
    def cancellable(self) -> list[Recipient]:
        """Whom a cancel may still stop; one being sent may be too late."""
        return self._among((*CANCELLABLE, State.SENDING))

    @property
    def retryable(self) -> list[Recipient]:
        """Recipients that a person may retry; cancelled ones have to be chosen by name."""
        return self._among((*RETRYABLE, State.CANCELLED, State.DEFERRED))

    @property
    def undelivered(self) -> list[Recipient]:
        """Recipients to whom it was not delivered, and will not be by itself."""
        return self._among(RETRYABLE)

    @property
    def uncertain(self) -> list[Recipient]:
        """Of whom a person may say whether they got it."""
        return self._among((State.UNCERTAIN,))

    @property
    def holdable(self) -> list[Recipient]:
        """Whose mail a person may keep back."""
        return self._among(DUE)

    @property
    def held(self) -> list[Recipient]:
        """Who waits for a release."""
        return self._among((State.HELD,))

    @property
    def fingerprint(self) -> str:
        """Name what is shown, so that an unchanged page is not sent again."""
        shown = (
            self.status,
            [
                (row.pk, row.state, row.attempts, row.next_at, row.attempt_id)
                for row in self.recipients
            ],
            self._marks,
            self.message.events.values_list("pk", flat=True).last(),
            self.explanation.sentence,
        )
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]

    @property
    def look_again_after(self) -> int | None:
        """Seconds until the page should look again; None when nothing can change by itself."""
        if any(recipient.state in OPEN for recipient in self.recipients):
            return FAST if self._is_busy else SLOW
        return FAST if self._awaits_closing else None

    @property
    def _is_busy(self) -> bool:
        soon = timezone.now() + SOON
        return any(
            recipient.state == State.SENDING
            or (
                recipient.state in DUE
                and (recipient.next_attempt_at is None or recipient.next_attempt_at <= soon)
            )
            for recipient in self.recipients
        )

    @property
    def _awaits_closing(self) -> bool:
        """The QUIT of a warm connection comes after the outcome."""
        latest = timezone.now() - CLOSING_FOR
        return any(
            session is not None
            and closed is None
            and isinstance(ended, dt.datetime)
            and ended > latest
            for _pk, _outcome, _dot, ended, closed, session in self._marks
        )


def _concerns(talk: Conversation, recipient: Recipient) -> bool:
    """An attempt that came to nothing does not say whom it was for."""
    named = {result.address for result in talk.results}
    return not named or recipient.address in named or talk.attempt.pk == recipient.attempt_id


def _needs_care(recipient: Recipient) -> bool:
    return recipient.state not in {State.SENT, State.QUEUED}

"""A list of messages: its columns, the rows of a page, and what can be done with a selection.

A column is read here and shown in `_rows.html`. Bodies, sources and transcripts are never loaded.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Count, Min, OuterRef, Subquery, Value, When

from outbox.api.message_actions import MESSAGE_ACTIONS, MessageAction, Permission
from outbox.api.reasons import reason_of
from outbox.api.received import RECEIVED_ACTIONS, ReceivedAction
from outbox.models import DUE, FAILURES, Folder, Importance, Message, Recipient, State, Status
from outbox.models.states import shown_status
from outbox.web.folders.pagination import MessageSlice
from outbox.web.inbox.listing import ReceivedRow

APPS = "apps"  # the list of messages of apps, in any folder
LIVE_FOLDERS = (Folder.OUTBOX, Folder.SCHEDULED)
LIVE_STATUSES = (Status.QUEUED, Status.SENDING, Status.DEFERRED, Status.UNCERTAIN)
NOT_CHANGED = 204  # the status that makes htmx keep the page as it is

# The columns of Message that a row shows.
LISTED = (
    "id",
    "status",
    "folder",
    "subject",
    "snippet",
    "is_sensitive",
    "to_summary",
    "recipient_count",
    "attachment_count",
    "importance",
    "listed_at",
    "send_at",
    "has_failure",
    "failure_unseen",
)
# Recipient states whose reason a row shows, the worst first.
_EXPLAINED = dict.fromkeys((*FAILURES, State.UNCERTAIN, State.HELD, State.DEFERRED))
_REASON_FIELDS = ("message_id", "state", "reply_code", "reply_text", "reason")
REASON_MAX = 300  # characters
_ADDRESS_IN_REPLY = re.compile(r"^(\d{3}(?: \d\.\d{1,3}\.\d{1,3})?) <[^<>\s]*>:? ")
NAMES_SHOWN = 3  # `to_summary` names this many recipients


@dataclass(slots=True)
class Row:
    """One message in a list."""

    message: Message
    states: dict[str, int] = field(default_factory=dict)  # state → number of recipients
    next_attempt_at: dt.datetime | None = None
    reason: str = ""  # of one recipient that failed, or is deferred, held or uncertain
    is_new: bool = False  # a failure that its owner had not seen
    is_received: bool = False

    @property
    def status(self) -> Status:
        """Return the status to show; "sending" is stored for recipients only."""
        return shown_status(self.message.status, self.states)

    @property
    def is_mixed(self) -> bool:
        """Return whether the recipients are in different states."""
        return len(self.states) > 1

    @property
    def more_recipients(self) -> int:
        """Return the number of recipients that the summary does not name."""
        return max(0, self.message.recipient_count - NAMES_SHOWN)

    @property
    def is_important(self) -> bool:
        """Return whether the message has high importance."""
        return self.message.importance == Importance.HIGH


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageList:
    """One page of a list, newest first."""

    rows: Sequence[Row | ReceivedRow]  # received messages are in search results only
    slice: MessageSlice[Any]
    refresh_url: str  # returns the rows again; a parameter can be appended
    url: str  # leads to the newest page of this list; a parameter can be appended
    folder: Folder | None = None  # None: messages of all folders
    is_apps: bool = False  # messages that apps sent
    can_change: bool = True
    shows_snippets: bool = True

    @property
    def is_live(self) -> bool:
        """Return whether the page refreshes its rows; only the newest page does."""
        return self.slice.is_newest and (
            self.is_apps
            or self.folder in LIVE_FOLDERS
            or any(row.status in LIVE_STATUSES for row in self._sent)
        )

    @property
    def _sent(self) -> list[Row]:
        return [row for row in self.rows if isinstance(row, Row)]

    def mark_new(self, keys: Collection[int]) -> None:
        """Mark the rows of messages whose failure the user sees for the first time."""
        for row in self._sent:
            row.is_new = row.is_new or row.message.pk in keys

    @property
    def actions(self) -> list[MessageAction]:
        """Return the actions for selected messages of this list."""
        if not self.can_change:
            return []
        return [action for action in MESSAGE_ACTIONS.values() if self._offers(action)]

    @property
    def received_actions(self) -> list[ReceivedAction]:
        """Return the actions for selected received messages, which search results may have."""
        folders = {row.message.folder for row in self.rows if isinstance(row, ReceivedRow)}
        return [one for one in RECEIVED_ACTIONS.values() if folders.intersection(one.folders)]

    def _offers(self, action: MessageAction) -> bool:
        if self.is_apps:
            return bool(action.folders) and action.permission == Permission.CHANGE
        return bool(action.folders) if self.folder is None else self.folder in action.folders

    @property
    def fingerprint(self) -> str:
        """Return a hash of what the rows show, so that unchanged rows are not sent again."""
        shown = [
            (
                row.message.pk,
                row.status,
                sorted(row.states.items()),
                row.next_attempt_at,
                row.reason,
            )
            if isinstance(row, Row)
            else (row.message.pk, row.message.is_read, row.message.folder)
            for row in self.rows
        ]
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def read_rows(messages: Sequence[Message]) -> list[Row]:
    """Return the rows of these messages, with two queries for any number of them."""
    states, next_attempts = recipient_states([message.pk for message in messages])
    reasons = _reasons([key for key, counts in states.items() if counts.keys() & _EXPLAINED])
    return [
        Row(
            message,
            states.get(message.pk, {}),
            next_attempts.get(message.pk),
            reasons.get(message.pk, ""),
            is_new=message.failure_unseen,
        )
        for message in messages
    ]


def _reasons(keys: list[int]) -> dict[int, str]:
    """Return the reason of one recipient of each message: the one in the worst state."""
    if not keys:
        return {}
    rank = Case(
        *(When(state=state, then=Value(number)) for number, state in enumerate(_EXPLAINED)),
        default=Value(len(_EXPLAINED)),
    )
    worst = Recipient.objects.filter(message=OuterRef("pk"), state__in=_EXPLAINED)
    chosen = Message.objects.filter(pk__in=keys).annotate(
        worst=Subquery(worst.order_by(rank, "pk").values("pk")[:1])
    )
    recipients = Recipient.objects.filter(pk__in=chosen.values("worst")).only(*_REASON_FIELDS)
    return {recipient.message_id: _shorten(reason_of(recipient)) for recipient in recipients}


def _shorten(reason: str) -> str:
    """Remove the address with which many servers begin their reply: the row shows it already."""
    return _ADDRESS_IN_REPLY.sub(r"\1 ", reason)[:REASON_MAX]


def recipient_states(
    keys: list[int],
) -> tuple[Mapping[int, dict[str, int]], dict[int, dt.datetime]]:
    """Return the recipients of each message by state, and the time of its next attempt."""
    states: dict[int, dict[str, int]] = defaultdict(dict)
    next_attempts: dict[int, dt.datetime] = {}
    counted = (
        Recipient.objects.filter(message__in=keys)
        .order_by()
        .values_list("message", "state")
        .annotate(count=Count("id"), next=Min("next_attempt_at"))
    )
    for key, state, count, next_attempt_at in counted:
        states[key][state] = count
        if next_attempt_at and State(state) in DUE:
            next_attempts[key] = min(next_attempt_at, next_attempts.get(key, next_attempt_at))
    return {key: _ordered(counts) for key, counts in states.items()}, next_attempts


def _ordered(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts in the order in which the states are reached."""
    return {state.value: counts[state] for state in State if state in counts}

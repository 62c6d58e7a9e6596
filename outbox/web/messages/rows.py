"""The rows of a list of mail: what of each message is seen without opening it.

Bodies, sources and transcripts are never loaded here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Case, Count, Min, OuterRef, Subquery, Value, When

from outbox.api.reasons import reason_of
from outbox.models import DUE, FAILURES, Message, Recipient, State, Status
from outbox.models.states import shown_status
from outbox.web.wording import NORMAL

# States that need an explanation in a list, the worst first.
_EXPLAINED = dict.fromkeys((*FAILURES, State.UNCERTAIN, State.HELD, State.DEFERRED))
_REASON_FIELDS = ("message_id", "state", "reply_code", "reply_text", "reason")
REASON_MAX = 300  # characters
_BEFORE_WORDS = re.compile(r"^(\d{3}(?: \d\.\d{1,3}\.\d{1,3})?) <[^<>\s]*>:? ")
SUMMARISED = 3  # as many names stand in a queued mail's `to_summary`
LISTED = (
    "id",
    "status",
    "folder",
    "subject",
    "snippet",
    "to_summary",
    "recipient_count",
    "attachment_count",
    "priority",
    "listed_at",
    "send_at",
    "has_failure",
    "failure_unseen",
)


@dataclass(slots=True)
class Row:
    """One message in a list."""

    message: Message
    states: dict[str, int] = field(default_factory=dict)  # state → recipients in it
    next_attempt_at: dt.datetime | None = None
    reason: str = ""  # why it is deferred, held, uncertain or failed
    is_new: bool = False  # a failure that its owner had not seen

    @property
    def status(self) -> Status:
        """What the message is doing; while it is being sent, only its recipients say so."""
        return shown_status(self.message.status, self.states)

    @property
    def is_mixed(self) -> bool:
        """Tell whether its recipients differ, so that the status alone says too little."""
        return len(self.states) > 1

    @property
    def more_people(self) -> int:
        """How many recipients the summary leaves out."""
        return max(0, self.message.recipient_count - SUMMARISED)

    @property
    def is_urgent(self) -> bool:
        """Tell whether it goes before others."""
        return self.message.priority < NORMAL


def read_rows(found: Sequence[Message]) -> list[Row]:
    """Return a row for each of these messages; two queries, however many there are."""
    states, due = _states([message.pk for message in found])
    reasons = _reasons([key for key, counts in states.items() if counts.keys() & _EXPLAINED])
    return [
        Row(
            message,
            states.get(message.pk, {}),
            due.get(message.pk),
            reasons.get(message.pk, ""),
            is_new=message.failure_unseen,
        )
        for message in found
    ]


def _reasons(keys: list[int]) -> dict[int, str]:
    """Return why one recipient of each message is in its state, the worst first."""
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
    return {one.message_id: _short(reason_of(one)) for one in recipients}


def _short(reason: str) -> str:
    """Leave out the address that many servers put before their words: it is in the row."""
    return _BEFORE_WORDS.sub(r"\1 ", reason)[:REASON_MAX]


def _states(
    keys: list[int],
) -> tuple[Mapping[int, dict[str, int]], dict[int, dt.datetime]]:
    """Count the recipients of each message by state, and find its next attempt."""
    states: dict[int, dict[str, int]] = defaultdict(dict)
    due: dict[int, dt.datetime] = {}
    counted = (
        Recipient.objects.filter(message__in=keys)
        .order_by()
        .values_list("message", "state")
        .annotate(count=Count("id"), next=Min("next_attempt_at"))
    )
    for key, state, count, next_attempt_at in counted:
        states[key][state] = count
        if next_attempt_at and State(state) in DUE:
            due[key] = min(next_attempt_at, due.get(key, next_attempt_at))
    return {key: _ordered(counts) for key, counts in states.items()}, due


def _ordered(counts: dict[str, int]) -> dict[str, int]:
    """Put states in the order in which they are reached."""
    return {state.value: counts[state] for state in State if state in counts}

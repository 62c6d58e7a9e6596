"""The recipients of one message: all rows of a few, counts and some rows of many."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Count, F

from outbox.conf import get_conf
from outbox.models import Message, Recipient

READ_AT_ONCE = 200  # recipients
_SAMPLE = 20  # rows of each state, if there are more


@dataclass(frozen=True, slots=True)
class RecipientSummary:
    """How many recipients are in each state, and their rows, in their order.

    Of a message with many recipients, these are the first rows of each state, by the time of their
    next attempt.
    """

    rows: list[Recipient]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """The number of recipients."""
        return self.counts.total()

    @property
    def states(self) -> set[str]:
        """The states that occur."""
        return set(self.counts)


def summarize(message: Message) -> RecipientSummary:
    """Read the recipients of a message."""
    recipients = Recipient.objects.using(get_conf().database).filter(message=message.pk)
    if message.recipient_count <= READ_AT_ONCE:
        rows = list(recipients.order_by("pk"))
        return RecipientSummary(rows, Counter(row.state for row in rows))
    counted = recipients.order_by().values_list("state").annotate(Count("pk"))
    counts: Counter[str] = Counter(dict(counted))
    soonest = [F(name).asc(nulls_last=True) for name in ("next_attempt_at", "resend_at")]
    ordered = recipients.order_by(*soonest, "pk")
    samples = [row for state in counts for row in ordered.filter(state=state)[:_SAMPLE]]
    return RecipientSummary(samples, counts)

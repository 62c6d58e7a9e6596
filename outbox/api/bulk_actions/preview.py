"""What an action would change, in numbers and in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from outbox.api.message_actions import MessageAction
from outbox.api.reasons import reason_of
from outbox.db.clock import database_now
from outbox.models import BulkAction, Recipient, State
from outbox.models.reasons import has_code
from outbox.models.suppression import applying, folded_address, has_any, in_force_by_tag
from outbox.reasons import ReasonCode

COUNTED_AT_ONCE = 5_000  # messages in one query
_NAMED = 20  # rejected recipients that a preview names


@dataclass(slots=True)
class Preview:
    """What an action would change: recipients by state, and the rejected ones among them."""

    message_count: int = 0  # messages with such a recipient
    states: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[str, str]] = field(default_factory=list)  # address and reply, the first
    is_partial: bool = False  # there are too many recipients to count all of them
    suppressed_count: int = 0  # recipients on a suppression list, if the action sends to them
    is_release: bool = False  # which sends to suppressed recipients all the same

    @property
    def recipient_count(self) -> int:
        """Return how many recipients would change."""
        return self.states.total()

    @property
    def messages_sentence(self) -> str:
        """Return the number of messages in words."""
        messages = ngettext("%(count)d message", "%(count)d messages", self.message_count)
        return messages % {"count": self.message_count}

    @property
    def sentence(self) -> str:
        """Return the counts in words: 4 messages, 5 recipients: 3 deferred, 2 failed."""
        if self.is_partial:
            return _("%(messages)s.") % {"messages": self.messages_sentence}
        return _("%(first)s, %(rest)s") % {
            "first": self.messages_sentence,
            "rest": self.recipients_sentence,
        }

    @property
    def recipients_sentence(self) -> str:
        """Return the counts of recipients in words: 5 recipients: 3 deferred, 2 failed."""
        recipients = ngettext("%(count)d recipient", "%(count)d recipients", self.recipient_count)
        states = [
            count_in_state(self.states[state], str(state.label))
            for state in State
            if self.states[state]
        ]
        return _("%(recipients)s: %(states)s.") % {
            "recipients": recipients % {"count": self.recipient_count},
            "states": pgettext("between entries", ", ").join(states),
        }

    def __bool__(self) -> bool:
        return self.message_count > 0

    @property
    def rejected_count(self) -> int:
        """Return how many of them were permanently rejected."""
        return self.states[State.FAILED]

    @property
    def rejected_unnamed(self) -> int:
        """Return how many of the rejected ones are not named."""
        return self.rejected_count - len(self.rejected)


def count_in_state(count: int, state: str) -> str:
    """Return a number of recipients with the name of their state: 3 sent."""
    return _("%(count)d %(state)s") % {"count": count, "state": state}


def preview(message_ids: Sequence[int], action: MessageAction, using: str) -> Preview:
    """Return what an action would change in the messages."""
    states = action.states
    found = Preview(
        suppressed_count=count_suppressed(message_ids, action, using), is_release=is_release(action)
    )
    recipients = Recipient.objects.using(using).filter(state__in=states).order_by()
    for chunk in chunks(message_ids, COUNTED_AT_ONCE):
        among = recipients.filter(message__in=chunk)
        found.message_count += among.aggregate(count=Count("message", distinct=True))["count"]
        found.states.update(dict(among.values_list("state").annotate(count=Count("pk"))))
        if State.FAILED in states and len(found.rejected) < _NAMED:
            found.rejected += named_rejected(chunk, using)[: _NAMED - len(found.rejected)]
    return found


def is_release(action: MessageAction) -> bool:
    """Return whether the action sends to recipients although they are suppressed."""
    return action.name == BulkAction.RELEASE


def count_suppressed(message_ids: Sequence[int], action: MessageAction, using: str) -> int:
    """Return how many recipients that the action sends to are on a suppression list.

    A release counts those that are held for this reason.
    """
    if not action.sends or not has_any(using):
        return 0
    recipients = Recipient.objects.using(using).filter(state__in=action.states).order_by()
    count = 0
    for chunk in chunks(message_ids, COUNTED_AT_ONCE):
        among = recipients.filter(message__in=list(chunk))
        if is_release(action):
            among = among.filter(has_code("reason", ReasonCode.ADDRESS_SUPPRESSED))
        addresses: dict[int | None, list[tuple[str, list[str]]]] = defaultdict(list)
        rows = among.values_list("message__account_id", "address", "message__tags")
        for pk, address, tags in rows:
            addresses[pk].append((address, tags))
        for account_id, of_account in addresses.items():
            given = [address for address, _ in of_account]
            found = in_force_by_tag(given, account_id, database_now(using), using)
            count += sum(
                applying(found.get(folded_address(address), {}), tags) is not None
                for address, tags in of_account
            )
    return count


def named_rejected(message_ids: Sequence[int], using: str) -> list[tuple[str, str]]:
    """Return the first rejected recipients of some messages: their addresses and the replies."""
    failed = Recipient.objects.using(using).filter(message__in=message_ids, state=State.FAILED)
    return [(one.address, reason_of(one)) for one in failed.order_by("pk")[:_NAMED]]


def chunks(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Yield the ids in parts of a size."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]

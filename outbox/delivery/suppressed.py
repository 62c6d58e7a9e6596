"""Recipients whose address is suppressed: a claim finds them, and they are held.

A claim looks at the first attempt since the last retry by a person. Recipients that wait for
another attempt, or are being sent to, when an address is added are found by `hold_waiting`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from outbox.db.clock import database_now
from outbox.delivery.due import DueRecipient
from outbox.mail.addresses import AddressError, parse_address
from outbox.models import (
    Destination,
    Event,
    EventKind,
    Message,
    Recipient,
    State,
    Suppression,
    transitions,
)
from outbox.models.pause import HasTag
from outbox.models.reasons import has_code
from outbox.models.suppression import applying, folded_address, has_any, in_force_by_tag
from outbox.reasons import Reason, ReasonCode

AT_ONCE = 500  # entries, and recipients in one database transaction
_OVERRIDDEN = has_code("reason", ReasonCode.SUPPRESSION_OVERRIDDEN)


def suppressed_among(
    rows: Sequence[DueRecipient], destination_id: int, now: dt.datetime, using: str
) -> dict[int, Reason]:
    """Return those of the due recipients that are suppressed, and why each is to be held.

    This is one query, and none while no address is suppressed. Another one reads the tags of
    messages if an entry applies to one tag only.
    """
    fresh = [row for row in rows if row.attempts == row.attempts_at_retry]
    if not fresh or not has_any(using):
        return {}
    destinations = Destination.objects.using(using).filter(pk=destination_id)
    account = destinations.values("account_id")[:1]
    found = in_force_by_tag([row.address for row in fresh], account, now, using)
    if not found:
        return {}
    by_row = [(row, found.get(folded_address(row.address), {})) for row in fresh]
    tags = _tags_of({row.message_id for row, by_tag in by_row if any(by_tag)}, using)
    entry_of = {
        row.id: entry
        for row, by_tag in by_row
        if (entry := applying(by_tag, tags.get(row.message_id, ())))
    }
    released_at = _released_at(entry_of, using) if entry_of else {}
    return {
        pk: entry.held_reason
        for pk, entry in entry_of.items()
        if pk not in released_at or released_at[pk] < entry.since
    }


def _tags_of(message_ids: Collection[int], using: str) -> dict[int, list[str]]:
    if not message_ids:
        return {}
    tagged = Message.objects.using(using).filter(pk__in=message_ids).exclude(tags=[])
    return dict(tagged.values_list("pk", "tags"))


def _released_at(recipient_ids: Iterable[int], using: str) -> dict[int, dt.datetime]:
    """Return when a person last released recipients although their address was suppressed."""
    events = Event.objects.using(using).filter(
        _OVERRIDDEN, recipient__in=list(recipient_ids), kind=EventKind.RELEASED
    )
    return dict(events.order_by("pk").values_list("recipient_id", "at"))


def hold_suppressed(reasons: Mapping[int, Reason], using: str) -> int:
    """Hold recipients, each for its reason, unless they had already changed; return how many."""
    by_reason: dict[Reason, list[int]] = defaultdict(list)
    for pk, reason in reasons.items():
        by_reason[reason].append(pk)
    count = 0
    for reason, ids in by_reason.items():
        with transaction.atomic(using=using):
            held = transitions.apply(
                transitions.HOLD,
                Recipient.objects.using(using).filter(pk__in=ids),
                State.HELD,
                now=database_now(using),
                reason=reason,
                skip_locked=True,
            )
        count += len(held)
    return count


def hold_waiting(using: str, only: Collection[int] | None = None) -> int:
    """Hold a batch of waiting recipients of new entries, of all or `only` of some; return how many.

    An entry is pending until none of its recipients waits or is being sent to. It delays those of
    no other account or tag. A recipient that a person has released since stays in the queue.
    """
    pending = Suppression.objects.using(using).filter(highest_id__isnull=False)
    if only is not None:
        pending = pending.filter(pk__in=only)
    count = 0
    for account_id, tag in pending.order_by().values_list("account_id", "tag").distinct():
        count += _hold_alike(pending.of_account(account_id).filter(tag=tag), using)
        if count >= AT_ONCE:
            break
    return count


def _hold_alike(pending: QuerySet[Suppression], using: str) -> int:
    """Hold a batch of waiting recipients of new entries of one account, or the site, and tag."""
    with transaction.atomic(using=using):
        locked = pending.select_for_update(skip_locked=True).order_by("pk")
        entries = {entry.folded: entry for entry in locked[:AT_ONCE]}
        if not entries:
            return 0  # another process has locked them
        reasons, is_last = _waiting(entries, using)
        count = hold_suppressed(reasons, using)
        if is_last:
            unfinished = _being_sent(entries, using)
            finished = [one.pk for key, one in entries.items() if key not in unfinished]
            Suppression.objects.using(using).filter(pk__in=finished).update(highest_id=None)
    return count


def _waiting(entries: Mapping[str, Suppression], using: str) -> tuple[dict[int, Reason], bool]:
    """Return waiting recipients and why each is to be held, and whether these are the last."""
    released = Event.objects.using(using).filter(
        _OVERRIDDEN,
        recipient=OuterRef("pk"),
        kind=EventKind.RELEASED,
        at__gte=min(entry.since for entry in entries.values()),
    )
    found = _open(entries, using).filter(~Exists(released), state__in=transitions.HOLD.sources)
    rows = list(found.order_by("pk").values_list("pk", "address")[:AT_ONCE])
    reasons = {
        pk: entries[key].held_reason
        for pk, address in rows
        if (key := folded_address(address)) in entries
    }
    return reasons, len(rows) < AT_ONCE


def _being_sent(entries: Mapping[str, Suppression], using: str) -> set[str]:
    sending = _open(entries, using).filter(state=State.SENDING)
    return {folded_address(address) for address in sending.values_list("address", flat=True)}


def _open(entries: Mapping[str, Suppression], using: str) -> QuerySet[Recipient]:
    """Return the recipients with these addresses that wait or are being sent to.

    The entries are of one account, or of the site, and of one tag.
    """
    rows = entries.values()
    spellings = {spelling for row in rows for spelling in _spellings(row.address)}
    found = (
        Recipient.objects.using(using)
        .with_address_in(spellings)
        .filter(
            next_attempt_at__isnull=False,
            pk__lte=max(row.highest_id or 0 for row in rows),
        )
    )
    first = next(iter(rows))
    account_id = first.account_id
    if first.tag:
        found = found.filter(HasTag("message__tags", first.tag))
    if account_id is None:
        return found
    destinations = Destination.objects.using(using).filter(account=account_id)
    return found.filter(destination__in=list(destinations.values_list("pk", flat=True)))


def _spellings(address: str) -> set[str]:
    """Return the ways in which recipients may have the domain: in Unicode or in A-labels."""
    try:
        parsed = parse_address(address)
    except AddressError:
        return {address}
    return {address, parsed.spec, parsed.wire}

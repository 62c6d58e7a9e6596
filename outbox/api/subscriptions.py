"""Requests of a link to unsubscribe (RFC 8058): suppress the address, and undo that.

The link is enough to use it: mailbox providers do so for their users, without a session.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from outbox.api.suppressions import remove, suppress
from outbox.api.unsubscribing import Subscription
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import AuditAction, AuditEntry, Suppression
from outbox.models.suppression import SuppressionReason, keys_of, name_of

_BY_PROVIDER = "One-click request (RFC 8058)"
_BY_PAGE = "Page of the link in a message"
_REPLACES = "{how}; the address was suppressed before: {reason}"  # the link does not undo it
# These entries stay as they are. A bounce may be corrected by a person: then the address would
# receive messages again, although its user has unsubscribed.
_LASTING = (SuppressionReason.UNSUBSCRIBED, SuppressionReason.COMPLAINED)
_UNDO_WITHIN = dt.timedelta(hours=1)  # an old link, perhaps forwarded, undoes nothing
_UNDO_MAX = 3  # times a day for one address, since each change is recorded in the audit log


class UndoLimitError(Exception):
    """The address cannot be subscribed again by its link."""


def is_subscribed(subscription: Subscription) -> bool:
    """Return whether the address is not unsubscribed."""
    return not any(map(_is_lasting, _entries(subscription)))


def unsubscribe(subscription: Subscription, *, is_one_click: bool) -> None:
    """Suppress the address for the account, or its tag. A repeated request changes nothing.

    An entry for all messages does not replace that of a tag, since it may be removed.
    """
    replaced = [entry for entry in _entries(subscription) if entry.tag == subscription.tag]
    if any(map(_is_lasting, replaced)):
        return
    how = _BY_PROVIDER if is_one_click else _BY_PAGE
    if replaced:
        how = _REPLACES.format(how=how, reason=name_of(replaced[0].reason))
    suppress(
        subscription.address,
        account=subscription.account,
        tag=subscription.tag,
        reason=SuppressionReason.UNSUBSCRIBED.value,
        evidence=how,
    )


def can_resubscribe(subscription: Subscription) -> bool:
    """Return whether `resubscribe` is possible: soon after the link was used, and not too often."""
    return _can_undo(subscription, _entries(subscription))


def resubscribe(subscription: Subscription) -> None:
    """Undo `unsubscribe`. Messages that are held stay so. Raise UndoLimitError."""
    entries = _entries(subscription)
    if entries and not _can_undo(subscription, entries):
        raise UndoLimitError
    remove(entries)


def _entries(subscription: Subscription) -> list[Suppression]:
    """Return the entries of the address that apply. One that was erased may precede another."""
    rows = Suppression.objects.using(get_conf().database).of_account(subscription.account.pk)
    found = rows.filter(folded__in=keys_of(subscription.address), tag__in={"", subscription.tag})
    return list(found.order_by("pk"))


def _is_lasting(entry: Suppression) -> bool:
    return entry.until is None and name_of(entry.reason) in _LASTING


def _can_undo(subscription: Subscription, entries: Sequence[Suppression]) -> bool:
    """Return whether the link has added the only entry, and not in place of another one."""
    if len(entries) != 1:
        return False
    (entry,) = entries
    using = get_conf().database
    now = database_now(using)
    if entry.tag != subscription.tag:
        return False
    is_own = entry.evidence in (_BY_PROVIDER, _BY_PAGE) and _is_lasting(entry)
    if not is_own or entry.since <= now - _UNDO_WITHIN:
        return False
    undone = AuditEntry.objects.using(using).filter(
        action=AuditAction.UNSUPPRESSED, target_name=str(entry), at__gt=now - dt.timedelta(days=1)
    )
    return undone[:_UNDO_MAX].count() < _UNDO_MAX

"""Erase everything about one address, and export it first (docs/decisions/0025)."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import DatabaseError, connections, transaction
from django.db.models import Q

from outbox.api import audit
from outbox.api.erasure import messages as steps
from outbox.api.erasure.columns import find, rewrite, tables
from outbox.api.erasure.export import write_export
from outbox.api.erasure.received import erase_from_received, index_received_again
from outbox.api.values import read_line
from outbox.conf import get_conf
from outbox.delivery import discarded_files
from outbox.exceptions import InvalidMessageError, OutboxError
from outbox.inbound.server_login import RECENT
from outbox.mail.addresses import AddressError, parse_address
from outbox.mail.traces import Traces
from outbox.models import (
    Account,
    AuditAction,
    AuditEntry,
    Contact,
    Draft,
    InboundMessage,
    Mailbox,
    Message,
    Recipient,
    Suppression,
    WebhookCall,
)
from outbox.models.suppression import (
    ERASED_ADDRESS,
    HASHED,
    forget,
    keys_of,
    reason_named,
)

__all__ = [
    "AddressInUseError",
    "AuditLogLockedError",
    "Erased",
    "Traces",
    "erase_address",
    "survey",
    "traces_of",
    "write_export",
]

_TOUCHING = (Message, Draft, Recipient)  # their texts are in the search


class AddressInUseError(OutboxError):
    """Accounts send from the address or log in with it; they have to be changed first."""


class AuditLogLockedError(OutboxError):
    """The database role may not change the audit log, which has the address."""


@dataclass(slots=True)
class Erased:
    """What was erased, and the messages that still have the address."""

    changes: steps.Changes = field(default_factory=steps.Changes)
    contacts: int = 0
    suppressions: int = 0  # entries that are kept as a hash
    webhook_calls: int = 0
    rows: Counter[str] = field(default_factory=Counter)  # rewritten, by table
    left: Counter[str] = field(default_factory=Counter)  # rows that have the address afterwards
    # When the last of the messages that are being delivered expires; None: one of them does not.
    delivered_until: dt.datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether no trace is left."""
        return not self.left and not self.changes.in_delivery


def traces_of(address: str) -> Traces:
    """Return the forms of an address. Raise InvalidMessageError."""
    try:
        return Traces(parse_address(read_line("address", address)))
    except AddressError as error:
        raise InvalidMessageError("address", error) from error


def survey(traces: Traces) -> dict[str, int]:
    """Return how many rows of each table have the address."""
    using = get_conf().database
    counts = {
        model._meta.db_table: sum(1 for _ in find(model, traces, using)) for model in tables(using)
    }
    return {table: count for table, count in counts.items() if count}


def erase_address(address: str, *, progress: Callable[[str], None] = lambda _text: None) -> Erased:
    """Erase everything about an address; return what was done, and what is left.

    Messages that are being delivered to other recipients keep the address until it is called again,
    after they are finished (`Erased.delivered_until`). It can be repeated at any time. Raise
    AddressInUseError, AuditLogLockedError and InvalidMessageError.
    """
    using = get_conf().database
    traces = traces_of(address)
    _check_accounts(traces, using)
    _check_audit_log(using)
    done = Erased()
    changes = done.changes
    steps.end_delivery(traces, using)
    touched = set(
        steps.recipients_of(traces, using).values_list("message_id", flat=True).distinct()
    )
    steps.erase_received(traces, using, changes)
    steps.erase_from_drafts(traces, using, changes)
    steps.erase_from_attachments(traces, using, changes)
    for count in steps.erase_from_sources(traces, using, changes):
        progress(f"{count:,} stored messages read")
    for count in erase_from_received(traces, using, changes):
        progress(f"{count:,} received messages read")
    done.contacts = _erase_contacts(traces, using)
    done.suppressions = _hash_suppressions(traces, using)
    done.webhook_calls = _erase_calls(traces, using)
    touched |= _rewrite_rows(traces, using, done)
    steps.index_again(touched - changes.in_delivery, using)
    index_received_again(changes.received, using)
    with transaction.atomic(using=using):
        audit.record(
            AuditAction.ADDRESS_ERASED,
            using=using,
            hash=keys_of(traces.address.spec)[1].removeprefix(HASHED)[:16],
            messages_deleted=changes.deleted,
            messages_changed=changes.changed,
        )
    discarded_files.delete_all(using)
    done.left = Counter(survey(traces))
    done.delivered_until = steps.last_expiry(changes.in_delivery, using)
    return done


def _check_accounts(traces: Traces, using: str) -> None:
    """Raise AddressInUseError if an account would not work without the address."""
    using_it = Q()
    for name in ("from_address", "reply_to", "username"):
        for spelling in traces.spellings:
            using_it |= Q(**{f"{name}__icontains": spelling})
    found = Account.objects.using(using).filter(using_it).order_by("pk")
    names = [
        f"{one.name} ({one.pk})"
        for one in found
        if any(map(traces.is_in, (one.from_address, one.reply_to, one.username)))
    ]
    mailboxes = Mailbox.objects.using(using).exclude(username="").select_related("account")
    names += [
        f"the mailbox of {one.account.name} ({one.pk})"
        for one in mailboxes
        if traces.is_in(one.username.removeprefix(RECENT))
    ]
    if names:
        raise AddressInUseError(
            f"Change or delete these accounts first, which use the address: {', '.join(names)}."
        )


def _check_audit_log(using: str) -> None:
    """Raise AuditLogLockedError if the role may only add to the audit log."""
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute("UPDATE outbox_auditentry SET action = action WHERE 1 = 0")
    except DatabaseError as error:
        raise AuditLogLockedError(
            "This database role may not change the audit log, which may have the address. Run the "
            "command as the owner of the tables, as migrations are run."
        ) from error


def _erase_contacts(traces: Traces, using: str) -> int:
    key = traces.folded
    found = Contact.objects.using(using).filter(
        Q(key__iexact=key) | Q(address__in=traces.spellings)
    )
    ids = [one.pk for one in found if traces.is_in(one.address)]
    Contact.objects.using(using).filter(pk__in=ids).delete()
    return len(ids)


def _hash_suppressions(traces: Traces, using: str) -> int:
    """Replace the address of entries by a keyed hash, so that it stays suppressed."""
    folded, hashed, *_ = keys_of(traces.address.spec)
    entries = Suppression.objects.using(using).filter(folded=folded)
    count = 0
    with transaction.atomic(using=using):
        for entry in entries.select_for_update():
            same = Suppression.objects.using(using).filter(
                folded=hashed, account=entry.account_id, tag=entry.tag
            )
            if same.exists():
                entry.delete()
                continue
            known = entry.reason if not entry.reason.args else reason_named("manual")
            entries.filter(pk=entry.pk).update(
                address=ERASED_ADDRESS, folded=hashed, reason=known, evidence="", highest_id=None
            )
            count += 1
    forget(using)
    return count


def _erase_calls(traces: Traces, using: str) -> int:
    ids = [found.pk[0] for found in find(WebhookCall, traces, using)]
    WebhookCall.objects.using(using).filter(pk__in=ids).delete()
    return len(ids)


def _rewrite_rows(traces: Traces, using: str, done: Erased) -> set[int]:
    """Write a placeholder into every other text; return the messages whose texts changed."""
    touched: set[int] = set()
    for model in tables(using):
        for found in find(model, traces, using):
            message_id = _message_of(found.model, found.pk[0], using)
            if message_id in done.changes.in_delivery:
                continue
            rewrite(found, traces, using)
            if model is AuditEntry and "target_name" in found.texts:
                _clear_details(found.pk[0], using)
            done.rows[model._meta.db_table] += 1
            if message_id is not None:
                touched.add(message_id)
            if model is InboundMessage:
                done.changes.received.add(found.pk[0])
    return touched


def _clear_details(pk: int, using: str) -> None:
    """Delete the details of an entry about the address: they may have the words of a reason.

    The manager of the model rejects it.
    """
    with connections[using].cursor() as cursor:
        cursor.execute("UPDATE outbox_auditentry SET details = '{}' WHERE id = %s", [pk])


def _message_of(model: object, pk: int, using: str) -> int | None:
    if model in (Message, Draft):
        return pk
    if model is Recipient:
        rows = Recipient.objects.using(using).filter(pk=pk)
        return rows.values_list("message_id", flat=True).first()
    return None

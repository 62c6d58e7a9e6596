"""The values of a queued message's rows. They are the same on every database."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from outbox.api.accounts import DestinationIds, remembered_destinations
from outbox.api.outgoing import Checked, Outgoing, OutgoingRecipient
from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, parse_address_header
from outbox.mail.mailbox import domain_of
from outbox.mail.plain_text import snippet
from outbox.mail.replies import bare_message_id
from outbox.models import Role, TlsRequirement
from outbox.models.owner_key import owner_key

_SUMMARY = 3  # visible recipients named in lists


def message_values(one: Checked) -> dict[str, Any]:
    """Return the columns of a message. The account is the one that was named, or None.

    Columns that depend on the moment are missing: the database's clock decides about them.
    """
    item, facts = one.item, one.facts
    values = {
        "owner_id": item.owner.pk if item.owner else None,
        "account_id": account_key(item),
        "origin": str(item.origin),
        "subject": "" if item.sensitive else item.subject or facts.subject,
        "from_header": _addresses(item) if item.sensitive else item.from_header,
        "envelope_sender": item.envelope_sender,
        "is_sender_given": item.is_sender_given,
        "to_summary": _summary(item),
        "snippet": snippet(item.text, 120) if item.text and not item.sensitive else "",
        "message_id": bare_message_id(item.message_id or facts.message_id),
        "in_reply_to": bare_message_id(item.in_reply_to),
        "importance": str(item.importance),
        "tags": list(item.tags),
        "metadata": dict(item.metadata),
        "related_type_id": _type_id(item.related) if item.related else None,
        "related_id": str(item.related.pk) if item.related else "",
        "idempotency_key": item.idempotency_key,
        "size": facts.size,
        "recipient_count": len(item.recipients),
        "attachment_count": item.attachment_count,
        "needs_8bit": facts.is_8bit,
        "needs_smtputf8": facts.needs_smtputf8,
        "on_uncertain": item.on_uncertain,
        "tls_requirement": _tls_requirement(item),
        "wants_report": item.is_report_wanted,
        "is_sensitive": item.sensitive,
        "send_at": item.send_at,
        "expires_at": item.expires_at,
    }
    if one.draft is not None:
        del values["idempotency_key"]  # that of the page it was composed on
    return values


def _tls_requirement(item: Outgoing) -> str:
    if item.require_tls:  # then the header field means nothing (RFC 8689 4.1)
        return TlsRequirement.REQUIRED
    return TlsRequirement.OPTIONAL if item.tls_optional else ""


def lifetime(item: Outgoing) -> dt.timedelta:
    """Return how long the message may wait from the time at which it may be sent."""
    return item.expires_after or dt.timedelta(seconds=get_conf().queue_lifetime)


def recipient_values(one: Checked) -> list[dict[str, Any]]:
    """Return the columns of the recipients in which they differ from each other."""
    return [
        {"role": str(each.role), "name": _name(one.item, each)[:255], "address": each.address}
        for each in one.item.recipients
    ]


def remembered_for(
    messages: Iterable[tuple[Checked, DestinationIds]], using: str
) -> dict[int, dict[str, int]]:
    """Return the destinations of domains by the id of each direct account among these."""
    domains: dict[int, list[str]] = {}
    for one, destination in messages:
        if destination.is_direct:
            found = domains.setdefault(destination.account_id, [])
            found += (domain_of(each.address) for each in one.item.recipients)
    return {
        account_id: remembered_destinations(account_id, names, using)
        for account_id, names in domains.items()
    }


def destination_id_of(
    address: str, destination: DestinationIds, remembered: Mapping[int, Mapping[str, int]]
) -> int:
    """Return the destination of a recipient; of a direct account, by the address's domain."""
    of_account = remembered.get(destination.account_id, {})
    return of_account.get(domain_of(address), destination.destination_id)


def sender_key(item: Outgoing) -> int:
    """Return the key by which the queue alternates between senders."""
    return owner_key(item.owner.pk if item.owner else None)


def account_key(item: Outgoing) -> int | None:
    """Return the id of the account that was named. None asks for the default account."""
    return item.account.pk if item.account else None


def is_large(one: Checked) -> bool:
    """Return whether the source goes to storage instead of into its row."""
    return len(one.item.source) > get_conf().inline_source_bytes


def _type_id(related: Model) -> int:
    types = ContentType.objects.db_manager(get_conf().database)
    return types.get_for_model(related, for_concrete_model=True).pk


def _summary(item: Outgoing) -> str:
    visible = [one for one in item.recipients if one.role != Role.BCC][:_SUMMARY]
    return ", ".join(_name(item, one) or one.address for one in visible)[:200]


def _name(item: Outgoing, recipient: OutgoingRecipient) -> str:
    return "" if item.sensitive else recipient.name


def _addresses(item: Outgoing) -> str:
    """Return the addresses of the header From, without names, which may contain anything."""
    try:
        return ", ".join(one.spec for one in parse_address_header(item.from_header))
    except AddressError:
        return item.envelope_sender

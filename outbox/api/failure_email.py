"""The failure digest as a message: its recipients, its account and its text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from outbox.api.accounts import remembered_destinations
from outbox.api.links import link_to
from outbox.api.reasons import reason_of
from outbox.api.system_email import email_of, queue_system_email
from outbox.api.times import format_minute, format_offset
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.mail.mailbox import domain_of
from outbox.models import (
    FAILURES,
    MX_PREFIX,
    UNRESOLVED_KEY,
    Account,
    Circuit,
    Destination,
    FailureDigestChoice,
    Message,
    Origin,
    Preferences,
    Recipient,
)
from outbox.models.access import can_view_site
from outbox.models.message import MessageQuerySet

SITE = 0  # the addressee of messages that have no owner
_MESSAGES_NAMED = 20
_RECIPIENTS_NAMED = 5  # of each message
_STAFF_MAX = 50
_SUBJECT_MAX = 100
_REASON_MAX = 300


@dataclass(frozen=True, slots=True)
class Addressee:
    """The recipients of a digest, its form, and the accounts that may send it."""

    owner: AbstractBaseUser | None
    to: Sequence[Address]
    language: str
    time_zone: str


def addressee_of(owner_id: Any, using: str) -> Addressee | None:
    """Return the recipients of a digest for a user, or for the site if None; None without any."""
    if owner_id is None:
        addresses = _site_addresses(using)
        if not addresses:
            return None
        return Addressee(None, addresses, settings.LANGUAGE_CODE, settings.TIME_ZONE)
    owner = get_user_model()._default_manager.using(using).filter(pk=owner_id).first()
    chosen = Preferences.objects.using(using).filter(pk=owner_id).first() or Preferences()
    if owner is None or not owner.is_active or chosen.failure_digest == FailureDigestChoice.NEVER:
        return None
    addresses = _valid([email_of(owner), *_own_addresses(owner, using)])[:1]
    if not addresses:
        return None
    language = chosen.language or settings.LANGUAGE_CODE
    return Addressee(owner, addresses, language, chosen.time_zone or settings.TIME_ZONE)


def _site_addresses(using: str) -> list[Address]:
    """Return the addresses of the setting, else those of the staff who may view all messages."""
    if named := get_conf().failure_addresses:
        return _valid(named)
    users: Any = get_user_model()
    if not any(field.name == "is_staff" for field in users._meta.get_fields()):
        return []
    staff = users._default_manager.using(using).filter(is_staff=True).order_by("pk").iterator()
    # A user model of the project need not store `is_active`.
    active = islice((one for one in staff if one.is_active), _STAFF_MAX)
    allowed = [one for one in active if can_view_site(one)]
    opted_out = Preferences.objects.using(using).filter(
        pk__in=[one.pk for one in allowed], failure_digest=FailureDigestChoice.NEVER
    )
    without_email = set(opted_out.values_list("pk", flat=True))
    return _valid([email_of(one) for one in allowed if one.pk not in without_email])


def _own_addresses(owner: AbstractBaseUser, using: str) -> list[str]:
    owned = Account.objects.using(using).owned_by(owner)
    return list(owned.order_by("pk").values_list("from_address", flat=True))


def _valid(texts: Sequence[str]) -> list[Address]:
    found: dict[str, Address] = {}
    for text in texts:
        try:
            address = parse_address(text)
        except AddressError:
            continue
        found.setdefault(address.key, address)
    return list(found.values())


def queue_digest(addressee: Addressee, failed: MessageQuerySet, using: str) -> bool:
    """Queue the digest of these messages. Return False where every account is one that fails."""
    failing = set(failed.order_by().values_list("account", flat=True).distinct())
    account = working_account(addressee.owner, failing, addressee.to, using)
    if account is None:
        return False
    count = failed.count()
    named = list(failed.order_by("-pk")[:_MESSAGES_NAMED])
    with translation.override(addressee.language), timezone.override(addressee.time_zone):
        queue_system_email(
            to=addressee.to,
            subject=_subject(named, count),
            text="\n".join(_lines(named, count, using)),
            account=account,
            origin=Origin.REPORT,
            owner=addressee.owner,
        )
    return True


def working_account(
    owner: AbstractBaseUser | None,
    excluded: Collection[int | None],
    to: Sequence[Address],
    using: str,
) -> Account | None:
    """Return an account that can send now to these addresses of this user, or of the site.

    Excluded accounts fail. Of a direct account, that says nothing about other domains, so that it
    is returned if there is no other account.
    """
    accounts = Account.objects.using(using).filter(is_active=True)
    site_accounts = Q(is_app_default=True) | Q(owner=None)
    usable: QuerySet[Account] = accounts.filter(site_accounts)
    if owner is not None:
        own = accounts.usable_by(owner).values("pk")
        usable = accounts.filter(Q(is_app_default=True) | Q(pk__in=own))
    ordered = usable.order_by("-is_app_default", "pk")
    for account in sorted(ordered, key=lambda one: one.pk in excluded):
        is_excluded = account.pk in excluded and not account.is_direct
        if not is_excluded and can_send_now(account, to, using):
            return account
    return None


def can_send_now(account: Account, to: Sequence[Address], using: str) -> bool:
    """Return whether the account's server accepts messages now; if direct, that of any address.

    A direct account has a destination for each site that it has ever sent to. Those of other
    domains say nothing.
    """
    rows = Destination.objects.using(using).filter(account=account)
    if not account.is_direct:
        # The account may have been direct before.
        rows = rows.exclude(key=UNRESOLVED_KEY).exclude(key__startswith=MX_PREFIX)
        return not _are_blocked(rows, using)
    domains = {domain_of(one.spec) for one in to}
    ids = remembered_destinations(account.pk, domains, using)
    is_any_new = len(ids) < len(domains)
    return is_any_new or any(not _are_blocked(rows.filter(pk=pk), using) for pk in {*ids.values()})


def _are_blocked(destinations: QuerySet[Destination], using: str) -> bool:
    """Return whether any of these destinations is blocked."""
    now = database_now(using)
    return any(
        one.circuit != Circuit.CLOSED or one.circuit_needs_person or one.is_paused(now)
        for one in destinations.filter(Destination.fitting()).select_related("account")
    )


def _subject(named: Sequence[Message], count: int) -> str:
    if count == 1:
        subject = " ".join(str(named[0]).split())[:_SUBJECT_MAX]
        return _("Delivery failed: %(subject)s") % {"subject": subject}
    text = ngettext(
        "Delivery of %(count)d message failed", "Delivery of %(count)d messages failed", count
    )
    return text % {"count": count}


def _lines(named: Sequence[Message], count: int, using: str) -> Iterator[str]:
    yield ngettext(
        "Delivery of this message failed for at least one recipient:",
        "Delivery of these messages failed for at least one recipient:",
        count,
    )
    for message in named:
        yield from _about(message, using)
    if count > len(named):
        text = ngettext("… and %(count)d more.", "… and %(count)d more.", count - len(named))
        yield ""
        yield text % {"count": count - len(named)}
    yield ""
    yield _("In the preferences, you can choose how often you receive this email.")


def _about(message: Message, using: str) -> Iterator[str]:
    yield ""
    yield " ".join(str(message).split())
    sent_at = timezone.localtime(message.queued_at or message.created_at)
    moment = f"{format_minute(sent_at)} {format_offset(sent_at)}"
    yield "  " + _("Queued: %(moment)s") % {"moment": moment}
    recipients = Recipient.objects.using(using).filter(message=message, state__in=FAILURES)
    for recipient in recipients.order_by("pk")[:_RECIPIENTS_NAMED]:
        colon = pgettext("before a value", ": ")
        yield f"  {recipient.address}{colon}{reason_of(recipient)[:_REASON_MAX]}"
    if (more := message.failed_count - _RECIPIENTS_NAMED) > 0:
        text = ngettext("… and %(count)d more recipient", "… and %(count)d more recipients", more)
        yield "  " + text % {"count": more}
    if address := link_to("outbox:message", message.pk):
        yield f"  {address}"

"""The failure digest as a message: its recipients, its account and its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from outbox.api.composing import finish
from outbox.api.outgoing import Outgoing
from outbox.api.reasons import reason_of
from outbox.api.times import format_minute, format_offset
from outbox.conf import get_conf
from outbox.delivery.route import is_paused
from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.models import (
    FAILURES,
    Account,
    Circuit,
    Destination,
    FailureDigestChoice,
    Message,
    Origin,
    Preferences,
    Recipient,
)
from outbox.models.clock import database_now
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


def addressee_of(key: int, using: str) -> Addressee | None:
    """Return the recipients of a digest of these failures; None without any."""
    if key == SITE:
        addresses = _site_addresses(using)
        if not addresses:
            return None
        return Addressee(None, addresses, settings.LANGUAGE_CODE, settings.TIME_ZONE)
    owner = get_user_model()._default_manager.using(using).filter(pk=key, is_active=True).first()
    chosen = Preferences.objects.using(using).filter(pk=key).first() or Preferences(user_id=key)
    if owner is None or chosen.failure_digest == FailureDigestChoice.NEVER:
        return None
    addresses = _valid([_email_of(owner), *_own_addresses(owner, using)])[:1]
    if not addresses:
        return None
    language = chosen.language or settings.LANGUAGE_CODE
    return Addressee(owner, addresses, language, chosen.time_zone or settings.TIME_ZONE)


def _site_addresses(using: str) -> list[Address]:
    """Return the addresses of the setting, else those of the staff who may read messages."""
    if named := get_conf().failure_addresses:
        return _valid(named)
    users: Any = get_user_model()
    if not any(field.name == "is_staff" for field in users._meta.get_fields()):
        return []
    staff = users._default_manager.using(using).filter(is_staff=True, is_active=True)
    told = [one for one in staff.order_by("pk")[:_STAFF_MAX] if one.has_perm("outbox.view_message")]
    silent = Preferences.objects.using(using).filter(
        pk__in=[one.pk for one in told], failure_digest=FailureDigestChoice.NEVER
    )
    unwilling = set(silent.values_list("pk", flat=True))
    return _valid([_email_of(one) for one in told if one.pk not in unwilling])


def _email_of(user: AbstractBaseUser) -> str:
    return str(getattr(user, user.get_email_field_name(), "") or "")


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


def compose(addressee: Addressee, failed: MessageQuerySet, using: str) -> Outgoing | None:
    """Return the digest of these messages; None where every account is one that fails."""
    account = _working_account(addressee, failed, using)
    if account is None:
        return None
    count = failed.count()
    named = list(failed.order_by("-pk")[:_MESSAGES_NAMED])
    with translation.override(addressee.language), timezone.override(addressee.time_zone):
        return finish(
            account=account,
            to=addressee.to,
            subject=_subject(named, count),
            text="\n".join(_lines(named, count, using)),
            headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no automatic reply
            origin=Origin.REPORT,
            owner=addressee.owner,
        )


def _working_account(addressee: Addressee, failed: MessageQuerySet, using: str) -> Account | None:
    """Return an account through which none of the messages failed, and which can send now."""
    accounts = Account.objects.using(using)
    site_accounts = Q(is_app_default=True) | Q(owner=None)
    usable: QuerySet[Account] = accounts.filter(site_accounts)
    if addressee.owner is not None:
        own = accounts.usable_by(addressee.owner).values("pk")
        usable = accounts.filter(Q(is_app_default=True) | Q(pk__in=own))
    failing = set(failed.order_by().values_list("account", flat=True).distinct())
    now = database_now(using)
    for account in usable.order_by("-is_app_default", "pk"):
        routes = Destination.objects.using(using).filter(account=account).select_related("account")
        stands = any(
            one.circuit != Circuit.CLOSED or one.circuit_needs_person or is_paused(one, now)
            for one in routes
        )
        if account.pk not in failing and not stands:
            return account
    return None


def _subject(named: Sequence[Message], count: int) -> str:
    if count == 1:
        subject = " ".join(named[0].subject.split())[:_SUBJECT_MAX] or _("(no subject)")
        return _("Not delivered: %(subject)s") % {"subject": subject}
    text = ngettext(
        "%(count)d message was not delivered", "%(count)d messages were not delivered", count
    )
    return text % {"count": count}


def _lines(named: Sequence[Message], count: int, using: str) -> Iterator[str]:
    yield ngettext(
        "This message was not delivered to every recipient:",
        "These messages were not delivered to every recipient:",
        count,
    )
    for message in named:
        yield from _about(message, using)
    if count > len(named):
        text = ngettext("… and %(count)d more.", "… and %(count)d more.", count - len(named))
        yield ""
        yield text % {"count": count - len(named)}
    yield ""
    yield _("You can choose in the preferences how often you get this email.")


def _about(message: Message, using: str) -> Iterator[str]:
    yield ""
    yield " ".join(message.subject.split()) or _("(no subject)")
    sent_at = timezone.localtime(message.queued_at or message.created_at)
    moment = f"{format_minute(sent_at)} {format_offset(sent_at)}"
    yield "  " + _("Sent: %(moment)s") % {"moment": moment}
    recipients = Recipient.objects.using(using).filter(message=message, state__in=FAILURES)
    for recipient in recipients.order_by("pk")[:_RECIPIENTS_NAMED]:
        yield f"  {recipient.address}: {reason_of(recipient)[:_REASON_MAX]}"
    if (more := message.failed_count - _RECIPIENTS_NAMED) > 0:
        text = ngettext("… and %(count)d more recipient", "… and %(count)d more recipients", more)
        yield "  " + text % {"count": more}
    if address := _page_of(message):
        yield f"  {address}"


def _page_of(message: Message) -> str:
    site = get_conf().site_url.rstrip("/")
    try:
        return site + reverse("outbox:message", args=[message.pk]) if site else ""
    except NoReverseMatch:  # a project that delivers only, without the pages
        return ""

"""Suppression: an address that receives no messages, from one account or from the whole site.

An entry of an account may apply to its messages with one tag only, such as those of a newsletter.

A claim checks the first attempt for a recipient, which is held instead of sent to. Only a person
releases it. The rows are few, so that recipients are compared with them and not the other way.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Max, Q
from django.utils.translation import gettext_lazy as _

from outbox.db.clock import database_now
from outbox.mail.addresses import mailbox_key
from outbox.models.account import Account
from outbox.models.reasons import ReasonField
from outbox.models.recipient import Recipient
from outbox.models.secrets import keyed_hashes
from outbox.reasons import Reason, ReasonCode, quoted

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

HASHED = "hmac:"  # precedes the hash of an address that was erased
ERASED_ADDRESS = "(erased)"
_HASHED_FOR = "outbox.suppression"
REASON_MAX = 255  # characters of a reason in the words of a person
TAG_MAX = 100  # bytes of a tag, which a link in a header field contains
_READ_FOR = 1.0  # seconds in which a table that was empty is taken as empty
_read: dict[str, tuple[bool, float]] = {}  # by alias: whether there are rows, and when it was read

AccountId = int | models.QuerySet[Any, Any] | None  # a query finds it; None: only the site's list


class SuppressionReason(models.TextChoices):
    """The reasons that have a name. Others are in the words of a person."""

    BOUNCED = "bounced", _("undeliverable")
    COMPLAINED = "complained", _("reported as spam")
    UNSUBSCRIBED = "unsubscribed", _("unsubscribed")
    MANUAL = "manual", _("added by a person")


_REASONS = {
    SuppressionReason.BOUNCED: Reason(ReasonCode.SUPPRESSED_BOUNCED),
    SuppressionReason.COMPLAINED: Reason(ReasonCode.SUPPRESSED_COMPLAINED),
    SuppressionReason.UNSUBSCRIBED: Reason(ReasonCode.SUPPRESSED_UNSUBSCRIBED),
    SuppressionReason.MANUAL: Reason(ReasonCode.SUPPRESSED_MANUALLY),
}


def reason_named(text: str) -> Reason:
    """Return the reason with this name, or the text as the words of a person."""
    known = text in SuppressionReason.values
    return _REASONS[SuppressionReason(text)] if known else quoted(text)


def name_of(reason: Reason) -> str:
    """Return the name of a reason, or its words; `reason_named` reads it back."""
    names = {known.code: name.value for name, known in _REASONS.items()}
    return names.get(reason.code, str(reason))


def folded_address(address: str) -> str:
    """Return the form in which addresses are compared: case does not count, in the local part too.

    Servers that distinguish two mailboxes by case are not known (RFC 5321 2.4 permits it).
    """
    return mailbox_key(address).casefold()


def keys_of(address: str) -> list[str]:
    """Return what an entry of the address may have as its folded address: that, or a hash of it.

    An entry whose address was erased has a hash with a key of the site (docs/decisions/0025).
    """
    folded = folded_address(address)
    return [folded, *(f"{HASHED}{one}" for one in keyed_hashes(folded, _HASHED_FOR))]


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    """Queries by folded address, which have an index."""

    def of_account(self, account_id: int | None) -> SuppressionQuerySet:
        """Limit to the list of an account; None: to that of the site."""
        return self.filter(account=account_id)

    def affecting(
        self, addresses: Iterable[str], account: AccountId, now: dt.datetime
    ) -> SuppressionQuerySet:
        """Limit to those in force for messages that the account sends to these addresses."""
        return self.filter(
            Q(account=None) | Q(account=account),
            Q(until=None) | Q(until__gt=now),
            folded__in={key for address in addresses for key in keys_of(address)},
        )


class Suppression(models.Model):
    """One address on the list of an account, or on that of the site."""

    address = models.CharField(_("address"), max_length=320)
    folded = models.CharField(max_length=1000, editable=False)  # as `folded_address` returns it
    account = models.ForeignKey(
        Account,
        verbose_name=_("account"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,  # a constraint has it
    )  # None: every account
    # Only messages with this tag; empty: all. An entry of the site has none.
    tag = models.CharField(_("tag"), max_length=TAG_MAX, blank=True, default="", db_default="")
    reason = ReasonField(verbose_name=_("reason"))
    evidence = models.TextField(_("evidence"), blank=True)  # a server's reply, or a bounce
    # Set by what adds the entry: a claim compares it with the time of a release.
    since = models.DateTimeField(_("since"))
    until = models.DateTimeField(_("until"), null=True, blank=True)  # None: until it is removed
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("added by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    # The report that led to it. Without a constraint: the entry outlives it.
    report_key = models.BigIntegerField(null=True, editable=False)
    # The highest recipient's when it was added: those up to it are still to be held.
    highest_id = models.BigIntegerField(null=True, editable=False)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        constraints = [
            models.UniqueConstraint(
                fields=["folded"], condition=Q(account=None), name="outbox_suppression_site"
            ),
            models.UniqueConstraint(
                fields=["account", "folded", "tag"],
                condition=Q(account__isnull=False),
                name="outbox_suppression_tag",
            ),
        ]
        indexes = [
            # Claim: the entries of some addresses. Admin: addresses with this beginning.
            models.Index(
                fields=["folded"],
                name="outbox_suppression_folded",
                opclasses=["varchar_pattern_ops"],
            ),
            # Sweep: entries whose waiting recipients are still to be held.
            models.Index(
                fields=["id"],
                name="outbox_suppression_pending",
                condition=Q(highest_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.address

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the folded address as well, unless it was erased."""
        if not self.folded.startswith(HASHED):
            self.folded = folded_address(self.address)
        super().save(*args, **kwargs)

    @property
    def held_reason(self) -> Reason:
        """Why a recipient with this address is held."""
        why = self.reason
        if self.tag:
            why = Reason(ReasonCode.SUPPRESSED_FOR_TAG, tag=self.tag, why=why)
        return Reason(ReasonCode.ADDRESS_SUPPRESSED, why=why)


def has_any(using: str) -> bool:
    """Return whether there is any row, as read at most a second ago."""
    now = time.monotonic()
    known = _read.get(using)
    if known is None or now - known[1] > _READ_FOR:
        known = (Suppression.objects.using(using).exists(), now)
        _read[using] = known
    return known[0]


def forget(using: str) -> None:
    """Read again whether there is any row, since this process has added some."""
    _read.pop(using, None)


def in_force(
    addresses: Collection[str],
    account: AccountId,
    now: dt.datetime,
    using: str,
    *,
    tags: Collection[str] = (),
) -> dict[str, Suppression]:
    """Return the entries that hold messages of an account with these tags, by folded address."""
    found = in_force_by_tag(addresses, account, now, using)
    return {key: entry for key, by_tag in found.items() if (entry := applying(by_tag, tags))}


def applying(by_tag: Mapping[str, Suppression], tags: Iterable[str]) -> Suppression | None:
    """Return the latest entry that applies to a message with these tags.

    A person may have released the message before that one was added.
    """
    entries = [by_tag[tag] for tag in ("", *tags) if tag in by_tag]
    return max(entries, key=lambda entry: entry.since, default=None)


def in_force_by_tag(
    addresses: Collection[str], account: AccountId, now: dt.datetime, using: str
) -> dict[str, dict[str, Suppression]]:
    """Return the entries of an account and of the site, by folded address and tag.

    An entry of the account precedes one of the site, and a later one precedes one that was erased.
    Without any entry there is no query.
    """
    if not addresses or not has_any(using):
        return {}
    rows = Suppression.objects.using(using).affecting(addresses, account, now)
    ordered = sorted(rows, key=lambda row: (row.account_id is not None, row.since))
    folded = {key: folded_address(address) for address in addresses for key in keys_of(address)}
    found: dict[str, dict[str, Suppression]] = {}
    for row in ordered:
        found.setdefault(folded[row.folded], {})[row.tag] = row
    return found


def highest_recipient(using: str) -> int:
    """Return the highest id of a recipient, 0 without any."""
    highest: int | None = Recipient.objects.using(using).aggregate(highest=Max("pk"))["highest"]
    return highest or 0


def add_new(
    evidence: Mapping[str, str],
    account_id: int,
    *,
    reason: str,
    actor: AbstractBaseUser | None,
    using: str,
    report_keys: Mapping[str, int] | None = None,
) -> set[str]:
    """Add addresses, each with its evidence, to the list of an account, in the transaction.

    The entries apply to all of its messages.

    `report_keys` has the reports that led to them, by address. Return the folded addresses that
    were not on the list. Nothing is recorded in the audit log: the caller does it once for all of
    them. The sweep holds waiting recipients.
    """
    by_key = {folded_address(address): address for address in evidence}
    rows = Suppression.objects.using(using).of_account(account_id).filter(tag="")
    known = set(rows.filter(folded__in=list(by_key)).values_list("folded", flat=True))
    new = {key: address for key, address in by_key.items() if key not in known}
    highest, now = highest_recipient(using), database_now(using)
    Suppression.objects.using(using).bulk_create(
        [
            Suppression(
                address=address,
                folded=key,
                since=now,
                account_id=account_id,
                reason=reason_named(reason),
                evidence=evidence[address],
                created_by_id=actor.pk if actor is not None else None,
                report_key=(report_keys or {}).get(address),
                highest_id=highest,
            )
            for key, address in sorted(new.items())
        ],
        ignore_conflicts=True,  # another process may have added some since they were read
    )
    transaction.on_commit(lambda: forget(using), using=using)
    return set(new)

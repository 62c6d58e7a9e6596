"""The suppression list: addresses to which delivery is held, of one account or of the whole site.

Every change is recorded in the audit log. Adding an address holds waiting messages to it at once.
Removing it releases none: a person does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import IntegrityError, transaction

from outbox.api import audit
from outbox.api.accounts import account_named
from outbox.api.async_variants import as_async
from outbox.api.values import read_line, read_tag, read_text
from outbox.conf import get_conf
from outbox.db import clock
from outbox.db.clock import database_now
from outbox.delivery.suppressed import hold_waiting
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import AddressError, parse_address
from outbox.mail.reply_kinds import kind_of_reason
from outbox.mail.server_replies import Effect, FailureKind
from outbox.models import (
    FAILURES,
    Account,
    AuditAction,
    InboundKind,
    Recipient,
    State,
    Suppression,
)
from outbox.models.suppression import (
    REASON_MAX,
    SuppressionReason,
    folded_address,
    forget,
    has_any,
    highest_recipient,
    in_force,
    keys_of,
    name_of,
    reason_named,
)
from outbox.reply_rules import kind_of_reply

__all__ = ["asuppress", "asuppressed", "aunsuppress", "suppress", "suppressed", "unsuppress"]

User = AbstractBaseUser | AnonymousUser


def suppress(
    address: str,
    *,
    account: Account | str | int | None = None,
    tag: str = "",
    reason: str = "manual",
    evidence: str = "",
    until: dt.datetime | None = None,
    actor: User | None = None,
) -> Suppression:
    """Suppress an address for an account, or for the whole site; return the entry.

    With a `tag`, only the account's messages with this tag are held.
    `reason` is a `SuppressionReason`, or a short text. An address that is suppressed already gets
    the new reason, evidence and expiry. Recipients that were released stay so, unless the reason
    becomes "unsubscribed". Waiting recipients are held, many of them in batches; a
    delivery in progress is completed. Raise InvalidMessageError.
    """
    spec = _read_address(address)
    values = {
        "reason": reason_named(_read_reason(reason)),
        "evidence": read_text("evidence", evidence),
        "until": _read_until(until),
    }
    owner = None if account is None else account_named(account)
    tag = read_tag("tag", tag)
    if tag and owner is None:
        raise InvalidMessageError("tag", "tag needs an account.")
    using = get_conf().database
    with transaction.atomic(using=using):
        entry = _store(spec, owner, tag, values, actor, using)
        audit.record(
            AuditAction.SUPPRESSED,
            actor=actor,
            target=entry,
            using=using,
            account=owner.name if owner else "",
            reason=name_of(entry.reason),
            **_tag_of(entry),
        )
    forget(using)
    transaction.on_commit(lambda: forget(using), using=using)
    hold_waiting(using, [entry.pk])
    return entry


def _store(
    spec: str,
    account: Account | None,
    tag: str,
    values: dict[str, object],
    actor: User | None,
    using: str,
) -> Suppression:
    rows = Suppression.objects.using(using).of_account(account.pk if account else None)
    found = rows.filter(folded=folded_address(spec), tag=tag)
    entry = found.select_for_update().first()
    if entry is None:
        entry = Suppression(address=spec, account=account, tag=tag, since=database_now(using))
        entry.created_by_id = actor.pk if actor is not None else None
    elif _unsubscribes_now(entry, values):  # what was released before does not count
        entry.since = database_now(using)
    for name, value in values.items():
        setattr(entry, name, value)
    entry.highest_id = highest_recipient(using)
    try:
        with transaction.atomic(using=using):
            entry.save(using=using)
    except IntegrityError:  # another transaction added it
        found.update(**values, highest_id=entry.highest_id)
        entry = found.get()
    return entry


def _unsubscribes_now(entry: Suppression, values: Mapping[str, object]) -> bool:
    """Return whether the user of the address unsubscribes, and had not done so for good."""
    unsubscribed = reason_named(SuppressionReason.UNSUBSCRIBED.value)
    return values["reason"] == unsubscribed and (
        entry.reason != unsubscribed or entry.until is not None
    )


def is_about_recipient(recipient: Recipient) -> bool:
    """Return whether the recipient failed for a reason that may suppress its address."""
    if recipient.state not in FAILURES:
        return False
    if recipient.state == State.BOUNCED:  # its reply is that of the server that accepted it
        applied = recipient.reports.filter(kind=InboundKind.BOUNCE, is_applied=True)
        return applied.filter(effect=Effect.HARD.value).exists()
    code = recipient.reply_code
    kind = (
        kind_of_reply(code, recipient.reply_enhanced, recipient.reply_text)
        if code
        else kind_of_reason(recipient.reason.code)
    )
    return kind is FailureKind.RECIPIENT


def unsuppress(
    address: str,
    *,
    account: Account | str | int | None = None,
    tag: str = "",
    actor: User | None = None,
) -> bool:
    """Remove an address from the list of an account, or of the site; return whether it was there.

    Without a `tag`, the entry for all messages is removed. Held messages stay held until a person
    releases them.
    """
    owner = None if account is None else account_named(account)
    using = get_conf().database
    rows = Suppression.objects.using(using).of_account(owner.pk if owner else None)
    found = rows.filter(folded__in=keys_of(read_line("address", address)))
    return bool(remove(found.filter(tag=read_tag("tag", tag)), actor))


def remove(entries: Iterable[Suppression], actor: User | None = None) -> int:
    """Remove entries; return how many."""
    using = get_conf().database
    with transaction.atomic(using=using):
        rows = list(entries)
        for entry in rows:
            audit.record(
                AuditAction.UNSUPPRESSED,
                actor=actor,
                target=entry,
                using=using,
                account=entry.account.name if entry.account else "",
                **_tag_of(entry),
            )
        Suppression.objects.using(using).filter(pk__in=[entry.pk for entry in rows]).delete()
    return len(rows)


def suppressed(
    addresses: Iterable[str],
    account: Account | str | int | None = None,
    *,
    tags: Iterable[str] = (),
) -> dict[str, Suppression]:
    """Return those of the addresses that are suppressed for messages of an account, with why.

    Entries for one tag count if it is among `tags`. Without an account, only the list of the site
    counts. It may be a second old.
    """
    using = get_conf().database
    if not has_any(using):
        return {}
    given = list(addresses)
    account_id = None if account is None else account_named(account).pk
    found = in_force(given, account_id, clock.now(), using, tags=list(tags))
    return {address: entry for address in given if (entry := found.get(folded_address(address)))}


asuppress = as_async(suppress)
aunsuppress = as_async(unsuppress)
asuppressed = as_async(suppressed)


def _read_address(given: object) -> str:
    try:
        return parse_address(read_line("address", given)).spec
    except AddressError as error:
        raise InvalidMessageError("address", error) from error


def _tag_of(entry: Suppression) -> dict[str, Any]:
    """Return the tag for the audit log, if there is one."""
    return {"tag": entry.tag} if entry.tag else {}


def _read_reason(given: object) -> str:
    text = read_line("reason", given, longest=REASON_MAX)
    if not text:
        raise InvalidMessageError("reason", "reason is empty.")
    return text


def _read_until(given: dt.datetime | None) -> dt.datetime | None:
    if given is not None and (not isinstance(given, dt.datetime) or given.tzinfo is None):
        raise InvalidMessageError("until", "until is not a datetime with a time zone.")
    return given

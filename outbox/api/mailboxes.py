"""Mailboxes: the settings of what an account fetches, and when it is fetched."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.db import transaction

from outbox import wakeup
from outbox.api import audit
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.inbound.filing import OVERLAP
from outbox.inbound.listing import is_hash
from outbox.inbound.server_login import RECENT, place_of
from outbox.models import (
    Account,
    AuditAction,
    Mailbox,
    MailProtocol,
    OnServer,
    SentCopy,
    ServerMessage,
)
from outbox.net.providers import Provider, by_host
from outbox.reasons import NO_REASON, Reason

if TYPE_CHECKING:
    from outbox.inbound.fetch import Outcome

FETCH_TASK = "outbox.fetch"
# A password belongs to this server and username. It is void for any other.
SERVER_FIELDS = ("protocol", "host", "port", "security", "username")
POP3_TLS, IMAP_TLS = 995, 993


def mailbox_of(account: Account) -> Mailbox | None:
    """Return the mailbox of an account; None if it only sends."""
    rows = Mailbox.objects.using(get_conf().database).select_related("account")
    return rows.filter(pk=account.pk).first() if account.pk else None


def has_mailbox(account_id: int | None) -> bool:
    """Return whether an account fetches messages."""
    return Mailbox.objects.using(get_conf().database).filter(pk=account_id or 0).exists()


def suggested_mailbox(account: Account) -> Mailbox:
    """Return an unsaved mailbox with the settings that the account's provider is known to have."""
    mailbox = Mailbox(account=account)
    known = by_host(account.host)
    if known is None:
        mailbox.host = _guessed_host(account.host)
    elif known.pop_host:
        mailbox.host = known.pop_host
    else:
        mailbox.protocol, mailbox.host, mailbox.port = MailProtocol.IMAP, known.imap_host, IMAP_TLS
    return mailbox


def _guessed_host(host: str) -> str:
    """Return the usual name beside that of a server for sending; most sites have both."""
    return re.sub(r"^smtp\.", "pop.", host)


def provider_of(mailbox: Mailbox) -> Provider | None:
    """Return the known provider of a mailbox's server."""
    return by_host(mailbox.host)


def is_gmail(mailbox: Mailbox) -> bool:
    """Return whether Gmail's own settings decide what stays on the server."""
    known = provider_of(mailbox)
    return known is not None and known.oauth == "google"


def fetches_recent(mailbox: Mailbox) -> bool:
    """Return whether Gmail lists recent messages, also those that another program has fetched."""
    return mailbox.username.startswith(RECENT)


def changed_server_fields(stored: Mailbox | None, values: dict[str, Any]) -> list[str]:
    """Return the fields of the server and the login that would change."""
    if stored is None or stored._state.adding:
        return []
    return [
        name for name in SERVER_FIELDS if name in values and values[name] != getattr(stored, name)
    ]


def save_mailbox(
    mailbox: Mailbox,
    *,
    password: str | None = None,
    actor: Any = None,
    fields: Collection[str] = (),
) -> None:
    """Save the settings of a mailbox, and fetch it soon.

    A password replaces the stored one; "" erases it. A stored password is void, and the ids of the
    messages are forgotten, if they belong to another server. A fetch that is under way ends. Raise
    ImproperlyConfigured if no password can be stored.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        rows = Mailbox.objects.using(using)
        stored = rows.select_for_update().filter(pk=mailbox.account_id).first()
        now_has = {name: getattr(mailbox, name) for name in SERVER_FIELDS}
        changed = changed_server_fields(stored, now_has)
        if password is not None:
            mailbox.secret = password
        elif changed:
            mailbox.secret_encrypted = ""
        if stored is not None and place_of(stored) != place_of(mailbox):
            ServerMessage.objects.using(using).filter(mailbox=mailbox.pk)._raw_delete(using)
        mailbox.ids_of = stored.ids_of if stored is not None else ""
        mailbox.next_fetch_at = database_now(using) if mailbox.is_active else None
        mailbox.failures = mailbox.unclear_logins = 0
        mailbox.reason = NO_REASON
        mailbox.notified_at = None
        mailbox.lease_until, mailbox.lease_key = None, ""
        _renew_copies(mailbox, stored, using)
        mailbox.save(using=using)
        audit.record(
            AuditAction.ACCOUNT_CHANGED,
            actor=actor,
            target=mailbox.account,
            fields=[f"mailbox.{name}" for name in fields] or ["mailbox"],
        )
        wakeup.request_task(FETCH_TASK, using)


def _renew_copies(mailbox: Mailbox, stored: Mailbox | None, using: str) -> None:
    """Store the messages that are sent from now on, and retry the copies that failed."""
    copies = SentCopy.objects.using(using).filter(mailbox=mailbox.account_id)
    if not mailbox.files_copies:
        mailbox.files_from = None
        copies.filter(filed_at=None).delete()
    elif stored is None or not stored.files_copies:
        mailbox.files_from = database_now(using) + OVERLAP  # none that was queued before
    else:
        mailbox.files_from = stored.files_from
        # Not 0: the last attempt may have succeeded without a response.
        copies.exclude(reason="").update(next_at=database_now(using), attempts=1)


def remove_mailbox(mailbox: Mailbox, *, actor: Any = None) -> None:
    """Delete the settings of a mailbox. The messages that were fetched stay."""
    using = get_conf().database
    with transaction.atomic(using=using):
        Mailbox.objects.using(using).filter(pk=mailbox.pk).delete()
        audit.record(
            AuditAction.ACCOUNT_CHANGED, actor=actor, target=mailbox.account, fields=["mailbox"]
        )


def fetch_now(mailbox: Mailbox) -> bool:
    """Request that a worker fetches a mailbox at once, also one that waits for a person.

    Return False if it is not active.
    """
    using = get_conf().database
    rows = Mailbox.objects.using(using).filter(
        pk=mailbox.pk, is_active=True, account__is_active=True
    )
    if not rows.update(next_fetch_at=database_now(using)):
        return False
    wakeup.request_task(FETCH_TASK, using)
    return True


def fetch_with_new_login(account: Account) -> bool:
    """Request a fetch after the login of an account was corrected.

    Return False for a mailbox with a password of its own, which is not concerned, and for none.
    """
    mailbox = mailbox_of(account)
    if mailbox is None or mailbox.secret_encrypted:
        return False
    rows = Mailbox.objects.using(get_conf().database).filter(pk=mailbox.pk)
    rows.update(unclear_logins=0)
    return fetch_now(mailbox)


def fetch_account(account: Account) -> Outcome | None:
    """Fetch the mailbox of an account in this process; return None if it has none."""
    from outbox.inbound.fetch import fetch_mailbox  # the rules for bounces are compiled

    mailbox = mailbox_of(account)
    return None if mailbox is None else fetch_mailbox(mailbox.pk)


def is_being_fetched(mailbox: Mailbox) -> bool:
    """Return whether a process fetches the mailbox at present."""
    until = mailbox.lease_until
    return until is not None and until > database_now(get_conf().database)


def skipped_messages(mailbox: Mailbox) -> tuple[int, list[Reason]]:
    """Return how many messages on the server were not fetched completely, and some reasons."""
    rows = ServerMessage.objects.using(get_conf().database).filter(mailbox=mailbox.pk)
    skipped = rows.exclude(skipped="").filter(deleted_at=None)
    reasons = skipped.order_by("-seen_at").values_list("skipped", flat=True)[:20]
    return skipped.count(), list(dict.fromkeys(reasons))[:3]


def downloads_everything(mailbox: Mailbox) -> bool:
    """Return whether each fetch downloads all messages, because the server gives them no ids."""
    if mailbox.protocol != MailProtocol.POP3 or mailbox.on_server == OnServer.DELETE:
        return False
    rows = ServerMessage.objects.using(get_conf().database).filter(mailbox=mailbox.pk)
    there = rows.filter(deleted_at=None).exclude(uid__contains=" ")
    uids = there.values_list("uid", flat=True)
    # Two of them are enough, and the index has them at once.
    ends = [*uids.order_by("uid")[:1], *uids.order_by("-uid")[:1]]
    return bool(ends) and all(map(is_hash, ends))


def unfiled_copies(mailbox: Mailbox) -> tuple[int, list[Reason]]:
    """Return how many copies of sent messages could not be stored yet, and some reasons."""
    rows = SentCopy.objects.using(get_conf().database).filter(mailbox=mailbox.pk)
    failed = rows.exclude(reason="")
    reasons = failed.order_by("-message").values_list("reason", flat=True)[:20]
    return failed.count(), list(dict.fromkeys(reasons))[:3]

r"""Store copies of sent messages in the \Sent mailboxes of the accounts that want it.

Delivery knows nothing of it. A periodic run finds messages that were queued since its last look,
and gives each a row (`SentCopy`). Once a recipient was accepted, the copy is appended.

An attempt is recorded before the append. If it was interrupted, the append may have succeeded, so
the next attempt first searches for the Message-ID. A failed copy is retried with growing waits, for
some days. The message itself never changes.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
import time
from collections.abc import Collection

from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet

from outbox.backoff import Backoff
from outbox.db.clock import database_now
from outbox.inbound.mail_server import (
    MailServerError,
    SentFolder,
    StoppedError,
    Timeouts,
    open_sent_folder,
)
from outbox.inbound.server_login import login_for
from outbox.models import (
    Folder,
    Mailbox,
    MailProtocol,
    Message,
    Recipient,
    SentCopy,
    Source,
    State,
)
from outbox.net.providers import by_host
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.texts import cause_of

logger = logging.getLogger(__name__)
OVERLAP = dt.timedelta(minutes=10)  # a transaction may commit so long after its message's time
ATTEMPTS_MAX = 12  # within about two days
BACKOFF = Backoff(first=300, factor=2, longest=21_600, jitter=0.2)
_TIMEOUTS = Timeouts(response=300, session=900)
_LEASE = dt.timedelta(seconds=1_200)  # of one copy: longer than a session
_RUN_SECONDS = 300.0  # after which the other copies of a mailbox wait for the next run
_AT_ONCE = 5_000  # messages of one scan, which is for all mailboxes
_POSTPONED_AT_ONCE = 500  # copies of one mailbox
_FAILURES_MAX = 5  # in one session, for example because the mailbox is full
# Until a recipient is accepted, the message is looked at after a quarter of its age.
_SOONEST, _LATEST = dt.timedelta(seconds=30), dt.timedelta(hours=6)
_FORGOTTEN_AFTER = dt.timedelta(days=14)  # of messages that ended without being accepted
_ACCEPTED = (State.SENT, State.BOUNCED)
_OPEN = (Folder.SCHEDULED, Folder.OUTBOX)


def filing_mailboxes(using: str) -> QuerySet[Mailbox]:
    """Return the mailboxes that copies are stored in."""
    return Mailbox.objects.using(using).filter(
        files_sent=True, is_active=True, account__is_active=True, protocol=MailProtocol.IMAP
    )


def find_copies(using: str) -> None:
    """Record the copies of new messages, and postpone those that no recipient was accepted of."""
    _find_new(using)
    for mailbox in filing_mailboxes(using):
        _postpone(mailbox, using)


def due_mailboxes(using: str, *, without: Collection[int] = ()) -> list[int]:
    """Return the mailboxes with copies to append, the longest due first.

    A mailbox whose fetching waits for a person, for example because of its password, waits as well.
    """
    ready = filing_mailboxes(using).filter(next_fetch_at__isnull=False).exclude(pk__in=without)
    copies = _due(using).filter(_is_accepted(), mailbox__in=ready).order_by()
    first = copies.values("mailbox").annotate(first=Min("next_at")).order_by("first")
    return list(first.values_list("mailbox", flat=True))


def file_mailbox(mailbox_id: int, using: str, *, stop: threading.Event | None = None) -> int:
    """Append the due copies of a mailbox; return how many are stored now.

    Only the database can raise an error.
    """
    mailbox = filing_mailboxes(using).select_related("account").filter(pk=mailbox_id).first()
    if mailbox is None:
        return 0
    try:
        login = login_for(mailbox, using)
        folder = open_sent_folder(login, timeouts=_TIMEOUTS, stop=stop)
    except StoppedError:
        return 0
    except MailServerError as error:
        _defer(mailbox, error, using)
        return 0
    try:
        return _Filing(mailbox, folder, using).run()
    finally:
        folder.close()


def _find_new(using: str) -> None:
    """Record the copies of new messages, in one scan for all mailboxes.

    It reads the site's latest messages by time, from the earliest mark on. A scan for each mailbox
    would read the messages of the whole site as often.
    """
    now = database_now(using)
    mailboxes = filing_mailboxes(using)
    marks = dict(mailboxes.values_list("pk", "files_from"))
    since = min(filter(None, marks.values()), default=None)
    found: list[tuple[int, int, dt.datetime]] = []
    if since is not None:
        messages = Message.objects.using(using).filter(
            ~Exists(SentCopy.objects.filter(pk=OuterRef("pk"))),
            Q(listed_at__gte=F("account__mailbox__files_from") - OVERLAP),
            listed_at__gte=since - OVERLAP,
            account__mailbox__in=mailboxes,
            is_sensitive=False,
        )
        queued = messages.exclude(folder=Folder.DRAFTS).order_by("listed_at", "pk")
        found = list(queued.values_list("pk", "account_id", "listed_at")[:_AT_ONCE])
    seen_until = found[-1][2] if len(found) == _AT_ONCE else now
    with transaction.atomic(using=using):
        # Those that were saved in between may want no earlier messages. Those that a fetcher has
        # locked are not waited for. For both, the next scan finds the messages.
        rows = mailboxes.filter(pk__in=marks).order_by("pk")
        locked = rows.select_for_update(skip_locked=True, no_key=True, of=("self",))
        same = [row for row in locked if row.files_from == marks[row.pk]]
        for row in same:
            row.files_from = max(row.files_from or now + OVERLAP, seen_until)
        Mailbox.objects.using(using).bulk_update(same, ["files_from"], batch_size=_AT_ONCE)
        ready = {row.pk for row in same}
        SentCopy.objects.using(using).bulk_create(
            [
                SentCopy(message_id=pk, mailbox_id=account_id, next_at=now)
                for pk, account_id, _ in found
                if account_id in ready
            ],
            ignore_conflicts=True,
        )


def _postpone(mailbox: Mailbox, using: str) -> None:
    now = database_now(using)
    copies = _due(using).filter(~_is_accepted(), mailbox=mailbox.pk).select_related("message")
    for copy in copies.order_by("next_at")[:_POSTPONED_AT_ONCE]:
        message, age = copy.message, now - copy.message.listed_at
        # Another process may have taken the copy in between.
        same = SentCopy.objects.using(using).filter(pk=copy.pk, next_at=copy.next_at)
        if message.folder == Folder.DRAFTS or (
            age > _FORGOTTEN_AFTER and message.folder not in _OPEN
        ):
            same.delete()  # a draft that is queued again is found again
        elif message.send_at and message.send_at > now:
            same.update(next_at=message.send_at + _SOONEST)
        else:
            same.update(next_at=now + min(max(age / 4, _SOONEST), _LATEST))


def _due(using: str) -> QuerySet[SentCopy]:
    return SentCopy.objects.using(using).filter(next_at__lte=database_now(using))


def _is_accepted() -> Exists:
    accepted = Recipient.objects.filter(message=OuterRef("message"), state__in=_ACCEPTED)
    return Exists(accepted)


def _wait(attempts: int, error: MailServerError | None = None) -> dt.timedelta:
    seconds = BACKOFF.wait(attempts, random.random())  # noqa: S311  # jitter
    return dt.timedelta(seconds=max(seconds, (error and error.retry_after) or 0))


def _defer(mailbox: Mailbox, error: MailServerError, using: str) -> None:
    """Count a failed session as a try of all due copies."""
    logger.warning("Copies of sent messages, mailbox %d: %s", mailbox.pk, error.reason)
    due = _due(using).filter(_is_accepted(), mailbox=mailbox.pk)
    first = due.order_by("next_at").first()
    if first is None:
        return
    next_at = database_now(using) + _wait(first.attempts + 1, error)
    last = due.filter(attempts__gte=ATTEMPTS_MAX - 1)
    last.update(attempts=F("attempts") + 1, reason=error.reason, next_at=None)
    due.update(attempts=F("attempts") + 1, reason=error.reason, next_at=next_at)


class _Filing:
    """One session that appends copies."""

    def __init__(self, mailbox: Mailbox, folder: SentFolder, using: str) -> None:
        self._mailbox = mailbox
        self._folder = folder
        self._using = using
        known = by_host(mailbox.host)
        self._stores_itself = bool(known and known.oauth)
        self._failures = 0

    def run(self) -> int:
        """Append what is due, for a limited time; return how many copies are stored now."""
        ends_at = time.monotonic() + _RUN_SECONDS
        count = 0
        while time.monotonic() < ends_at and self._failures < _FAILURES_MAX:
            due = _due(self._using).filter(_is_accepted(), mailbox=self._mailbox.pk)
            copy = due.select_related("message").order_by("next_at", "pk").first()
            if copy is None:
                break
            try:
                count += self._file(copy)
            except StoppedError:
                break  # the lease ends, and the next attempt searches first
            except MailServerError as error:
                self._record(copy, error.reason, error)
                if error.ends_session:
                    break
        return count

    def _file(self, copy: SentCopy) -> bool:
        """Append a copy, unless another process does. Raise a MailServerError."""
        now = database_now(self._using)
        rows = SentCopy.objects.using(self._using).filter(pk=copy.pk)
        if copy.attempts >= ATTEMPTS_MAX:  # each of them was interrupted
            reason = copy.reason or Reason(ReasonCode.SENT_COPY_INTERRUPTED)
            rows.filter(next_at=copy.next_at).update(next_at=None, reason=reason)
            return False
        claimed = rows.filter(next_at=copy.next_at)
        if not claimed.update(next_at=now + _LEASE, attempts=copy.attempts + 1):
            return False
        stored = Source.objects.using(self._using).filter(pk=copy.pk, is_redacted=False).first()
        if stored is None:
            rows.update(next_at=None)  # its content was removed, or is not what was sent
            return False
        try:
            source = stored.read()
        except OSError as error:
            self._record(copy, Reason(ReasonCode.SENT_COPY_UNREADABLE, cause=cause_of(error)))
            return False
        if not self._is_stored(copy):
            self._folder.append(source, self._accepted_at(copy) or now)
        filed_at = database_now(self._using)
        rows.update(next_at=None, filed_at=filed_at, reason=NO_REASON)
        return True

    def _is_stored(self, copy: SentCopy) -> bool:
        message_id = copy.message.message_id
        may_be = copy.attempts > 0 or self._stores_itself
        is_searchable = bool(message_id) and message_id.isascii()
        return may_be and is_searchable and self._folder.contains(message_id)

    def _accepted_at(self, copy: SentCopy) -> dt.datetime | None:
        rows = Recipient.objects.using(self._using).filter(message=copy.pk, state__in=_ACCEPTED)
        first: dt.datetime | None = rows.aggregate(first=Min("final_at"))["first"]
        return first

    def _record(self, copy: SentCopy, reason: Reason, error: MailServerError | None = None) -> None:
        """Record why a try failed."""
        attempts = copy.attempts + 1
        next_at = None
        if attempts < ATTEMPTS_MAX:
            next_at = database_now(self._using) + _wait(attempts, error)
        rows = SentCopy.objects.using(self._using).filter(pk=copy.pk)
        rows.update(next_at=next_at, reason=reason)
        self._failures += 1
        logger.warning("Copy of the sent message %d: %s", copy.pk, reason)

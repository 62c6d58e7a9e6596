"""Fetch a mailbox: take its lease, run sessions until nothing is new, and record the result.

What the next fetch waits for depends on what went wrong:

- A busy server, or a network fault: a growing wait.
- A login that was rejected without a reason: a longer wait, and after some attempts a person. More
  attempts could lock the account.
- A rejected login: a person has to change something, so there is no next fetch.
- No room for more messages of the owner: the usual wait, after which there may be room.
- A server that cannot be used, for example because of its certificate: a long wait. No login was
  attempted, and the server's operator may correct it.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from outbox.backoff import Backoff
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.exceptions import StorageWriteError
from outbox.inbound.lease import Lease, LeaseLostError
from outbox.inbound.mail_server import (
    LoginRefusedError,
    LoginUnclearError,
    MailboxBusyError,
    MailServer,
    MailServerError,
    MailServerUnusableError,
    StoppedError,
    open_mail_server,
)
from outbox.inbound.room import Room
from outbox.inbound.server_login import login_for, place_of, renewed_login
from outbox.inbound.session import Result, Session
from outbox.models import Mailbox, ServerMessage
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.texts import cause_of

logger = logging.getLogger(__name__)
SESSION_SECONDS = 1_200.0  # after which no further message is requested, and QUIT is sent
FETCH_SECONDS = 3_600.0  # for all sessions of one fetch; others wait for its thread
_SESSIONS = 500  # of one fetch: Gmail shows some 250 messages in each
_DELAY_MAX = 86_400  # seconds that a server may ask for
UNCLEAR_MAX = 3  # logins rejected without a reason, before a person has to look

BACKOFF = Backoff(first=60, factor=2, longest=3_600, jitter=0.2)
BUSY = Backoff(first=60, factor=2, longest=900, jitter=0.3)
UNCLEAR = Backoff(first=900, factor=4, longest=21_600, jitter=0.1)
UNUSABLE = Backoff(first=900, factor=2, longest=21_600, jitter=0.1)


@dataclass(slots=True)
class Outcome:
    """What a fetch has done."""

    stored: int = 0
    skipped: int = 0
    deleted: int = 0
    sessions: int = 0
    reason: Reason = field(default=NO_REASON)  # why it failed
    is_complete: bool = False  # everything that is new was fetched
    is_busy: bool = False  # another process fetches the mailbox
    is_paused: bool = False  # there is no next fetch before a person has changed something

    def add(self, result: Result) -> None:
        """Add what a session has done."""
        self.sessions += 1
        self.stored += result.stored
        self.skipped += result.skipped
        self.deleted += result.deleted


def fetch_mailbox(
    mailbox_id: int,
    using: str | None = None,
    *,
    stop: threading.Event | None = None,
    only_due: bool = False,
) -> Outcome:
    """Fetch a mailbox now, unless another process does. Only the database can raise an error.

    `stop` ends it soon; then the next fetch continues. `only_due` does not fetch a mailbox that is
    not due, so that a password that another process saw rejected is not sent again.
    """
    using = using or get_conf().database
    stop = stop or threading.Event()
    lease = Lease.take(mailbox_id, using, stop, only_due=only_due)
    if lease is None:
        return Outcome(is_busy=True)
    mailbox = Mailbox.objects.using(using).select_related("account").filter(pk=mailbox_id).first()
    if mailbox is None:
        return Outcome(is_busy=True)  # it was deleted in the meantime
    outcome = Outcome()
    with lease:
        try:
            _forget_other_place(mailbox, lease, using)
            next_at = _run(mailbox, lease, outcome, using, stop)
        except LeaseLostError:
            return Outcome(is_busy=True)
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:
            logger.exception("Mailbox %d could not be fetched.", mailbox_id)
            outcome.reason = Reason(ReasonCode.FETCH_INTERRUPTED, cause=cause_of(error))
            next_at = _after(BACKOFF, mailbox)
        _record(mailbox, lease, outcome, next_at, using)
    return outcome


def _forget_other_place(mailbox: Mailbox, lease: Lease, using: str) -> None:
    """Delete the ids of another server or user. Its messages would otherwise pass for stored.

    A mailbox without a username has that of the account, which may change without the mailbox.
    """
    place = place_of(mailbox)
    if mailbox.ids_of == place:
        return
    with transaction.atomic(using=using):
        lease.extend()
        if mailbox.ids_of:
            ServerMessage.objects.using(using).filter(mailbox=mailbox.pk)._raw_delete(using)
        Mailbox.objects.using(using).filter(pk=mailbox.pk).update(ids_of=place)


def _run(
    mailbox: Mailbox, lease: Lease, outcome: Outcome, using: str, stop: threading.Event
) -> dt.timedelta | None:
    """Run sessions; return the time until the next fetch, None if a person has to come first."""
    try:
        return _sessions(mailbox, lease, outcome, using, stop)
    except StoppedError:
        lease.extend()  # raises an error if this is why it was stopped
        return dt.timedelta(0)
    except MailServerError as error:
        outcome.reason = error.reason
        return _wait(mailbox, error)
    except StorageWriteError as error:
        outcome.reason = Reason(ReasonCode.RECEIVED_NOT_STORED, cause=str(error))
        return _after(BACKOFF, mailbox)


def _sessions(
    mailbox: Mailbox, lease: Lease, outcome: Outcome, using: str, stop: threading.Event
) -> dt.timedelta | None:
    ends_at = time.monotonic() + FETCH_SECONDS
    room = Room(mailbox, using)
    for _ in range(_SESSIONS):
        server = _log_in(mailbox, using, stop)
        mailbox.unclear_logins = 0
        result = Session(mailbox, server, lease, room, using).run(SESSION_SECONDS)
        outcome.add(result)
        delay = _delay(server.facts.login_delay)
        if not result.has_more:
            outcome.is_complete = True
            return max(dt.timedelta(minutes=mailbox.every_minutes), delay)
        if result.lacks_room:
            outcome.reason = result.cut_by
            return max(dt.timedelta(minutes=mailbox.every_minutes), delay)
        if result.cut_by or not (result.stored or result.deleted):
            # The next session might end in the same way, after as many bytes.
            outcome.reason = result.cut_by
            return max(_after(BACKOFF, mailbox), delay)
        if delay:
            return delay
        if time.monotonic() > ends_at:
            break
    return dt.timedelta(0)


def _log_in(mailbox: Mailbox, using: str, stop: threading.Event) -> MailServer:
    """Open a session. A token that the server rejects is renewed once, as before sending."""
    login = login_for(mailbox, using)
    try:
        return open_mail_server(login, stop=stop)
    except (LoginRefusedError, LoginUnclearError):
        renewed = renewed_login(mailbox, login, using)
        if renewed is None:
            raise
        return open_mail_server(renewed, stop=stop)


def _wait(mailbox: Mailbox, error: MailServerError) -> dt.timedelta | None:
    """Return how long to wait after an error of the server, None for a person."""
    match error:
        case LoginRefusedError():
            return None
        case LoginUnclearError():
            mailbox.unclear_logins += 1
            if mailbox.unclear_logins >= UNCLEAR_MAX:
                return None
            wait = _after(UNCLEAR, mailbox)
        case MailServerUnusableError():
            wait = _after(UNUSABLE, mailbox)
        case MailboxBusyError():
            wait = _after(BUSY, mailbox)
        case _:
            wait = _after(BACKOFF, mailbox)
    return max(wait, _delay(error.retry_after or 0))


def _delay(seconds: int) -> dt.timedelta:
    """Return the time that a server wants between two logins, within a limit."""
    return dt.timedelta(seconds=min(seconds, _DELAY_MAX))


def _after(backoff: Backoff, mailbox: Mailbox) -> dt.timedelta:
    chance = random.random()  # noqa: S311  # jitter
    return dt.timedelta(seconds=backoff.wait(mailbox.failures + 1, chance))


def _record(
    mailbox: Mailbox, lease: Lease, outcome: Outcome, wait: dt.timedelta | None, using: str
) -> None:
    now = database_now(using)
    outcome.is_paused = wait is None
    is_fault = outcome.reason and outcome.reason.code != ReasonCode.INBOX_FULL
    columns: dict[str, Any] = {
        "next_fetch_at": None if wait is None else now + wait,
        "reason": outcome.reason,
        "failures": mailbox.failures + 1 if is_fault else 0,
        "unclear_logins": mailbox.unclear_logins,
    }
    if not outcome.reason:
        columns["notified_at"] = None
    if outcome.is_complete:
        columns["fetched_at"] = now
    lease.end(**columns)
    if outcome.reason:
        logger.warning("Mailbox %d: %s", mailbox.pk, outcome.reason)
    elif outcome.stored or outcome.deleted:
        counts = (outcome.stored, outcome.skipped, outcome.deleted)
        logger.info("Mailbox %d: stored %d, skipped %d, deleted %d.", mailbox.pk, *counts)

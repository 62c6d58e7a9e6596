"""Commit messages that were fetched, with their ids on the server: a batch in one transaction.

If a batch cannot be stored, each of its messages is tried alone, so that one message which the
database or the matching cannot handle does not stop the others.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import DatabaseError, transaction

from outbox.db.bulk import insert_models
from outbox.db.unavailable import DATABASE_UNAVAILABLE, is_about_a_row
from outbox.exceptions import StorageWriteError
from outbox.inbound.facts import Facts
from outbox.inbound.lease import Lease, LeaseLostError
from outbox.inbound.listing import Wanted, may_be_deleted, rows_of
from outbox.inbound.storing import store
from outbox.models import Account, InboundMessage, Mailbox, ServerMessage
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.texts import cause_of

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Arrival:
    """A message that was downloaded."""

    wanted: Wanted
    facts: Facts

    @property
    def key(self) -> str:
        """The unique id, or what stands for it."""
        return self.wanted.uid or self.facts.sha256


@dataclass(frozen=True, slots=True)
class Committed:
    """A message that is stored, and whose place on the server may be freed."""

    place: int
    row: int
    is_new: bool


class Commits:
    """Writes what one session has fetched."""

    def __init__(self, mailbox: Mailbox, lease: Lease, using: str) -> None:
        self._mailbox = mailbox
        self._lease = lease
        self._using = using

    def store(self, arrivals: Sequence[Arrival]) -> list[Committed]:
        """Commit messages; return those that are stored, without the ones that must stay.

        Raise LeaseLostError, StorageWriteError and the errors of an unavailable database. Then
        nothing of the batch counts as stored.
        """
        try:
            return self._transaction(arrivals, guarded=False)
        except (LeaseLostError, StorageWriteError):
            raise
        except DATABASE_UNAVAILABLE as error:
            if not is_about_a_row(error):
                raise
        except Exception:
            logger.exception("A batch of received messages is stored one by one.")
        return [one for arrival in arrivals for one in self._store_alone(arrival)]

    def skip(self, wanted: Wanted, size: int, reason: Reason) -> None:
        """Record why a message is not stored, so that it is not fetched again."""
        with transaction.atomic(using=self._using):
            now = self._lease.extend()
            ServerMessage.objects.using(self._using).update_or_create(
                mailbox=self._mailbox,
                uid=wanted.key,
                defaults={"size": size, "skipped": reason, "deleted_at": None},
                create_defaults={
                    "size": size,
                    "skipped": reason,
                    "seen_at": now,
                },
            )

    def _store_alone(self, arrival: Arrival) -> list[Committed]:
        """Store one message: if necessary, without what was read from it, or not at all."""
        unread = Facts(arrival.facts.source, arrival.facts.sha256, {"size": arrival.facts.size})
        unread.is_readable = False
        cause = ""
        for facts in (arrival.facts, unread):
            try:
                return self._transaction([Arrival(arrival.wanted, facts)], guarded=True)
            except DatabaseError as error:
                if isinstance(error, DATABASE_UNAVAILABLE) and not is_about_a_row(error):
                    raise
                cause = cause_of(error)
                logger.exception("A received message could not be stored.")
        reason = Reason(ReasonCode.RECEIVED_NOT_STORED, cause=cause)
        self.skip(arrival.wanted._replace(uid=arrival.key), arrival.facts.size, reason)
        return []

    def _transaction(self, arrivals: Sequence[Arrival], *, guarded: bool) -> list[Committed]:
        with transaction.atomic(using=self._using):
            now = self._lease.extend()
            self._check_account()
            return self._write(arrivals, now, guarded=guarded)

    def _check_account(self) -> None:
        """Raise LeaseLostError if the account has another owner, or was disabled or enabled."""
        account = self._mailbox.account
        same = Account.objects.using(self._using).filter(
            pk=account.pk, owner=account.owner_id, is_active=account.is_active
        )
        if not same.exists():
            raise LeaseLostError

    def _write(
        self, arrivals: Sequence[Arrival], now: dt.datetime, *, guarded: bool
    ) -> list[Committed]:
        known = rows_of(self._mailbox, [one.key for one in arrivals], self._using)
        new: dict[str, Arrival] = {}
        done = []
        for one in arrivals:
            row = known.get(one.key)
            if row is None or not self._is_stored(row, one.facts):
                new.setdefault(one.key, one)
            elif may_be_deleted(row):
                done.append(Committed(one.wanted.place, row.pk, is_new=False))
        account = self._mailbox.account
        facts = [one.facts for one in new.values()]
        messages = store(facts, account, self._using, now=now, guarded=guarded)
        rows = [
            self._row(one, message, known.get(one.key), now)
            for one, message in zip(new.values(), messages, strict=True)
        ]
        self._save(rows)
        # Its place named the message until it was downloaded.
        places = [one.wanted.row for one in arrivals if one.wanted.row and not one.wanted.uid]
        if places:
            ServerMessage.objects.using(self._using).filter(pk__in=places)._raw_delete(self._using)
        return done + [
            Committed(one.wanted.place, row.pk, is_new=True)
            for one, row in zip(new.values(), rows, strict=True)
            if one.facts.is_readable
        ]

    def _is_stored(self, row: ServerMessage, facts: Facts) -> bool:
        """Return whether this message was stored before, even if it was deleted here since.

        Some servers use the id of a deleted message again, for another one.
        """
        if row.deleted_at is None:
            return not row.skipped or row.skipped.code == ReasonCode.RECEIVED_UNREADABLE
        if row.sha256 != facts.sha256:
            return False
        row.deleted_at = None
        row.returned += 1
        self._save([row])
        return True

    def _row(
        self, one: Arrival, message: InboundMessage, row: ServerMessage | None, now: dt.datetime
    ) -> ServerMessage:
        """Return the unsaved row of a message on the server."""
        row = row or ServerMessage(mailbox=self._mailbox, uid=one.key)
        row.message = message
        row.size = one.facts.size
        row.sha256 = one.facts.sha256
        row.returned = 0
        row.seen_at = now
        row.deleted_at = None
        row.skipped = NO_REASON if one.facts.is_readable else Reason(ReasonCode.RECEIVED_UNREADABLE)
        return row

    def _save(self, rows: Sequence[ServerMessage]) -> None:
        changed = [row for row in rows if row.pk]
        insert_models(self._using, [row for row in rows if not row.pk])
        for row in changed:
            row.save(using=self._using, force_update=True)

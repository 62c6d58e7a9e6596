"""One session with a mailbox: list, retrieve, commit, only then delete, and QUIT at the end.

- Gmail marks what was retrieved as fetched at QUIT. So after a failed commit, the connection is
  abandoned instead.
- DELE takes effect at QUIT. What QUIT has not confirmed does not count as deleted, and is deleted
  by the next session.
- A message that could not be read, or was not stored, is never deleted.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.db import transaction

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.inbound.commits import Arrival, Commits, Committed
from outbox.inbound.facts import read_facts
from outbox.inbound.lease import Lease, LeaseLostError
from outbox.inbound.listing import (
    Plan,
    Wanted,
    broke,
    has_server_ids,
    mark_deleted,
    plan,
    rows_gone,
    too_large,
)
from outbox.inbound.mail_server import (
    Listed,
    MailServer,
    MailServerError,
    MessageError,
    MessageTooLargeError,
    StoppedError,
    TemporaryError,
)
from outbox.inbound.room import Room
from outbox.models import Mailbox, OnServer, ServerMessage
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.reply_rules import usable_rules

logger = logging.getLogger(__name__)
_CHUNK = 200  # messages that are requested before those that are stored are deleted
_CHUNK_BYTES = 8_000_000  # of them, as the server says
_BATCH = 200  # messages in one transaction
_BATCH_BYTES = 4_000_000  # in memory


@dataclass(slots=True)
class Result:
    """What a session has done."""

    listed: int = 0
    stored: int = 0
    skipped: int = 0
    failed: int = 0  # messages that the server did not return
    deleted: int = 0
    has_more: bool = False  # the time was over, or the server shows a part of the mailbox only
    cut_by: Reason = NO_REASON  # why the session ended within a message
    lacks_room: bool = False  # the owner may not store more; `cut_by` has the numbers


class _EndedError(Exception):
    """The session cannot continue after a message that is too large."""


class Session:
    """One session. `run` ends it in every case."""

    def __init__(
        self, mailbox: Mailbox, server: MailServer, lease: Lease, room: Room, using: str
    ) -> None:
        self._mailbox = mailbox
        self._server = server
        self._using = using
        self._lease = lease
        self._commits = Commits(mailbox, lease, using)
        self._rules = usable_rules()
        self._limit = get_conf().max_received_bytes
        self._room = room
        self._marked: list[int] = []  # rows of messages that QUIT deletes
        self._result = Result()

    def run(self, seconds: float) -> Result:
        """Fetch what is new, for so many seconds. Raise MailServerError and what commits raise."""
        ends_at = time.monotonic() + seconds
        try:
            listed = self._server.messages()
            self._result.listed = len(listed)
            self._check_ids()
            found = plan(self._mailbox, listed, self._using, self._limit)
            self._fetch(found, ends_at)
            if not self._result.lacks_room:
                self._delete_old(found, ends_at)
            if self._marked:
                self._lease.extend()  # raises an error if the user no longer wants it
            self._server.quit()
        except _EndedError:  # what was stored is deleted by the next session
            self._server.abandon()
            self._result.has_more = True
            return self._result
        except BaseException:
            self._server.abandon()
            raise
        self._result.deleted = mark_deleted(self._marked, self._using)
        if not self._server.facts.is_gmail:  # which lists a part of the mailbox
            self._mark_gone(listed)
        return self._result

    def _mark_gone(self, listed: Sequence[Listed]) -> None:
        if gone := rows_gone(self._mailbox, listed, self._using):
            # A fetcher that took over may have stored messages which this listing lacks.
            with suppress(LeaseLostError), transaction.atomic(using=self._using):
                self._lease.extend()
                mark_deleted(gone, self._using)

    # --- fetching -----------------------------------------------------------------------------

    def _check_ids(self) -> None:
        """Raise TemporaryError if the server has ids, but does not list them now.

        All messages would be new, and stored again.
        """
        if not self._result.listed or self._server.facts.has_uids:
            return
        if has_server_ids(self._mailbox, self._using):
            raise TemporaryError(Reason(ReasonCode.COMMAND_REJECTED, command="UIDL"))

    def _fetch(self, found: Plan, ends_at: float) -> None:
        for chunk in [*_chunks(found.wanted), *([one] for one in found.suspected)]:
            if time.monotonic() > ends_at:
                self._result.has_more = True
                return
            if self._room.is_used_up:
                self._result.has_more = self._result.lacks_room = True
                self._result.cut_by = self._room.reason
                return
            for committed in self._fetch_chunk(chunk):
                self._delete(committed.place, committed.row)
        if self._server.facts.is_gmail and self._result.stored:
            self._result.has_more = True

    def _fetch_chunk(self, chunk: Sequence[Wanted]) -> list[Committed]:
        """Retrieve and commit; return what may be deleted now."""
        by_index = {one.place: one for one in chunk}
        batch: list[Arrival] = []
        size = 0
        done: list[Committed] = []
        try:
            for index, found in self._server.retrieve_many(list(by_index), self._limit):
                wanted = by_index.pop(index)
                if isinstance(found, MailServerError):
                    self._skip(wanted, found)
                    continue
                batch.append(Arrival(wanted, read_facts(found, self._rules)))
                size += len(found)
                if len(batch) >= _BATCH or size >= _BATCH_BYTES:
                    # Not again if it fails: then nothing more is stored.
                    committed, batch, size = batch, [], 0
                    done += self._commit(committed)
        except _EndedError:
            self._commit(batch)
            raise
        except MailServerError as error:
            self._commit(batch)  # so that a connection which always breaks makes progress
            suspected = [by_index[index] for index in error.indexes if index in by_index]
            self._suspect(suspected, error)
            raise
        done += self._commit(batch)
        return self._deletable(done)

    def _suspect(self, wanted: Sequence[Wanted], error: MailServerError) -> None:
        """Record which messages may have broken the session: the next one starts with others."""
        if isinstance(error, StoppedError):
            return
        for one in wanted:
            self._commits.skip(one, one.size or 0, broke(one.breaks + 1))

    def _commit(self, batch: Sequence[Arrival]) -> list[Committed]:
        if not batch:
            return []
        done = self._commits.store(batch)
        new = {one.place for one in done if one.is_new}
        self._result.stored += len(new)
        self._room.use(one.facts.size for one in batch if one.wanted.place in new)
        return done

    def _skip(self, wanted: Wanted, error: MailServerError) -> None:
        if isinstance(error, MessageTooLargeError):
            self._result.skipped += 1
            size = max(wanted.size or 0, self._limit + 1)  # the listed size may be wrong
            self._commits.skip(wanted, size, too_large(size, self._limit))
        else:
            self._result.failed += 1
            logger.warning("Mailbox %d: a message was not retrieved: %s", self._mailbox.pk, error)
        if error.ends_session:
            self._result.cut_by = error.reason
            raise _EndedError

    # --- deleting -----------------------------------------------------------------------------

    def _delete_old(self, found: Plan, ends_at: float) -> None:
        """Delete what was stored by earlier sessions and may no longer stay on the server."""
        until = self._deletes_until()
        if until is None:
            return
        for one in found.present:
            if time.monotonic() > ends_at:
                self._result.has_more = True
                return
            if one.seen_at <= until:
                self._delete(one.place, one.row)

    def _deletable(self, done: list[Committed]) -> list[Committed]:
        """Return those that may be deleted now; without unique ids, old ones are among them."""
        until = self._deletes_until()
        if until is None or self._mailbox.on_server == OnServer.DELETE:
            return [] if until is None else done
        known = [one.row for one in done if not one.is_new]
        rows = ServerMessage.objects.using(self._using).filter(pk__in=known, seen_at__lte=until)
        old = set(rows.values_list("pk", flat=True))
        return [one for one in done if one.row in old]

    def _deletes_until(self) -> dt.datetime | None:
        """Return the time before which a message must have been stored to be deleted."""
        mailbox = self._mailbox
        now = database_now(self._using)
        if mailbox.on_server == OnServer.DELETE:
            return now
        if mailbox.on_server == OnServer.KEEP or self._server.facts.is_gmail:
            return None
        return now - dt.timedelta(days=mailbox.keep_days)

    def _delete(self, index: int, row: int) -> None:
        try:
            self._server.delete(index)
        except MessageError as error:  # another program has deleted it
            logger.info("Mailbox %d: a message was not deleted: %s", self._mailbox.pk, error)
        else:
            self._marked.append(row)


def _chunks(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    chunk: list[Wanted] = []
    size = 0
    for one in wanted:
        chunk.append(one)
        size += one.size or 0
        if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk

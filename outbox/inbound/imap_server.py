r"""The session with the server of a mailbox by IMAP: its INBOX.

A unique id is "UIDVALIDITY:UID", so that a mailbox that was created anew has other ids. Messages
are fetched without setting \Seen.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from outbox.inbound.imap_connection import Client, Connection
from outbox.inbound.imap_login import logged_in, translated
from outbox.inbound.mail_server import (
    Listed,
    Login,
    MailServerError,
    MessageRefusedError,
    MessageTooLargeError,
    QuitRefusedError,
    ServerFacts,
    TemporaryError,
    Timeouts,
)
from outbox.inbound.mail_stream import MESSAGE_MAX, is_gmail
from outbox.pop3.protocol import LISTING_MAX
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.masking import Masker

_WINDOW = 32  # messages of one FETCH
_WINDOW_BYTES = 1_048_576  # of them, since they are held together
_UIDS_MAX = 500  # in one command: servers limit the length of a line


class ImapServer:
    """A session after the login. `outbox.inbound.mail_server.MailServer` explains the methods."""

    facts: ServerFacts

    def __init__(self, client: Client, connection: Connection, masker: Masker, host: str) -> None:
        self._client = client
        self._connection = connection
        self._masker = masker
        self._uids: list[int] | None = None
        self._deleted: list[int] = []
        gmail = is_gmail(host) or client.has_capability("X-GM-EXT-1")
        self.facts = ServerFacts(is_gmail=gmail, is_pipelined=True)

    def messages(self) -> list[Listed]:
        with self._translated("SELECT"):
            selected = self._client.select_folder("INBOX")
            self._connection.begin()
            self._uids = sorted(self._client.search(["UNDELETED"]))
        if len(self._uids) > LISTING_MAX:
            cause = f"a listing of more than {LISTING_MAX:,} messages"
            raise TemporaryError(Reason(ReasonCode.RESPONSE_INVALID, cause=cause))
        validity = int(selected.get(b"UIDVALIDITY", 0))
        return [Listed(f"{validity}:{uid}", None) for uid in self._uids]

    def retrieve(self, index: int, limit: int | None = None) -> bytes:
        ((_, found),) = self.retrieve_many([index], limit)
        if isinstance(found, MailServerError):
            raise found
        return found

    def retrieve_many(
        self, indexes: Iterable[int], limit: int | None = None
    ) -> Iterator[tuple[int, bytes | MailServerError]]:
        most = MESSAGE_MAX if limit is None else limit
        remaining = iter(indexes)
        while chosen := list(islice(remaining, _WINDOW)):
            sizes = self._sizes(chosen)
            for window in _windows(chosen, sizes, most):
                yield from self._window(window, sizes, most)

    def delete(self, index: int) -> None:
        self._deleted.append(self._uid(index))

    def quit(self) -> None:
        try:
            with self._translated("EXPUNGE"):
                self._connection.begin_quit()
                if self._deleted:
                    self._expunge()
                self._connection.begin_quit()
                self._client.logout()
        except MailServerError as error:
            raise QuitRefusedError(Reason(ReasonCode.QUIT_FAILED, why=error.reason)) from error
        finally:
            self._connection.shutdown()

    def abandon(self) -> None:
        self._connection.shutdown()

    def _uid(self, index: int) -> int:
        if self._uids is None:
            self.messages()
        assert self._uids is not None
        return self._uids[index]

    def _sizes(self, indexes: list[int]) -> dict[int, int]:
        """Return the size of each message by its index; 0 if it is gone."""
        uids = {index: self._uid(index) for index in indexes}
        with self._translated("FETCH"):
            found = self._client.fetch(list(uids.values()), ["RFC822.SIZE"])
        return {
            index: int(found.get(uid, {}).get(b"RFC822.SIZE", 0)) for index, uid in uids.items()
        }

    def _window(
        self, indexes: list[int], sizes: dict[int, int], limit: int
    ) -> Iterator[tuple[int, bytes | MailServerError]]:
        uids = {index: self._uid(index) for index in indexes if sizes[index] <= limit}
        # They are held together. The listed sizes may be wrong, but not by more than one message.
        most = sum(sizes[index] for index in uids) + limit + 1
        try:
            with self._translated("FETCH", message_bytes=most):
                # One byte more shows a message whose size is wrong.
                wanted = f"BODY.PEEK[]<0.{limit + 1}>"
                found: dict[int, Any] = self._client.fetch(list(uids.values()), [wanted])
        except MailServerError as error:
            error.indexes = tuple(uids)
            raise
        for index in indexes:
            yield index, self._judged(found.get(self._uid(index), {}), sizes[index], limit)

    def _judged(self, found: dict[bytes, Any], size: int, limit: int) -> bytes | MailServerError:
        source = next((value for name, value in found.items() if name.startswith(b"BODY[]")), None)
        if size > limit or (isinstance(source, bytes) and len(source) > limit):
            reason = Reason(ReasonCode.FETCH_TOO_LARGE, size=max(size, limit + 1), limit=limit)
            return MessageTooLargeError(reason)
        if not isinstance(source, bytes):
            return MessageRefusedError(Reason(ReasonCode.COMMAND_REJECTED, command="FETCH"))
        return source

    def _expunge(self) -> None:
        """Delete the marked messages, and none that another program has marked."""
        client = self._client
        for start in range(0, len(self._deleted), _UIDS_MAX):
            uids = self._deleted[start : start + _UIDS_MAX]
            client.delete_messages(uids, silent=True)
            if client.has_capability("UIDPLUS"):
                client.uid_expunge(uids)
        # Without UIDPLUS, those of others would go as well; marked ones are not listed again.
        is_alone = set(client.search(["DELETED"])) <= set(self._deleted)
        if is_alone and not client.has_capability("UIDPLUS"):
            client.expunge()

    @contextmanager
    def _translated(self, command: str, *, message_bytes: int = 0) -> Iterator[None]:
        self._connection.begin(message_bytes)
        with translated(self._connection, self._masker, command):
            yield


def open_imap(login: Login, timeouts: Timeouts, stop: threading.Event | None) -> ImapServer:
    """Connect and log in. Raise a MailServerError."""
    client, connection, masker = logged_in(login, timeouts, stop)
    return ImapServer(client, connection, masker, login.host)


def _windows(indexes: list[int], sizes: dict[int, int], limit: int) -> Iterator[list[int]]:
    """Yield the indexes in groups whose messages are held together."""
    window: list[int] = []
    room = _WINDOW_BYTES
    for index in indexes:
        size = min(sizes[index], limit)
        if window and size > room:
            yield window
            window, room = [], _WINDOW_BYTES
        window.append(index)
        room -= size
    if window:
        yield window

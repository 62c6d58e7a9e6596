"""A session with the server of a mailbox, by POP3 or IMAP through one interface.

    server = open_mail_server(login)
    for batch in batched(range(len(server.messages())), 50):
        for index, found in server.retrieve_many(batch):
            ...  # store it, unless it is an error
        ...  # commit
        for index in batch:
            server.delete(index)
    server.quit()

A session is blocking and belongs to one thread. Each message is downloaded without a change of its
bytes. A message is deleted only by a `quit` that returned. After any error except those of a single
message, call `abandon`: then nothing is deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from typing import Literal, NamedTuple, Protocol

from outbox.net.stream import Timeouts
from outbox.reasons import Reason, ReasonCode

__all__ = [
    "Listed",
    "Login",
    "LoginRefusedError",
    "LoginUnclearError",
    "MailServer",
    "MailServerError",
    "MailServerUnusableError",
    "MailboxBusyError",
    "MessageError",
    "MessageRefusedError",
    "MessageTooLargeError",
    "QuitRefusedError",
    "SentFolder",
    "ServerFacts",
    "StoppedError",
    "TemporaryError",
    "Timeouts",
    "open_mail_server",
    "open_sent_folder",
]


class Listed(NamedTuple):
    """A message on the server."""

    uid: str  # unique and stable in the mailbox; "" if the server has none for this message
    size: int | None  # bytes, as the server says, which may be wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where a mailbox is, and how to log in. The certificate is verified against `host`."""

    protocol: Literal["pop3", "imap"]
    host: str
    port: int
    security: Literal["none", "starttls", "tls"]  # the values of outbox.smtp.Security
    username: str
    password: str = field(repr=False)  # or the access token
    is_token: bool = False  # an OAuth access token rather than a password
    allows_private: bool = False  # may connect to addresses that are not public
    allows_plain_text: bool = False  # for loopback only: otherwise a login needs TLS
    allows_apop: bool = False  # prefer APOP, for which the server stores the password readable
    ca_file: str | None = None  # authorities that are trusted besides the system's


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server offers, as far as it is known after the login."""

    has_uids: bool = True  # False for a POP3 server without UIDL
    is_gmail: bool = False  # its settings, not DELE, decide what stays; see `expires`
    is_pipelined: bool = False  # `retrieve_many` does not wait between two messages
    expires: int | None = None  # days that the server keeps messages (EXPIRE); None: not known
    never_expires: bool = False  # the server said so (EXPIRE NEVER)
    login_delay: int = 0  # seconds that the server wants between two logins
    software: str = ""  # as the server names itself; made safe to show


class MailServerError(Exception):
    """The session or one command failed. `reason` has the sentence for the user."""

    is_temporary = True  # whether a later session may succeed without a change by a person
    ends_session = True  # whether only `abandon` is possible now
    retry_after: int | None = None  # seconds before the next login, if the server named them
    indexes: tuple[int, ...] = ()  # messages whose retrieval ended the session

    def __init__(self, reason: Reason, *, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.reason)


class TemporaryError(MailServerError):
    """The server or the network has a problem for now; also no TLS, or an invalid certificate."""


class MailboxBusyError(TemporaryError):
    """Another session has the mailbox, or the server wants a pause between two logins."""


class StoppedError(TemporaryError):
    """The caller's stop event was set."""


class LoginUnclearError(TemporaryError):
    """The server rejected the login without a reason: try again rarely, or it locks the account."""


class LoginRefusedError(MailServerError):
    """The login fails until a person has changed something; it must not be repeated."""

    is_temporary = False


class MailServerUnusableError(MailServerError):
    """The configuration has to be corrected: the server offers no login that the account allows,
    or has an address that is not allowed.
    """

    is_temporary = False


class MessageError(MailServerError):
    """One command about one message failed; the session continues."""

    ends_session = False


class MessageTooLargeError(MessageError):
    """The message is larger than the limit."""

    is_temporary = False


class MessageRefusedError(MessageError):
    """The server rejected the command (-ERR, NO), for example because the message is gone."""


class QuitRefusedError(TemporaryError):
    """QUIT was rejected, or its response lost: no message may be counted as deleted."""


class MailServer(Protocol):
    """One session, already logged in. Every method raises a MailServerError."""

    facts: ServerFacts

    def messages(self) -> list[Listed]:
        """Return the messages in the server's order, oldest first. An index is a place in it."""

    def retrieve(self, index: int, limit: int | None = None) -> bytes:
        """Return the bytes of a message. Raise MessageTooLargeError above `limit` bytes.

        A message whose listed size is far above the limit is not downloaded. Where the session
        would have to download the rest, it does so within limits, and discards it.
        """

    def retrieve_many(
        self, indexes: Iterable[int], limit: int | None = None
    ) -> Iterator[tuple[int, bytes | MailServerError]]:
        """Yield the messages in the given order, each with its index, or a MessageError.

        Any other error is raised, with the indexes of the messages that may be its cause. Commands
        are sent ahead where the server allows it. Do not call other methods, except `abandon`,
        before the iterator is exhausted.
        """

    def delete(self, index: int) -> None:
        """Mark a message, so that `quit` deletes it."""

    def quit(self) -> None:
        """Delete the marked messages and end the session. Raise QuitRefusedError."""

    def abandon(self) -> None:
        """Close the connection without QUIT: nothing is deleted. It raises nothing."""


class SentFolder(Protocol):
    r"""The `\Sent` mailbox (RFC 6154) in a session. Two methods raise a MailServerError."""

    def contains(self, message_id: str) -> bool:
        """Return whether a message has this Message-ID, which is ASCII and has no brackets."""

    def append(self, source: bytes, at: datetime) -> None:
        """Append a message, marked as read, with the time at which it was sent."""

    def close(self) -> None:
        """End the session. It raises nothing."""


def open_mail_server(
    login: Login, *, timeouts: Timeouts | None = None, stop: threading.Event | None = None
) -> MailServer:
    """Connect and log in. Raise a MailServerError.

    Once `stop` is set, the current method raises StoppedError within a fraction of a second.
    """
    if login.protocol == "imap":
        _check_imap()
        from outbox.inbound.imap_server import open_imap

        return open_imap(login, timeouts or Timeouts(), stop)
    from outbox.inbound.pop3_server import open_pop3

    return open_pop3(login, timeouts or Timeouts(), stop)


def open_sent_folder(
    login: Login, *, timeouts: Timeouts | None = None, stop: threading.Event | None = None
) -> SentFolder:
    """Connect, log in by IMAP, and find the folder of sent messages. Raise a MailServerError."""
    _check_imap()
    from outbox.inbound.imap_sent import open_folder

    return open_folder(login, timeouts or Timeouts(), stop)


def _check_imap() -> None:
    """Check that the library for IMAP is installed. Raise MailServerUnusableError."""
    if find_spec("imapclient") is None:
        raise MailServerUnusableError(Reason(ReasonCode.IMAP_MISSING))

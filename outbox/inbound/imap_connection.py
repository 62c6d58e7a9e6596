"""The connection below imapclient: our stream instead of a socket of its own.

imapclient uses imaplib, which reads a literal of any announced size, has one timeout that starts
again with each byte, and does not check for bytes that were injected before TLS.
"""

import imaplib
import ssl
import time

from imapclient import IMAPClient

from outbox.net.stream import OverdueError, Stream, StreamError, Timeouts
from outbox.reasons import Reason, ReasonCode

_LINE_MAX = 12 * 1024 * 1024  # bytes: the response to SEARCH is one line, with a million ids
_ALLOWANCE = 33 * 1024 * 1024  # bytes of one response beside the messages in it
_BLOCK = 65_536  # bytes after which the wait for a line starts again
_MIN_RATE = 10_000  # bytes a second that a long response may take


class Connection(imaplib.IMAP4):
    """imaplib's side of a session, with limits on time and bytes."""

    def __init__(self, stream: Stream, timeouts: Timeouts) -> None:
        self.stream = stream
        self.timeouts = timeouts
        self.broken: StreamError | None = None  # what ended the connection
        self.has_secret = False  # a password or a token was sent
        self._received = bytearray()
        self._ends_at = time.monotonic() + timeouts.session
        self.begin()
        super().__init__(stream.host)

    def begin(self, message_bytes: int = 0) -> None:
        """Start the limits of the next command. Its response may have so many bytes of messages."""
        self._began_at = time.monotonic()
        self._count = 0
        self._count_max = _ALLOWANCE + message_bytes

    def begin_quit(self) -> None:
        """Start the last commands of the session, which have their own time limit."""
        self.begin()
        self._ends_at = time.monotonic() + self.timeouts.quit

    @property
    def has_pending(self) -> bool:
        """Whether bytes arrived that no response has used."""
        return bool(self._received)

    # --- called by imaplib ----------------------------------------------------------------------

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.host, self.port = host, port

    def readline(self) -> bytes:
        self._wait_anew()
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > _LINE_MAX:
                raise self._break(_violation("a line of too many bytes"))
            self._receive()
        return self._take(end + 1)

    def read(self, size: int) -> bytes:
        if self._count - len(self._received) + size > self._count_max:
            raise self._break(_violation("a response of too many bytes"))
        self._wait_anew()
        while len(self._received) < size:
            self._receive()
        return self._take(size)

    def send(self, data: bytes) -> None:  # type: ignore[override]  # imaplib sends only bytes
        seconds = self.timeouts.line + len(data) / _MIN_RATE
        try:
            self.stream.send(data, min(time.monotonic() + seconds, self._ends_at))
        except OverdueError:
            raise self._break(self._overdue(seconds)) from None
        except StreamError as error:
            raise self._break(error) from error

    def shutdown(self) -> None:
        self.stream.close()

    # --------------------------------------------------------------------------------------------

    def _wait_anew(self) -> None:
        self._line_ends_at = time.monotonic() + self.timeouts.line
        self._since = 0  # bytes

    def _take(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _receive(self) -> None:
        response_ends_at = self._began_at + self.timeouts.response + self._count / _MIN_RATE
        deadline = min(self._line_ends_at, response_ends_at, self._ends_at)
        try:
            data = self.stream.receive(deadline)
        except OverdueError:
            is_line = deadline == self._line_ends_at
            seconds = self.timeouts.line if is_line else self.timeouts.response
            raise self._break(self._overdue(seconds)) from None
        except StreamError as error:
            raise self._break(error) from error
        self._received += data
        self._count += len(data)
        self._since += len(data)
        if self._since >= _BLOCK:
            self._wait_anew()
        if self._count > self._count_max + _BLOCK:
            raise self._break(_violation("a response of too many bytes"))

    def _overdue(self, seconds: float) -> StreamError:
        if time.monotonic() >= self._ends_at:
            return StreamError(Reason(ReasonCode.SESSION_TOO_LONG))
        return StreamError(Reason(ReasonCode.SERVER_TIMEOUT, seconds=round(seconds)))

    def _break(self, error: StreamError) -> StreamError:
        self.broken = self.broken or error
        self.stream.close()
        return error


class Client(IMAPClient):  # type: ignore[misc]  # it ships no types
    """imapclient over such a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        super().__init__(connection.stream.host, ssl=False)
        connection.debug = 0  # it would log the login

    def _create_IMAP4(self) -> Connection:  # noqa: N802  # its name
        return self._connection

    def _set_read_timeout(self) -> None:
        """Do nothing: the connection has its own limits."""

    def secure(self, context: ssl.SSLContext) -> None:
        """Start TLS, and forget what the server announced before. Raise StreamError."""
        connection = self._connection
        if connection.state != "NONAUTH" or not self.has_capability("STARTTLS"):
            raise StreamError(Reason(ReasonCode.STARTTLS_MISSING))
        kind, texts = connection.xatom("STARTTLS")
        if kind != "OK":
            reason = Reason(ReasonCode.STARTTLS_REJECTED)
            raise StreamError(reason.with_reply(texts[0].decode("utf-8", "replace")))
        if connection.has_pending:
            raise StreamError(Reason(ReasonCode.STARTTLS_INJECTION))
        connection.stream.start_tls(context, connection.timeouts.tls)
        connection.untagged_responses.clear()
        self._starttls_done = True  # so that capabilities are asked for again


def _violation(cause: str) -> StreamError:
    return StreamError(Reason(ReasonCode.RESPONSE_INVALID, cause=cause))

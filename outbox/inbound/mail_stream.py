"""What the sessions by POP3 and IMAP share: the connection of a login, and its faults."""

import threading

from outbox.inbound.mail_server import (
    Login,
    MailServerError,
    MailServerUnusableError,
    StoppedError,
    TemporaryError,
    Timeouts,
)
from outbox.net import is_public
from outbox.net.stream import (
    AddressForbiddenError,
    Stream,
    StreamError,
    StreamStoppedError,
)
from outbox.smtp.masking import Masker
from outbox.smtp.tls import tls_context

MESSAGE_MAX = 256 * 1024 * 1024  # bytes, where the caller has no limit
_GMAIL = (".gmail.com", ".googlemail.com")


def open_stream(login: Login, timeouts: Timeouts, stop: threading.Event | None) -> Stream:
    """Connect, with TLS if it begins with the first byte. Raise StreamError."""
    stream = Stream.open(
        login.host,
        login.port,
        seconds=timeouts.connect,
        is_allowed=_allow_all if login.allows_private else is_public,
        stop=stop,
    )
    if login.security == "tls":
        try:
            stream.start_tls(tls_context(login.ca_file), timeouts.tls)
        except BaseException:
            stream.close()
            raise
    return stream


def stream_fault(error: StreamError, masker: Masker | None = None) -> MailServerError:
    """Return the error for a connection that failed. Secrets that a server repeats are masked."""
    reason = error.reason
    if masker is not None:
        reason = reason.map_texts(lambda text: masker.masked(text, in_login=True))
    if isinstance(error, StreamStoppedError):
        return StoppedError(reason)
    if isinstance(error, AddressForbiddenError):
        return MailServerUnusableError(reason)
    return TemporaryError(reason)


def is_gmail(host: str) -> bool:
    """Return whether a host is one of Gmail's."""
    return f".{host.lower().removesuffix('.')}".endswith(_GMAIL)


def _allow_all(_address: str) -> bool:
    return True

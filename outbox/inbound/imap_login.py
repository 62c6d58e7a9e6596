"""The beginning of a session by IMAP: TLS, the login, and what each kind of failure means."""

import imaplib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imapclient.exceptions import ProtocolError

from outbox.inbound.imap_connection import Client, Connection
from outbox.inbound.mail_server import (
    Login,
    LoginRefusedError,
    LoginUnclearError,
    MailboxBusyError,
    MailServerError,
    MailServerUnusableError,
    MessageRefusedError,
    TemporaryError,
    Timeouts,
)
from outbox.inbound.mail_stream import open_stream, stream_fault
from outbox.net.stream import StreamError, is_closed
from outbox.pop3.responses import safe
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.masking import Masker
from outbox.smtp.tls import tls_context

_CODE = re.compile(r"\[([A-Z-]{1,40})[ \]]")
_LOGIN_ERRORS: dict[str, type[MailServerError]] = {  # RFC 5530 3
    "AUTHENTICATIONFAILED": LoginRefusedError,
    "AUTHORIZATIONFAILED": LoginRefusedError,
    "EXPIRED": LoginRefusedError,
    "CONTACTADMIN": LoginRefusedError,
    "PRIVACYREQUIRED": MailServerUnusableError,
    "UNAVAILABLE": TemporaryError,
    "LIMIT": TemporaryError,
    "INUSE": MailboxBusyError,
}
_LOGIN = "LOGIN"


def logged_in(
    login: Login, timeouts: Timeouts, stop: threading.Event | None
) -> tuple[Client, Connection, Masker]:
    """Connect and log in. Raise a MailServerError."""
    if any(char in login.username + login.password for char in "\0\r\n"):
        raise LoginRefusedError(Reason(ReasonCode.LOGIN_CONTROL_CHARACTER))
    masker = Masker()
    masker.add_secret(login.password)
    try:
        stream = open_stream(login, timeouts, stop)
    except StreamError as error:
        raise stream_fault(error) from error
    connection = Connection(stream, timeouts)
    try:
        with translated(connection, masker, ""):
            client = Client(connection)
            if login.security == "starttls":
                client.secure(tls_context(login.ca_file))
        with translated(connection, masker, _LOGIN):
            _log_in(client, connection, login)
    except BaseException:
        connection.shutdown()
        raise
    return client, connection, masker


def _log_in(client: Client, connection: Connection, login: Login) -> None:
    if connection.state != "NONAUTH":
        raise MailServerUnusableError(Reason(ReasonCode.LOGIN_NO_MECHANISM, offered="PREAUTH"))
    if not connection.stream.is_secured and not login.allows_plain_text:
        raise MailServerUnusableError(Reason(ReasonCode.LOGIN_WITHOUT_TLS))
    user, secret = login.username, login.password
    if login.is_token:
        # A token is rejected by a challenge with the reason, which wants an empty response.
        response = f"user={user}\1auth=Bearer {secret}\1\1"
        client.sasl_login("XOAUTH2", _responses(connection, response, ""))
    elif client.has_capability("AUTH=PLAIN"):
        client.sasl_login("PLAIN", _responses(connection, f"\0{user}\0{secret}"))
    elif client.has_capability("LOGINDISABLED"):
        raise MailServerUnusableError(Reason(ReasonCode.LOGIN_NO_MECHANISM, offered=_LOGIN))
    elif not (user + secret).isascii():
        raise MailServerUnusableError(Reason(ReasonCode.LOGIN_NOT_ASCII))
    else:
        connection.has_secret = True
        quoted = user.replace("\\", "\\\\").replace('"', '\\"')
        client.login(f'"{quoted}"', secret)  # the library quotes only the password


def _responses(connection: Connection, *responses: str) -> Callable[[bytes], bytes | None]:
    """Return the function that responds to the challenges of a mechanism, and then cancels it."""
    remaining = iter(responses)

    def respond(_challenge: bytes) -> bytes | None:
        connection.has_secret = True
        response = next(remaining, None)
        return None if response is None else response.encode()

    return respond


@contextmanager
def translated(connection: Connection, masker: Masker, command: str) -> Iterator[None]:
    """Raise a MailServerError for whatever the library raises. `command` is "" before the login."""
    try:
        yield
    except MailServerError:
        raise
    except Exception as error:  # the library raises anything for a response that it cannot parse
        raise _fault(error, connection, masker, command) from error


def _fault(
    error: Exception, connection: Connection, masker: Masker, command: str
) -> MailServerError:
    broken = connection.broken or error
    is_after_secret = command == _LOGIN and connection.has_secret
    if isinstance(broken, StreamError):
        fault = stream_fault(broken, masker)
        return LoginUnclearError(fault.reason) if is_after_secret and is_closed(broken) else fault
    is_login = command in {"", _LOGIN}
    text = masker.masked(_text(error), in_login=is_login)
    is_bye = isinstance(error, imaplib.IMAP4.abort) and is_after_secret
    is_invalid = isinstance(error, imaplib.IMAP4.abort | ProtocolError) and not is_bye
    if is_invalid or not isinstance(error, imaplib.IMAP4.error):
        return TemporaryError(Reason(ReasonCode.RESPONSE_INVALID, cause=text))
    if command == _LOGIN:
        found = _CODE.search(text)
        kind = _LOGIN_ERRORS.get(found[1] if found else "", LoginUnclearError)
        return kind(_login_reason(kind).with_reply(text))
    reason = Reason(ReasonCode.COMMAND_REJECTED, command=command).with_reply(text)
    return MessageRefusedError(reason) if command == "APPEND" else TemporaryError(reason)


def _login_reason(kind: type[MailServerError]) -> Reason:
    if kind is MailboxBusyError:
        return Reason(ReasonCode.MAILBOX_IN_USE)
    if kind is TemporaryError:
        return Reason(ReasonCode.SERVER_UNAVAILABLE)
    return Reason(ReasonCode.LOGIN_REJECTED)


def _text(error: Exception) -> str:
    """Return the server's words in an error of the library, made safe to show."""
    inner = error.__context__ if isinstance(error.__context__, imaplib.IMAP4.error) else error
    found = inner.args[0] if inner.args else type(inner).__name__
    text = found if isinstance(found, bytes) else str(found).encode()
    return safe(text)

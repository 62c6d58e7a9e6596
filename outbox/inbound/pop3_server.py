"""The session with the server of a mailbox by POP3."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from outbox.inbound.mail_server import (
    Listed,
    Login,
    LoginRefusedError,
    LoginUnclearError,
    MailboxBusyError,
    MailServerError,
    MailServerUnusableError,
    MessageRefusedError,
    MessageTooLargeError,
    QuitRefusedError,
    ServerFacts,
    TemporaryError,
    Timeouts,
)
from outbox.inbound.mail_stream import MESSAGE_MAX, is_gmail, open_stream, stream_fault
from outbox.net.stream import StreamError
from outbox.pop3.capabilities import Capabilities
from outbox.pop3.faults import FaultKind, Pop3FaultError
from outbox.pop3.login import Credentials
from outbox.pop3.received import Oversize
from outbox.pop3.session import Session
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.masking import Masker
from outbox.smtp.tls import tls_context

_FAR_ABOVE = 1.25  # times the limit: sizes are hints, and such a message is not downloaded


class Pop3Server:
    """A session after the login. `outbox.inbound.mail_server.MailServer` explains the methods."""

    facts: ServerFacts

    def __init__(self, session: Session, masker: Masker, host: str) -> None:
        self._session = session
        self._masker = masker
        self._numbers: tuple[int, ...] | None = None
        self._sizes: dict[int, int] = {}
        self.facts = _facts(session.protocol.capabilities, is_gmail=is_gmail(host))

    def messages(self) -> list[Listed]:
        with self._translated("LIST"):
            overview = self._session.overview()
        self._numbers, self._sizes = overview.numbers, overview.sizes
        capabilities = self._session.protocol.capabilities
        self.facts = _facts(capabilities, is_gmail=self.facts.is_gmail, has_uids=overview.has_uids)
        return [
            Listed(overview.uids.get(number, ""), overview.sizes.get(number))
            for number in overview.numbers
        ]

    def retrieve(self, index: int, limit: int | None = None) -> bytes:
        ((_, found),) = self.retrieve_many([index], limit)
        if isinstance(found, MailServerError):
            raise found
        return found

    def retrieve_many(
        self, indexes: Iterable[int], limit: int | None = None
    ) -> Iterator[tuple[int, bytes | MailServerError]]:
        most = MESSAGE_MAX if limit is None else limit
        small: list[int] = []
        for index in indexes:
            size = self._sizes.get(self._number(index), 0)
            if size > most * _FAR_ABOVE:
                yield from self._downloaded(small, most)
                small = []
                yield index, _too_large(size, most)
            else:
                small.append(index)
        yield from self._downloaded(small, most)

    def delete(self, index: int) -> None:
        with self._translated("DELE"):
            self._session.delete(self._number(index))

    def quit(self) -> None:
        try:
            with self._translated("QUIT"):
                self._session.quit()
        except MailServerError as error:
            raise QuitRefusedError(Reason(ReasonCode.QUIT_FAILED, why=error.reason)) from error
        finally:
            self._session.close()

    def abandon(self) -> None:
        self._session.close()

    def _number(self, index: int) -> int:
        if self._numbers is None:
            self.messages()
        assert self._numbers is not None
        return self._numbers[index]

    def _downloaded(
        self, indexes: list[int], limit: int
    ) -> Iterator[tuple[int, bytes | MailServerError]]:
        if not indexes:
            return
        places = {self._number(index): index for index in indexes}
        messages = self._session.retrieve(places, limit)
        while True:
            try:
                with self._translated("RETR"):
                    found = next(messages, None)
            except MailServerError as error:
                error.indexes = tuple(places[number] for number in self._session.retrieving)
                raise
            if found is None:
                return
            number, message = found
            yield places[number], self._judged(message, limit)

    def _judged(
        self, found: bytes | Oversize | Pop3FaultError, limit: int
    ) -> bytes | MailServerError:
        if isinstance(found, Oversize):
            error = _too_large(found.size, limit)
            error.ends_session = not found.is_complete
            return error
        if isinstance(found, Pop3FaultError):
            return pop3_fault(found, self._masker, "RETR")
        return found

    @contextmanager
    def _translated(self, command: str) -> Iterator[None]:
        try:
            yield
        except Pop3FaultError as fault:
            raise pop3_fault(fault, self._masker, command) from fault
        except StreamError as error:
            raise stream_fault(error) from error


def open_pop3(login: Login, timeouts: Timeouts, stop: threading.Event | None) -> Pop3Server:
    """Connect and log in. Raise a MailServerError."""
    masker = Masker()
    masker.add_secret(login.password)
    credentials = Credentials(
        login.username,
        login.password,
        is_token=login.is_token,
        allows_apop=login.allows_apop,
        allows_plain_text=login.allows_plain_text,
    )
    try:
        stream = open_stream(login, timeouts, stop)
    except StreamError as error:
        raise stream_fault(error) from error
    session = Session(stream, timeouts)
    try:
        is_stls = login.security == "starttls"
        session.open(credentials, stls=tls_context(login.ca_file) if is_stls else None)
    except Pop3FaultError as fault:
        session.close()
        raise pop3_fault(fault, masker, "") from fault
    except StreamError as error:
        session.close()
        raise stream_fault(error, masker) from error
    except BaseException:
        session.close()
        raise
    return Pop3Server(session, masker, login.host)


def pop3_fault(fault: Pop3FaultError, masker: Masker, command: str) -> MailServerError:
    """Return the error for a fault of the protocol. Secrets that the server repeats are masked.

    `command` is "" before the end of the login.
    """
    if fault.kind is FaultKind.REJECTED and command in {"RETR", "DELE"}:
        kind: type[MailServerError] = MessageRefusedError
    elif fault.kind is FaultKind.WAIT and fault.delay:
        kind = MailboxBusyError
    else:
        kind = _ERRORS.get(fault.kind, TemporaryError)
    text = masker.masked(fault.text, in_login=not command)
    reason = fault.reason or _reason(fault, command, text)
    return kind(reason, retry_after=fault.delay or None)


_ERRORS: dict[FaultKind, type[MailServerError]] = {
    FaultKind.BUSY: MailboxBusyError,
    FaultKind.CREDENTIALS: LoginRefusedError,
    FaultKind.ACCOUNT: LoginRefusedError,
    FaultKind.LOGIN: LoginUnclearError,
    FaultKind.UNAVAILABLE: MailServerUnusableError,
}
_REASONS = {
    FaultKind.BUSY: Reason(ReasonCode.MAILBOX_IN_USE),
    FaultKind.CREDENTIALS: Reason(ReasonCode.LOGIN_REJECTED),
    FaultKind.ACCOUNT: Reason(ReasonCode.MAILBOX_UNAVAILABLE),
    FaultKind.LOGIN: Reason(ReasonCode.LOGIN_REJECTED),
    FaultKind.WAIT: Reason(ReasonCode.SERVER_UNAVAILABLE),
}


def _reason(fault: Pop3FaultError, command: str, text: str) -> Reason:
    if fault.kind is FaultKind.REJECTED:
        return Reason(ReasonCode.COMMAND_REJECTED, command=command).with_reply(text)
    if fault.kind is FaultKind.WAIT and fault.delay:
        return Reason(ReasonCode.LOGIN_TOO_SOON).with_reply(text)
    if known := _REASONS.get(fault.kind):
        return known.with_reply(text)
    return Reason(ReasonCode.RESPONSE_INVALID, cause=text)


def _too_large(size: int, limit: int) -> MessageTooLargeError:
    return MessageTooLargeError(Reason(ReasonCode.FETCH_TOO_LARGE, size=size, limit=limit))


def _facts(capabilities: Capabilities, *, is_gmail: bool, has_uids: bool = True) -> ServerFacts:
    days = capabilities.expire.partition(" ")[0].upper()
    return ServerFacts(
        has_uids=has_uids,
        is_gmail=is_gmail,
        is_pipelined=capabilities.pipelining,
        expires=int(days) if days.isascii() and days.isdecimal() else None,
        never_expires=days == "NEVER",
        login_delay=capabilities.login_delay,
        software=capabilities.implementation,
    )

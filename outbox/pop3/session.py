"""One POP3 session over a blocking connection: opening, listings, messages, QUIT.

It decides which commands are sent ahead, and how many bytes to keep. `Dialogue` sends them and
waits. Neither decides anything about the messages.
"""

import math
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from outbox.net.stream import Stream, StreamError, Timeouts, is_closed
from outbox.pop3.dialogue import BLOCK, Dialogue
from outbox.pop3.faults import FaultKind, Pop3FaultError, local_fault
from outbox.pop3.listings import read_count, read_sizes, read_uids
from outbox.pop3.login import Credentials, Step, login
from outbox.pop3.protocol import Response, Verb
from outbox.pop3.received import Oversize, Received
from outbox.reasons import Reason, ReasonCode

AHEAD = 32  # messages that are requested at once with PIPELINING, and else checked at once
_WINDOW_BYTES = 1_048_576  # of the messages that they ask for
_EXCESS = 4  # times the limit that is read of a message, and discarded


_Found = bytes | Oversize | Pop3FaultError


class Overview(NamedTuple):
    """What a mailbox contains, by message number."""

    numbers: tuple[int, ...]
    sizes: dict[int, int]  # hints
    uids: dict[int, str]
    has_uids: bool  # the server knows UIDL


class Session(Dialogue):
    """One session. Methods raise Pop3FaultError, and StreamError if the connection has ended."""

    def __init__(self, stream: Stream, timeouts: Timeouts) -> None:
        super().__init__(stream, timeouts)
        self.greeting = ""
        self.retrieving: tuple[int, ...] = ()  # messages whose responses are due
        self._overview = Overview((), {}, {}, has_uids=True)

    # --- opening --------------------------------------------------------------------------------

    def open(self, credentials: Credentials, *, stls: ssl.SSLContext | None) -> None:
        """Read the greeting, and log in, with STLS before if it has a context."""
        self.greeting = self._response().status.text
        self._check()
        self._ask_capabilities()
        if stls is not None:
            self._start_tls(stls)
            self._ask_capabilities()
        is_utf8 = self.protocol.capabilities.utf8 and self.command(Verb.UTF8).status.is_ok
        self._log_in(credentials, is_utf8=is_utf8)
        self._ask_capabilities()  # RFC 2449 5: they may differ after the login

    def _ask_capabilities(self) -> None:
        self.command(Verb.CAPA)

    def _start_tls(self, context: ssl.SSLContext) -> None:
        capabilities = self.protocol.capabilities
        if capabilities.is_known and not capabilities.stls:
            raise StreamError(Reason(ReasonCode.STARTTLS_MISSING))
        status = self.command(Verb.STLS).status
        if self.protocol.fault and self.protocol.fault.kind is FaultKind.INJECTION:
            raise StreamError(Reason(ReasonCode.STARTTLS_INJECTION))
        if not status.is_ok:
            missing = Reason(ReasonCode.STARTTLS_MISSING)
            reason = Reason(ReasonCode.STARTTLS_REJECTED) if capabilities.stls else missing
            raise StreamError(reason.with_reply(status.text))
        self._stream.start_tls(context, self._timeouts.tls)
        self.protocol.secured()

    def _log_in(self, credentials: Credentials, *, is_utf8: bool) -> None:
        script = login(
            credentials,
            self.protocol.capabilities,
            self.protocol.stamp,
            is_secured=self._stream.is_secured,
            is_utf8=is_utf8,
        )
        has_secret = False
        try:
            step: Step = next(script)
            while True:
                has_secret = has_secret or bool(step.shown)
                step = script.send(self.command(step.verb, step.argument).status)
        except StopIteration:
            return
        except StreamError as error:
            if has_secret and is_closed(error):  # it may reject the secret by that
                raise local_fault(FaultKind.LOGIN, error.reason) from error
            raise

    # --- within the mailbox ---------------------------------------------------------------------

    def overview(self) -> Overview:
        """Return the messages of the mailbox with their sizes and unique ids."""
        listed, identified = self._commands([(Verb.LIST, 0), (Verb.UIDL, 0)])
        capabilities = self.protocol.capabilities
        if not identified.status.is_ok and capabilities.is_known and capabilities.uidl:
            raise _rejected(identified.status.text, identified.status.code)
        uids = read_uids(identified.lines) if identified.status.is_ok else {}
        if listed.status.is_ok:
            sizes = read_sizes(listed.lines)
            numbers = tuple(sorted(sizes))
        else:  # some servers reject it where the mailbox is empty
            status = self.command(Verb.STAT).status
            if not status.is_ok:
                raise _rejected(status.text, status.code)
            sizes, numbers = {}, tuple(range(1, read_count(status.text) + 1))
        has_uids = identified.status.is_ok or not numbers
        self._overview = Overview(numbers, sizes, uids, has_uids)
        return self._overview

    def retrieve(self, numbers: Iterable[int], limit: int) -> Iterator[tuple[int, _Found]]:
        """Yield messages by their numbers, in that order.

        Pop3FaultError is yielded for a message that the server rejects, and raised otherwise. After
        an error, `retrieving` has the messages that may be its cause.
        """
        is_pipelined = self.protocol.capabilities.pipelining
        retrieve = self._retrieve_ahead if is_pipelined else self._retrieve_in_turn
        for window in self._windows(numbers):
            yield from retrieve(window, limit)
        self.retrieving = ()

    def _windows(self, numbers: Iterable[int]) -> Iterator[list[int]]:
        """Yield the numbers in groups: with PIPELINING, their commands are sent at once."""
        window: list[int] = []
        room = _WINDOW_BYTES
        for number in numbers:
            size = self._overview.sizes.get(number, _WINDOW_BYTES)
            if window and (len(window) == AHEAD or size > room):
                yield window
                window, room = [], _WINDOW_BYTES
            window.append(number)
            room -= size
        if window:
            yield window

    def _retrieve_ahead(self, window: list[int], limit: int) -> Iterator[tuple[int, _Found]]:
        """Yield messages that are requested at once, each when it is sure that it has its number.

        A response too many, or one that is missing, would shift all that follow.
        """
        uids = self._overview.uids
        commands = [(verb, number) for number in window for verb in (Verb.RETR, Verb.UIDL)]
        self._send([one for one in commands if one[0] is Verb.RETR or one[1] in uids])
        try:
            for number in window:
                self.retrieving = (number,)  # not before: one that was yielded is not the cause
                message = self._message(limit)
                if number in uids and not _is_cut(message):
                    response = self._response()
                    if response.status.is_ok or not isinstance(message, Pop3FaultError):
                        self._check_place(number, response)
                self.retrieving = ()
                yield number, message
        except GeneratorExit:
            if self.protocol.awaited is not None:  # the next command would get their responses
                self._break(StreamError(Reason(ReasonCode.SESSION_ABORTED)))
            raise

    def _retrieve_in_turn(self, window: list[int], limit: int) -> Iterator[tuple[int, _Found]]:
        """Yield messages in groups. One UIDL for each group shows that no response was shifted."""
        held: list[tuple[int, _Found]] = []
        size = 0
        for number in window:
            self._check_unsolicited()  # of the message before
            self.retrieving = (number,)
            try:
                self._write(self.protocol.command(Verb.RETR, number=number))
                message = self._message(limit)
            except StreamError:
                yield from held  # nothing else had arrived before the command that failed
                raise
            held.append((number, message))
            if _is_cut(message):
                break
            size += len(message) if isinstance(message, bytes) else 0
            if size >= _WINDOW_BYTES:  # the listed sizes may be wrong
                yield from self._checked(held)
                held, size = [], 0
        yield from self._checked(held)

    def _checked(self, held: list[tuple[int, _Found]]) -> list[tuple[int, _Found]]:
        """Return messages. End the session if the last of them is not the one with its number."""
        uids = self._overview.uids
        numbers = [
            number for number, one in held if number in uids and not isinstance(one, Pop3FaultError)
        ]
        if numbers and not _is_cut(held[-1][1]):
            response = self.command(Verb.UIDL, number=numbers[-1])
            self.retrieving = tuple(numbers)
            self._check_place(numbers[-1], response)
        self.retrieving = ()
        return held

    def _check_place(self, number: int, response: Response) -> None:
        """End the session if this is not the response to UIDL for a message."""
        uid = self._overview.uids.get(number)
        if uid and response.status.text.split()[:2] != [str(number), uid]:
            raise self.protocol.end(FaultKind.PROTOCOL, "responses in a wrong order")

    def _message(self, limit: int) -> _Found:
        received = Received(limit)
        for event in self._until_response():
            if isinstance(event, Response):
                if not event.status.is_ok:
                    return _rejected(event.status.text, event.status.code)
                return received.message
            received.add(event.data)
            if received.is_response:
                raise self.protocol.end(FaultKind.PROTOCOL, "a response too many")
            if received.size > _EXCESS * limit + BLOCK:
                self._break(StreamError(Reason(ReasonCode.SESSION_ABORTED)))
                return Oversize(received.size, is_complete=False)
        raise AssertionError

    def delete(self, number: int) -> None:
        """Mark a message, so that `quit` deletes it."""
        status = self.command(Verb.DELE, number=number).status
        if not status.is_ok:
            raise _rejected(status.text, status.code)

    def quit(self) -> None:
        """Delete the marked messages and end the session."""
        limit = self._timeouts.quit
        self._timeouts = replace(self._timeouts, line=limit, response=limit)
        self._ends_at = math.inf
        status = self.command(Verb.QUIT).status
        if not status.is_ok:
            raise _rejected(status.text, status.code)


def _is_cut(message: _Found) -> bool:
    """Return whether the session is over within a message."""
    return isinstance(message, Oversize) and not message.is_complete


def _rejected(text: str, code: str) -> Pop3FaultError:
    return Pop3FaultError(FaultKind.REJECTED, text, code=code)

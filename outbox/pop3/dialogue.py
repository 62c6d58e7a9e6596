"""Commands and responses over a blocking connection: what is sent at once, and how long to wait.

It joins the protocol, which does no I/O, to a stream. `Session` builds on it.
"""

import time
from collections import deque
from collections.abc import Iterator

from outbox.net.stream import OverdueError, Stream, StreamError, Timeouts
from outbox.pop3.faults import FaultKind
from outbox.pop3.protocol import Event, Protocol, Response, Verb
from outbox.reasons import Reason, ReasonCode

BLOCK = 65_536  # bytes without a line end after which the wait for a line starts again
_MIN_RATE = 10_000  # bytes a second that a long response may take


class Dialogue:
    """Commands and responses of one session. Methods raise Pop3FaultError and StreamError."""

    def __init__(self, stream: Stream, timeouts: Timeouts) -> None:
        self.protocol = Protocol()
        self._stream = stream
        self._timeouts = timeouts
        self._ends_at = time.monotonic() + timeouts.session
        self._events: deque[Event] = deque()
        self._broken: StreamError | None = None

    def close(self) -> None:
        """Close the connection. It raises nothing."""
        self._stream.close()

    def command(self, verb: Verb, argument: bytes = b"", number: int = 0) -> Response:
        """Send one command and return its response, which may be a rejection."""
        self._check_unsolicited()
        self._write(self.protocol.command(verb, argument, number))
        return self._response()

    def _commands(self, commands: list[tuple[Verb, int]]) -> list[Response]:
        """Send several commands, all at once if the server allows it."""
        if not self.protocol.capabilities.pipelining:
            return [self.command(verb, number=number) for verb, number in commands]
        self._send(commands)
        return [self._response() for _ in commands]

    def _send(self, commands: list[tuple[Verb, int]]) -> None:
        self._check_unsolicited()
        lines = [self.protocol.command(verb, number=number) for verb, number in commands]
        self._write(b"".join(lines))

    def _write(self, data: bytes) -> None:
        deadline = min(time.monotonic() + self._timeouts.line, self._ends_at)
        try:
            self._stream.send(data, deadline)
        except OverdueError:
            raise self._break(self._overdue(self._timeouts.line)) from None
        except StreamError as error:
            raise self._break(error) from error

    def _check_unsolicited(self) -> None:
        """Raise a fault if the server sent anything that no command asked for.

        It would be read as the response to the next command.
        """
        self._check()
        if data := self._stream.waiting():
            self.protocol.receive(data)
            self._check()

    def _response(self) -> Response:
        """Return the next response; pieces of a message before it are discarded."""
        for event in self._until_response():
            if isinstance(event, Response):
                return event
        raise AssertionError

    def _until_response(self) -> Iterator[Event]:
        """Yield the events up to the next response, within the time limits."""
        began = time.monotonic()
        line_ends_at = began + self._timeouts.line
        received = waiting = 0
        while True:
            while self._events:
                event = self._events.popleft()
                yield event
                if isinstance(event, Response):
                    return
            self._check()
            response_ends_at = began + self._timeouts.response + received / _MIN_RATE
            data = self._receive(line_ends_at, response_ends_at)
            received += len(data)
            waiting += len(data)
            if b"\n" in data or waiting >= BLOCK:
                line_ends_at, waiting = time.monotonic() + self._timeouts.line, 0
            self._events += self.protocol.receive(data)

    def _receive(self, line_ends_at: float, response_ends_at: float) -> bytes:
        deadline = min(line_ends_at, response_ends_at, self._ends_at)
        try:
            return self._stream.receive(deadline)
        except OverdueError:
            is_line = deadline == line_ends_at
            seconds = self._timeouts.line if is_line else self._timeouts.response
            raise self._break(self._overdue(seconds)) from None
        except StreamError as error:
            raise self._break(error) from error

    def _check(self) -> None:
        """Raise what ended the session, if it is over."""
        if self._broken is not None:
            raise self._broken
        self.protocol.check()

    def _overdue(self, seconds: float) -> StreamError:
        if time.monotonic() >= self._ends_at:
            return StreamError(Reason(ReasonCode.SESSION_TOO_LONG))
        return StreamError(Reason(ReasonCode.SERVER_TIMEOUT, seconds=seconds))

    def _break(self, error: StreamError) -> StreamError:
        self.protocol.end(FaultKind.CLOSED, str(error))
        self._broken = self._broken or error
        self._stream.close()
        return error

"""What the connections of every fault lab share: the record, the faults, and TLS."""

import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from outbox.testing.action import Action, Misbehavior
from outbox.testing.channel import Channel
from outbox.testing.dialogue import Stage
from outbox.testing.language import Language
from outbox.testing.ledger import Ledger, Session
from outbox.testing.misbehaviors import DELIVERED, perform
from outbox.testing.scenario import Occasion, Scenario

CORRECT = Action(kind=Misbehavior.REPLY)


class Lab(Protocol):
    """What a connection needs from its lab."""

    ledger: Ledger
    scenario: Scenario
    skips_delays: bool  # delayed replies are sent at once


class LabConnection(Channel):
    """A server's connection that misbehaves as its scenario says. `_prepare` comes first."""

    if TYPE_CHECKING:  # of the server's class, which comes after this one
        _reader: Callable[[], bool]

        def _read_command(self) -> bool: ...

    def _prepare(self, lab: Lab, connection: int) -> None:
        self._lab = lab
        self._scenario = lab.scenario
        self._connection = connection
        self._session: Session
        self._mute = False  # sends no reply any more
        self._void = False  # and executes no command
        self._greeting_said = False

    @property
    def language(self) -> Language:
        """The protocol of the scenario."""
        return self._scenario.language

    # Recording the dialogue

    def opened(self) -> None:
        """Record the connection."""
        self._session = self._lab.ledger.open()

    def closed(self, exc: Exception | None) -> None:
        """Record its end."""
        self.note("-", f"closed: {exc}" if exc else "closed")
        self._lab.ledger.end(self._session)

    def greeted(self) -> None:
        """Accept data from now on without recording a violation."""
        self._greeting_said = True

    def data_received(self, data: bytes) -> None:
        if not self._greeting_said and not self._scenario.tls_at_once:
            self._violation("it sent data before the greeting")
        super().data_received(data)

    def note(self, speaker: str, text: str) -> None:
        """Record lines of the dialogue."""
        for line in text.split("\r\n"):
            self._lab.ledger.note(self._session, speaker, line)

    def _violation(self, text: str) -> None:
        self._session.violations.append(text)
        self.note("-", f"VIOLATION: {text}")

    def _line(self) -> str | None:
        end = self._buffer.find(b"\n")
        if end >= 0 and self._buffer[max(0, end - 1) : end] != b"\r":
            self._violation("its line ends with a bare LF")
        return super()._line()

    # Faults

    def tls_begins(self) -> bool:
        """Return whether to begin the handshake now; otherwise a fault of it follows."""
        action = self._scenario.action_at(Occasion(stage=Stage.TLS, connection=self._connection))
        if action is None:
            return True
        context = self._scenario.capabilities.tls
        if action == replace(CORRECT, wait=action.wait) and context:
            self._start_tls_late(context, action.wait)
        else:
            self._reader = partial(self._handle_client_hello, action)
        return False

    def _start_tls_late(self, context: ssl.SSLContext, wait: float) -> None:
        self.transport.pause_reading()  # the next bytes are TLS
        self.hold(wait)
        self.when_free(partial(self.start_tls, context))

    def _handle_client_hello(self, action: Action) -> bool:
        self._buffer.clear()
        self._reader = self._read_command
        if action.wait:
            self.hold(action.wait)
        self.after_this(partial(self.carry_out, action, self.language.unsolicited))
        return True

    def carry_out(
        self, action: Action, correct: str, *, sent: Callable[[str], None] | None = None
    ) -> None:
        """Carry out an action, unless no reply can be sent; `sent` is called with the reply."""
        if not self._open or self._mute:
            return
        reply = correct if action.kind is Misbehavior.EXTRA else action.reply or correct
        perform(self, action, reply)
        if sent is not None and action.kind in DELIVERED:
            self.when_free(partial(sent, reply))
        if action.then is not None:
            self.when_free(partial(perform, self, Action(kind=action.then), ""))

    # Used by `misbehaviors.py`

    def hold(self, seconds: float) -> None:
        super().hold(0 if self._lab.skips_delays else seconds)

    def send(self, data: bytes, text: str = "") -> None:
        """Send bytes with the next flush; record them, or a text instead."""
        self._out.append(data)
        self.note("S", text or data.decode("utf-8", "backslashreplace").rstrip("\r\n"))

    def stop_replying(self) -> None:
        """Send no reply any more, but execute commands."""
        self._mute = True

    def stop_reading(self) -> None:
        """Send no reply and execute no command any more; discard all input."""
        self._mute = self._void = True
        self._buffer.clear()

    def _read(self) -> bool:
        if self._void:
            self._buffer.clear()
            return False
        return super()._read()

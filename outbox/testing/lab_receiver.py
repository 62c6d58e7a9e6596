"""One connection of the fault lab: a correct server, except where the scenario says otherwise."""

import re
from dataclasses import replace
from functools import partial
from typing import Protocol

from outbox.testing.action import Action, Manner
from outbox.testing.dialogue import Stage, Transaction
from outbox.testing.ledger import Ledger, Session
from outbox.testing.manners import DELIVERED, perform
from outbox.testing.receiver import Receiver
from outbox.testing.scenario import Occasion, Scenario

_RIGHT = Action(manner=Manner.REPLY)
_ACTS_ONCE_SAID = frozenset({Stage.STARTTLS, Stage.QUIT})
_MAX_COMMAND = 512 + 46  # RFC 5321 4.5.3.1.4, and what SIZE, BODY and SMTPUTF8 add
_MAX_TEXT_LINE = 998
_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_GROUP_ENDS = frozenset({"EHLO", "HELO", "DATA", "STARTTLS", "AUTH", "NOOP", "QUIT", "VRFY"})


class Lab(Protocol):
    """What a connection needs of the lab it belongs to."""

    ledger: Ledger
    scenario: Scenario
    tries: dict[str, int]  # recipient → how often it was named
    hurries: bool  # nothing is late any more


class LabReceiver(Receiver):
    """One client of the fault lab."""

    def __init__(self, lab: Lab, connection: int) -> None:
        super().__init__(lab.scenario.offer)
        self._lab = lab
        self._scenario = lab.scenario
        self._connection = connection
        self._session: Session
        self._mute = False  # not a word any more
        self._void = False  # and nothing is carried out either
        self._body_fault_done = False
        self._early = ""  # the reply that was given in the middle of a body
        self._greeting_said = False

    # The dialogue, written down

    def opened(self) -> None:
        self._session = self._lab.ledger.open()

    def data_received(self, data: bytes) -> None:
        if not self._greeting_said and not self._scenario.tls_at_once:
            self._wrong("it spoke before the greeting")
        super().data_received(data)

    def heard(self, line: str) -> None:
        self.note("C", line)
        verb = line.partition(" ")[0].upper()
        octets = len(line.encode("utf-8", "surrogateescape"))
        if octets > _MAX_COMMAND and verb != "AUTH" and self._reader != self._read_login:
            self._wrong(f"its command has {octets} octets")
        if self._buffer and verb in _GROUP_ENDS:
            self._wrong(f"it sent more behind {verb} before the reply")
        elif self._buffer and verb != "BDAT" and not self.offers("PIPELINING"):
            self._wrong(f"it pipelined behind {verb}, which is not offered")

    def _line(self) -> str | None:
        end = self._buffer.find(b"\n")
        if end >= 0 and self._buffer[max(0, end - 1) : end] != b"\r":
            self._wrong("its line ends with a bare LF")
        return super()._line()

    def judge_recipient(self, address: str) -> str:
        self._lab.tries[address] = self._lab.tries.get(address, 0) + 1
        return super().judge_recipient(address)

    def judge_message(self, transaction: Transaction) -> str:
        self._judge_source(transaction)
        return super().judge_message(transaction)

    def _judge_source(self, transaction: Transaction) -> None:
        source = transaction.source
        self.note("C", f"<{len(source):,} octets>")
        if self._buffer and not self._early:
            self._wrong("it sent more behind the message before the reply")
        if _LONE.search(source):
            self._wrong("its message has a bare CR or LF")
        if b"\0" in source:
            self._wrong("its message has a NUL")
        if not source.isascii() and "BODY=8BITMIME" not in transaction.parameters.upper():
            self._wrong("its message has 8-bit octets and no BODY=8BITMIME")
        if max(map(len, source.split(b"\r\n"))) > _MAX_TEXT_LINE:
            self._wrong(f"its message has a line over {_MAX_TEXT_LINE} octets")

    def ended(self, transaction: Transaction) -> None:
        if self._reader == self._read_data:  # the end may be there, unread behind a fault
            transaction.dot = b"\r\n.\r\n" in b"\r\n" + self._buffer
        self._body_fault_done, self._early = False, ""
        self._lab.ledger.end(self._session, transaction)
        if transaction.dot and self._open:
            self.when_free(self._idle)

    def closed(self, exc: Exception | None) -> None:
        self.note("-", f"closed: {exc}" if exc else "closed")
        self._lab.ledger.end(self._session)

    def _wrong(self, text: str) -> None:
        self._session.wrongs.append(text)
        self.note("-", f"WRONG: {text}")

    # The faults

    def answer(self, stage: Stage, index: int, reply: str) -> str:
        if self._early and stage in {Stage.DOT, Stage.BDAT}:
            early, self._early = self._early, ""
            if self.transaction:
                self.transaction.said = early
            return early
        if self._mute:
            return "" if stage in _ACTS_ONCE_SAID else reply
        action = self._action_at(stage, index) or _RIGHT
        transaction = self.transaction if stage in {Stage.DOT, Stage.BDAT} else None
        if action.wait:
            self.hold(action.wait)
        # Only when the ledger has it may the client hear of it.
        self.after_this(partial(self._perform, action, reply, transaction))
        if stage is Stage.GREETING:
            self.after_this(self._greeted)
        if action.manner is Manner.NEVER_ANSWER and stage in _ACTS_ONCE_SAID:
            return ""
        return action.counted(reply)

    def passed(self, octets: int) -> bool:
        action = None if self._body_fault_done else self._action_at(Stage.BODY, octets)
        if action is None or self._mute:
            return True
        self._body_fault_done = True
        if action.manner is Manner.BLACK_HOLE:
            self.transport.pause_reading()  # so that the client's writing stalls, too
        if action.wait:
            self.hold(action.wait)
        if action.manner is not Manner.REPLY or action.reply:
            self.when_free(partial(self._perform, action, "250 2.0.0 Already", self.transaction))
        if action.manner is Manner.REPLY:
            self._early = action.reply
        return not self._held and not self._void

    def tls_begins(self) -> bool:
        action = self._action_at(Stage.TLS, 1)
        if action is None:
            return True
        if action == replace(_RIGHT, wait=action.wait) and self.offer.tls:
            self.transport.pause_reading()  # what comes now is TLS already
            self.hold(action.wait)
            self.when_free(partial(self.start_tls, self.offer.tls))
        else:
            self._reader = partial(self._meet_hello, action)
        return False

    def _meet_hello(self, action: Action) -> bool:
        self._buffer.clear()
        self._reader = self._read_command
        if action.wait:
            self.hold(action.wait)
        self.after_this(partial(self._perform, action, "220 2.0.0 This is not TLS", None))
        return True

    def _idle(self) -> None:
        action = self._action_at(Stage.IDLE, 1)
        if action is not None:
            self._loop.call_later(action.wait, self._perform_idle, action)

    def _perform_idle(self, action: Action) -> None:
        self._perform(action, "250 2.0.0 Still here", None)
        if not self._held:
            self.flush()

    def _action_at(self, stage: Stage, index: int) -> Action | None:
        addressed = self.addressed if stage in {Stage.MAIL, Stage.RCPT} else ""
        return self._scenario.action_at(
            Occasion(
                stage=stage,
                index=index,
                connection=self._connection,
                message=self.messages,
                address=addressed,
                attempt=self._lab.tries.get(addressed, 1),
            )
        )

    def _perform(self, action: Action, right: str, transaction: Transaction | None) -> None:
        if not self._open or self._mute:
            return
        reply = right if action.manner is Manner.EXTRA else action.reply or right
        perform(self, action, reply)
        if transaction and transaction.dot and action.manner in DELIVERED:
            self.when_free(partial(setattr, transaction, "said", reply))
        if action.then is not None:
            self.when_free(partial(perform, self, Action(manner=action.then), ""))

    def _greeted(self) -> None:
        self._greeting_said = True

    # What `manners.py` uses

    def hold(self, seconds: float) -> None:
        super().hold(0 if self._lab.hurries else seconds)

    def say(self, data: bytes, text: str = "") -> None:
        """Let bytes leave with the next flush, and write them down, or the text for them."""
        self._out.append(data)
        self.note("S", text or data.decode("utf-8", "backslashreplace").rstrip("\r\n"))

    def note(self, who: str, text: str) -> None:
        """Write lines of the dialogue down."""
        for line in text.split("\r\n"):
            self._lab.ledger.note(self._session, who, line)

    def fall_silent(self) -> None:
        """Say nothing any more, but carry on."""
        self._mute = True

    def vanish(self) -> None:
        """Say nothing and do nothing any more; what comes in is thrown away."""
        self._mute = self._void = True
        self._buffer.clear()

    def _read(self) -> bool:
        if self._void:
            self._buffer.clear()
            return False
        return super()._read()

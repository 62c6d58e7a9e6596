"""One SMTP connection of the fault lab: correct except where the scenario says otherwise."""

import re
from functools import partial
from typing import Protocol

from outbox.testing.action import Action, Misbehavior
from outbox.testing.dialogue import Stage, Transaction
from outbox.testing.lab_connection import CORRECT, Lab, LabConnection
from outbox.testing.receiver import Receiver
from outbox.testing.scenario import Occasion

_EXECUTED_AFTER_REPLY = frozenset({Stage.STARTTLS, Stage.QUIT})
_MAX_COMMAND = 512 + 46  # RFC 5321 4.5.3.1.4, and what SIZE, BODY and SMTPUTF8 add
_MAX_TEXT_LINE = 998
_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_GROUP_ENDS = frozenset({"EHLO", "HELO", "DATA", "STARTTLS", "AUTH", "NOOP", "QUIT", "VRFY"})


class SmtpLab(Lab, Protocol):
    """What a connection needs from its lab."""

    rcpt_counts: dict[str, int]  # recipient → number of RCPT commands


class LabReceiver(LabConnection, Receiver):
    """The connection of one client of the fault lab."""

    def __init__(self, lab: SmtpLab, connection: int) -> None:
        Receiver.__init__(self, lab.scenario.capabilities)
        self._prepare(lab, connection)
        self._counts = lab.rcpt_counts
        self._body_fault_done = False
        self._early = ""  # the reply that was sent in the middle of a body

    # Recording the dialogue

    def line_received(self, line: str) -> None:
        self.note("C", line)
        verb = line.partition(" ")[0].upper()
        octets = len(line.encode("utf-8", "surrogateescape"))
        if octets > _MAX_COMMAND and verb != "AUTH" and self._reader != self._read_login:
            self._violation(f"its command has {octets} octets")
        if self._buffer and verb in _GROUP_ENDS:
            self._violation(f"it sent more after {verb} before the reply")
        elif self._buffer and verb != "BDAT" and not self.offers("PIPELINING"):
            self._violation(f"it pipelined after {verb}, which is not offered")

    def judge_recipient(self, address: str) -> str:
        self._counts[address] = self._counts.get(address, 0) + 1
        return super().judge_recipient(address)

    def judge_message(self, transaction: Transaction) -> str:
        self._check_source(transaction)
        return super().judge_message(transaction)

    def _check_source(self, transaction: Transaction) -> None:
        source = transaction.source
        self.note("C", f"<{len(source):,} octets>")
        if self._buffer and not self._early:
            self._violation("it sent more after the message before the reply")
        if _LONE.search(source):
            self._violation("its message has a bare CR or LF")
        if b"\0" in source:
            self._violation("its message has a NUL")
        if not source.isascii() and "BODY=8BITMIME" not in transaction.parameters.upper():
            self._violation("its message has 8-bit octets and no BODY=8BITMIME")
        if max(map(len, source.split(b"\r\n"))) > _MAX_TEXT_LINE:
            self._violation(f"its message has a line over {_MAX_TEXT_LINE} octets")

    def ended(self, transaction: Transaction) -> None:
        if self._reader == self._read_data:  # a fault may have left its end unread
            transaction.dot = b"\r\n.\r\n" in b"\r\n" + self._buffer
        self._body_fault_done, self._early = False, ""
        self._lab.ledger.end(self._session, transaction)
        if transaction.dot and self._open:
            self.when_free(self._idle)

    # Faults

    def send_reply(self, stage: Stage, index: int, reply: str) -> str:
        if self._early and stage in {Stage.DOT, Stage.BDAT}:
            early, self._early = self._early, ""
            if self.transaction:
                self.transaction.reply_sent = early
            return early
        if self._mute:
            return "" if stage in _EXECUTED_AFTER_REPLY else reply
        action = self._action_at(stage, index) or CORRECT
        transaction = self.transaction if stage in {Stage.DOT, Stage.BDAT} else None
        if action.wait:
            self.hold(action.wait)
        # The ledger must have the transaction before the client gets the reply.
        self.after_this(partial(self._perform, action, reply, transaction))
        if stage is Stage.GREETING:
            self.after_this(self.greeted)
        if action.kind is Misbehavior.NO_REPLY and stage in _EXECUTED_AFTER_REPLY:
            return ""
        return action.effective_reply(reply)

    def body_received(self, octets: int) -> bool:
        action = None if self._body_fault_done else self._action_at(Stage.BODY, octets)
        if action is None or self._mute:
            return True
        self._body_fault_done = True
        if action.kind is Misbehavior.BLACK_HOLE:
            self.transport.pause_reading()  # so that the client's writes stall, too
        if action.wait:
            self.hold(action.wait)
        if action.kind is not Misbehavior.REPLY or action.reply:
            self.when_free(partial(self._perform, action, "250 2.0.0 Already", self.transaction))
        if action.kind is Misbehavior.REPLY:
            self._early = action.reply
        return not self._held and not self._void

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
                attempt=self._counts.get(addressed, 1),
            )
        )

    def _perform(self, action: Action, correct: str, transaction: Transaction | None) -> None:
        is_whole = transaction is not None and transaction.dot
        sent = partial(setattr, transaction, "reply_sent") if is_whole else None
        self.carry_out(action, correct, sent=sent)

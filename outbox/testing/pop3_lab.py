"""The POP3 fault lab: a mailbox on loopback whose server misbehaves as a scenario says.

    with Pop3Lab("at retr 2: -ERR [SYS/TEMP] disk", sources=[first, second]) as lab:
        ...  # fetch from lab.host, lab.port; any login is right unless the scenario has one
        lab.mailbox.messages  # what is left

The language is that of the SMTP fault lab, with the stages of `pop3_dialogue.py`.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from outbox.testing.action import Action, Misbehavior
from outbox.testing.faultlab import FaultLab
from outbox.testing.lab_connection import CORRECT, Lab, LabConnection
from outbox.testing.language import Language
from outbox.testing.pop3_dialogue import POP3, SAMPLES, Pop3Mailbox, Pop3Stage, wire
from outbox.testing.pop3_receiver import Pop3Receiver
from outbox.testing.scenario import Occasion, Rule, Scenario

_EXECUTED_AFTER_REPLY = frozenset({Pop3Stage.STLS, Pop3Stage.QUIT})
_MAX_COMMAND = 255  # octets with CRLF (RFC 2449 4)
_GROUPED = frozenset({"STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "NOOP", "RSET"})


class Pop3Lab(FaultLab):
    """One port with one scenario at a time, and a mailbox that outlives the connections."""

    language: ClassVar[Language] = POP3

    def __init__(
        self,
        scenario: Scenario | str = "",
        *,
        sources: Sequence[bytes] = SAMPLES,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(scenario, host=host, port=port)
        self.mailbox = Pop3Mailbox.of(*sources)

    def _new_receiver(self, connection: int) -> LabConnection:
        return LabPop3Receiver(self, connection, self.mailbox)


class LabPop3Receiver(LabConnection, Pop3Receiver):
    """The connection of one client of the POP3 fault lab."""

    def __init__(self, lab: Lab, connection: int, mailbox: Pop3Mailbox) -> None:
        Pop3Receiver.__init__(self, lab.scenario.capabilities, mailbox)
        self._prepare(lab, connection)

    def line_received(self, line: str) -> None:
        self.note("C", line)
        verb = line.partition(" ")[0].upper()
        is_response = self._reader == self._read_login
        if len(wire(line)) > _MAX_COMMAND and not is_response:
            self._violation(f"its command has {len(wire(line))} octets")
        if self._buffer and (verb not in _GROUPED or not self.offers("PIPELINING")):
            self._violation(f"it pipelined after {verb}, which is not allowed")

    def send_reply(self, stage: Pop3Stage, index: int, reply: str) -> str:
        if stage in {Pop3Stage.RETR, Pop3Stage.TOP} and not self._mute:
            rule = self._rule_at(Pop3Stage.BODY, len(wire(reply)), index)
            if rule is not None and reply.startswith("+OK"):
                self._interrupted(rule, reply)
                return reply
        if self._mute:
            return "" if stage in _EXECUTED_AFTER_REPLY else reply
        rule = self._rule_at(stage, index, index)
        action = rule.action if rule else CORRECT
        if action.wait:
            self.hold(action.wait)
        self.after_this(partial(self.carry_out, action, reply))
        if stage is Pop3Stage.GREETING:
            self.after_this(self.greeted)
        if action.kind is Misbehavior.NO_REPLY and stage is Pop3Stage.STLS:
            return ""
        return action.effective_reply(reply)

    def _rule_at(self, stage: Pop3Stage, index: int, message: int) -> Rule | None:
        return self._scenario.rule_at(
            Occasion(stage=stage, index=index, connection=self._connection, message=message)
        )

    def _interrupted(self, rule: Rule, reply: str) -> None:
        """Send a message up to an octet, misbehave, and send the rest if that is still possible."""
        whole = wire(reply)
        cut = whole.index(b"\n") + 1 + rule.index.first
        self.after_this(partial(self.send, whole[:cut], f"<{cut:,} octets>"))
        action = rule.action
        if action.wait:
            self.after_this(partial(self.hold, action.wait))
        self.after_this(partial(self._misbehave_within, action, whole[cut:]))

    def _misbehave_within(self, action: Action, rest: bytes) -> None:
        if action != Action(kind=Misbehavior.REPLY, wait=action.wait):
            self.carry_out(action, self.language.unsolicited)
        self.when_free(partial(self._send_rest, rest))

    def _send_rest(self, rest: bytes) -> None:
        if self._open and not self._mute:
            self.send(rest, f"<{len(rest):,} octets>")

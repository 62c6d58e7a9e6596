"""Run a script against an expected transcript or a model server, without sockets."""

from collections.abc import Callable

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.faults import FaultKind, SmtpFault
from outbox.smtp.protocol import Protocol
from outbox.smtp.script import Action, Result, Script, Step, Stream, Write

CLOSES = "<closes>"


class Transcript:
    """An expected dialogue in the notation of RFC 5321: "S: 250 ok", "C: QUIT", "S: <closes>".

    "C: -" is the TLS handshake.
    """

    def __init__(self, protocol: Protocol, transcript: str) -> None:
        self.protocol = protocol
        self.lines = [line.strip() for line in transcript.strip().splitlines() if line.strip()]
        self.sent = b""

    def play(self, script: Script[Result]) -> Result:
        """Run the script to its end; every line has to match."""
        try:
            result = run(script, self.perform)
        finally:
            self._match_sent()
        assert not self.lines, f"left over: {self.lines}"
        assert not self.sent, f"unexpected: {self.sent!r}"
        return result

    def perform(self, step: Step) -> None:
        if isinstance(step, Write | Stream):
            self.protocol.check()
            self.sent += step.data
        elif step is Action.AWAIT_REPLIES:
            while self.protocol.awaited is not None and self.protocol.ended is None:
                self._match_sent()
                self._deliver()
            self.protocol.check_replies()
        elif step is Action.START_TLS:
            assert self.lines.pop(0) == "C: -"

    def _match_sent(self) -> None:
        while self.lines and self.lines[0].startswith("C:") and self.sent:
            line, _, self.sent = self.sent.partition(b"\r\n")
            assert f"C: {line.decode()}".strip() == self.lines.pop(0)

    def _deliver(self) -> None:
        received = b""
        while self.lines and self.lines[0].startswith("S: "):
            text = self.lines.pop(0)[3:]
            if text == CLOSES:
                self.protocol.receive(received)
                self.protocol.end(FaultKind.CLOSED, Reason(ReasonCode.CLOSED_BY_SERVER))
                return
            received += text.encode() + b"\r\n"
        assert received, (
            f"awaiting {self.protocol.awaited}, but the transcript has {self.lines[:1]}"
        )
        self.protocol.receive(received)


def run(script: Script[Result], perform: Callable[[Step], None]) -> Result:
    """Run a script as `Connection` does, with a given way to perform its steps."""
    try:
        step = next(script)
        while True:
            try:
                perform(step)
            except SmtpFault as fault:
                step = script.throw(fault)
            else:
                step = next(script)
    except StopIteration as stop:
        result: Result = stop.value
        return result

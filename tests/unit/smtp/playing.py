"""Play a script against lines on paper or against a model server, without sockets."""

from collections.abc import Callable

from outbox.smtp.faults import FaultKind, SmtpFault
from outbox.smtp.protocol import Protocol
from outbox.smtp.steps import Act, Result, Script, Step, Stream, Write

CLOSES = "<closes>"


class OnPaper:
    """A dialogue on paper: "S: 250 ok" is heard, "C: QUIT" has to be said, "S: <closes>" ends it.

    Between the two, "C: -" stands for the TLS handshake.
    """

    def __init__(self, protocol: Protocol, paper: str) -> None:
        self.protocol = protocol
        self.lines = [line.strip() for line in paper.strip().splitlines() if line.strip()]
        self.said = b""

    def play(self, script: Script[Result]) -> Result:
        """Run the script to its end; both sides have to match to the last line."""
        try:
            result = run(script, self.perform)
        finally:
            self._match_said()
        assert not self.lines, f"left over: {self.lines}"
        assert not self.said, f"said too much: {self.said!r}"
        return result

    def perform(self, step: Step) -> None:
        if isinstance(step, Write | Stream):
            self.protocol.check()
            self.said += step.data
        elif step is Act.AWAIT:
            while self.protocol.awaited is not None and self.protocol.ended is None:
                self._match_said()
                self._hear()
            self.protocol.check_answers()
        elif step is Act.SECURE:
            assert self.lines.pop(0) == "C: -"

    def _match_said(self) -> None:
        while self.lines and self.lines[0].startswith("C:") and self.said:
            line, _, self.said = self.said.partition(b"\r\n")
            assert f"C: {line.decode()}".strip() == self.lines.pop(0)

    def _hear(self) -> None:
        heard = b""
        while self.lines and self.lines[0].startswith("S: "):
            text = self.lines.pop(0)[3:]
            if text == CLOSES:
                self.protocol.receive(heard)
                self.protocol.end(FaultKind.CLOSED, "the server closed the connection")
                return
            heard += text.encode() + b"\r\n"
        assert heard, f"awaiting {self.protocol.awaited}, but the paper says {self.lines[:1]}"
        self.protocol.receive(heard)


def run(script: Script[Result], perform: Callable[[Step], None]) -> Result:
    """Do what `Session` does with a script, with another's way to perform its steps."""
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

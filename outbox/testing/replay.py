"""Turn a client's transcript into a scenario with the replies of the recorded server.

A transcript is a list of [ms, "C" | "S" | "-", text]. Secrets may be masked and message data left
out. Times are not replayed, and an unsolicited reply only if it came after a message.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from outbox.testing.dialogue import Stage

_REPLY_LINE = re.compile(r"([2-5]\d\d)(?:([ -])(.*))?")
_LEFT_OUT = re.compile(r"<[\d,]+ \w+")
_TIMED_OUT = re.compile(r"tim(?:ed |e-?)out", re.IGNORECASE)
_PER_CONNECTION = frozenset({Stage.GREETING, Stage.EHLO, Stage.HELO, Stage.STARTTLS, Stage.AUTH})
_COUNTED = frozenset({Stage.EHLO, Stage.AUTH, Stage.RCPT, Stage.BDAT})


class TranscriptError(ValueError):
    """The input is not a transcript."""


def scenario_text(transcript: Iterable[Sequence[object]]) -> str:
    """Return the text of the scenario. Raises TranscriptError."""
    recording = _Recording()
    for speaker, line in _lines(transcript):
        if speaker == "C":
            recording.command(line)
        elif speaker == "S":
            recording.reply_line(line)
        else:
            recording.timed_out = recording.timed_out or bool(_TIMED_OUT.search(line))
    return recording.scenario()


def _lines(transcript: Iterable[Sequence[object]]) -> Iterator[tuple[str, str]]:
    for entry in transcript:
        match list(entry):
            case [_, ("C" | "S" | "-") as speaker, str(text)]:
                yield from ((speaker, line) for line in text.splitlines() or [""])
            case _:
                raise TranscriptError(f"{entry!r} is not a transcript line: [ms, speaker, text]")


@dataclass(frozen=True, slots=True)
class _Place:
    """The command or event that a reply belongs to."""

    stage: Stage
    index: int = 1
    message: int = 0

    def __str__(self) -> str:
        index = f" {self.index}" if self.stage in _COUNTED else ""
        message = f" of message {self.message}" if self.message else ""
        return f"at {self.stage}{index}{message}"


@dataclass(slots=True)
class _Recording:
    """Match each reply to its command; replies come in the order of the commands."""

    timed_out: bool = False
    _terms: list[str] = field(default_factory=list)
    _rules: list[str] = field(default_factory=list)
    _waiting: deque[_Place] = field(default_factory=lambda: deque([_Place(Stage.GREETING)]))
    _last_replied: _Place | None = None
    _counts: Counter[Stage] = field(default_factory=Counter)
    _message: int = 0
    _in_data: bool = False
    _in_login: bool = False
    _under_tls: bool = False
    _reply: list[str] = field(default_factory=list)

    def command(self, line: str) -> None:
        """Record a line of the client."""
        verb = line.partition(" ")[0].lower()
        if self._in_data and (line == "." or _LEFT_OUT.match(line)):
            self._in_data = False
            self._wait(Stage.DOT)
        elif self._in_login:
            self._wait(Stage.AUTH)
        elif verb in set(Stage) - {Stage.CONNECT, Stage.TLS, Stage.BODY, Stage.DOT, Stage.IDLE}:
            self._wait(Stage(verb))

    def _wait(self, stage: Stage) -> None:
        if stage is Stage.MAIL:
            self._message += 1
            self._counts[Stage.RCPT] = self._counts[Stage.BDAT] = 0
        if stage is Stage.AUTH and not self._in_login:
            self._counts[Stage.AUTH] = 0
        self._counts[stage] += 1
        self._in_data = self._in_data or stage is Stage.DATA
        message = 0 if stage in _PER_CONNECTION else self._message
        self._waiting.append(_Place(stage, self._counts[stage], message))

    def reply_line(self, line: str) -> None:
        """Record a line of the server."""
        self._reply.append(line)
        found = _REPLY_LINE.fullmatch(line)
        if found is None or found[2] != "-":
            lines, self._reply = self._reply, []
            self._match(lines)

    def _match(self, lines: list[str]) -> None:
        place = self._waiting.popleft() if self._waiting else self._unsolicited(lines)
        if place is None:
            return
        self._last_replied = place
        code = lines[-1][:3]
        self._in_login = place.stage is Stage.AUTH and code.startswith("3")
        if place.stage is Stage.DATA and not code.startswith("3"):
            self._in_data = False
        if place.stage is Stage.STARTTLS and code.startswith("2"):
            self._under_tls = True
        if place.stage is Stage.EHLO and code.startswith("2"):
            self._offer(lines)
        else:
            self._rules.append(f"{place}: {_action(lines)}")

    def _unsolicited(self, lines: list[str]) -> _Place | None:
        if self._last_replied and self._last_replied.stage in {Stage.DOT, Stage.BDAT}:
            return _Place(Stage.IDLE, 1, self._message)
        self._rules.append(f"# not replayed, unsolicited: {' / '.join(lines)}")
        return None

    def _offer(self, lines: list[str]) -> None:
        texts = [line[4:].strip() for line in lines]
        if not self._under_tls:
            self._terms.append(f"name {texts[0].split()[0] if texts[0] else 'mail.localhost'}")
        beginning = "offer after starttls" if self._under_tls else "offer"
        self._terms.append(f"{beginning} {', '.join(filter(None, texts[1:])) or 'nothing'}")

    def scenario(self) -> str:
        """Return the recorded scenario; a missing last reply stays missing."""
        lines = ["# Replayed from a transcript.", *self._terms, *self._rules]
        if self._waiting:
            lines.append(f"{self._waiting[0]}: {'black-hole' if self.timed_out else 'close'}")
        return "\n".join(lines) + "\n"


def _action(lines: list[str]) -> str:
    found = [_REPLY_LINE.fullmatch(line) for line in lines]
    codes = {match[1] if match else "" for match in found}
    if len(codes) == 1 and "" not in codes:
        texts = "\\n".join(match[3] or "" for match in found if match)
        return f"{codes.pop()} {texts}".strip()
    raw = "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
    return f'send "{raw.decode("latin-1").encode("unicode_escape").decode("ascii")}"'

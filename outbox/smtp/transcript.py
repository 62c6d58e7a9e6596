"""The lines of client and server, with the milliseconds since the session began.

Appending is cheap, since it happens in the hot path; lines are formatted when they are read.
Callers mask secrets before. Message data is never recorded.

A part is bounded in bytes, since the server chooses what it replies. The beginning is kept, and the
end, which mostly explains the outcome; a note says how much was left out between.
"""

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.reply import Reply, escape

HEAD_KEPT = 49_152  # bytes of the beginning of one part
TAIL_KEPT = 16_384  # bytes of its end
_OVERHEAD = 24  # bytes of an entry besides its text
_REASON = 600  # bytes of a reason with its arguments, roughly

_Said = bytes | str | Reply | Reason
_Entry = tuple[float, "Speaker", _Said]


class Part(StrEnum):
    """Which part of a session a transcript covers."""

    CONNECTION = "connection"  # from the DNS lookup to the last reply before the first MAIL
    TRANSFER = "transfer"  # one transaction
    CLOSE = "close"  # QUIT and after


class Speaker(StrEnum):
    CLIENT = "C"
    SERVER = "S"
    NOTE = "-"  # an event that the client observed


class Transcript:
    """One part of a session's dialogue. `close` is the part that `Connection.quit` adds."""

    def __init__(
        self,
        part: Part = Part.CONNECTION,
        *,
        began: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.part = part
        self.close: Transcript | None = None
        self._clock = clock
        self._began = clock() if began is None else began
        self._entries: list[_Entry] = []
        self._room = HEAD_KEPT
        self._end: deque[_Entry] = deque()  # what came after the beginning was full
        self._end_room = TAIL_KEPT
        self._left_out = 0

    def follow(self, part: Part) -> "Transcript":
        """Return the transcript of the next part, with times from the same start."""
        return Transcript(part, began=self._began, clock=self._clock)

    def client(self, lines: bytes | str) -> None:
        """Record lines of the client; several may come at once."""
        self._append(Speaker.CLIENT, lines)

    def server(self, reply: Reply) -> None:
        """Record a reply."""
        self._append(Speaker.SERVER, reply)

    def note(self, reason: Reason) -> None:
        """Record what the client noticed or did."""
        self._append(Speaker.NOTE, reason)

    def _append(self, speaker: Speaker, said: _Said) -> None:
        entry = (self._clock(), speaker, said)
        size = _size(said)
        if not self._end and self._room >= size:
            self._entries.append(entry)
            self._room -= size
            return
        self._end.append(entry)
        self._end_room -= size
        while self._end_room < 0 and len(self._end) > 1:
            self._end_room += _size(self._end.popleft()[2])
            self._left_out += 1

    def _kept(self) -> list[_Entry]:
        """Return the entries, with a note in place of those that were left out."""
        if not self._left_out:
            return [*self._entries, *self._end]
        note = Reason(ReasonCode.TRANSCRIPT_SHORTENED, count=self._left_out)
        return [*self._entries, (self._end[0][0], Speaker.NOTE, note), *self._end]

    def dump(self) -> list[list[object]]:
        """Return [milliseconds, "C" | "S" | "-", text] for each line or reply, ready for JSON.

        The text of a note is the stored form of its reason.
        """
        return [
            [round((at - self._began) * 1000, 1), speaker.value, text]
            for at, speaker, said in self._kept()
            for text in _lines(said)
        ]

    def as_text(self) -> str:
        """Set the dialogue out for a person, a line each."""
        rows = [
            f"{milliseconds:>10} {speaker} {line}"
            for milliseconds, speaker, text in self.dump()
            for line in _words(str(speaker), str(text)).split("\n")
        ]
        return "\n".join(rows)


def _words(speaker: str, text: str) -> str:
    return str(Reason.load(text)) if speaker == Speaker.NOTE else text


def _size(said: _Said) -> int:
    """Return about how many bytes an entry takes when it is stored."""
    if isinstance(said, Reply):
        text = said.text
        return _OVERHEAD + (len(text) if text.isascii() else len(text.encode()))
    return _OVERHEAD + (_REASON if isinstance(said, Reason) else len(said))


def _lines(said: _Said) -> list[str]:
    if isinstance(said, Reason):
        return [said.dump()]
    if isinstance(said, bytes):
        return [escape(line) for line in said.removesuffix(b"\r\n").split(b"\r\n")]
    return [str(said)]

"""What both sides said, line by line, with the milliseconds since the session began.

Appending is cheap, since it happens in the hot path; lines are put in words only when somebody
asks for them. Whoever writes here has masked secrets already; a body is never kept.
"""

import time
from collections.abc import Callable
from enum import StrEnum

from outbox.smtp.reply import Reply, escape


class Part(StrEnum):
    """Which stretch of a session a transcript covers."""

    CONNECTION = "connection"  # from the name look-up to the last reply before the first MAIL
    TRANSFER = "transfer"  # one transaction
    CLOSE = "close"  # QUIT and after


class Speaker(StrEnum):
    CLIENT = "C"
    SERVER = "S"
    NOTE = "-"  # neither: what the client noticed or did


class Transcript:
    """One part of a session's dialogue. `close` is the part that `Session.quit` adds."""

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
        self._entries: list[tuple[float, Speaker, bytes | str | Reply]] = []

    def follow(self, part: Part) -> "Transcript":
        """Begin a further part, counting time from the same moment."""
        return Transcript(part, began=self._began, clock=self._clock)

    def client(self, lines: bytes | str) -> None:
        """Keep what this side wrote; several lines may come in one piece."""
        self._entries.append((self._clock(), Speaker.CLIENT, lines))

    def server(self, reply: Reply) -> None:
        """Keep a reply."""
        self._entries.append((self._clock(), Speaker.SERVER, reply))

    def note(self, text: str) -> None:
        """Keep a remark of our own."""
        self._entries.append((self._clock(), Speaker.NOTE, text))

    def dump(self) -> list[list[object]]:
        """Give [milliseconds, "C" | "S" | "-", text] for each line or reply, ready for JSON."""
        return [
            [round((at - self._began) * 1000, 1), speaker.value, text]
            for at, speaker, said in self._entries
            for text in _lines(said)
        ]

    def as_text(self) -> str:
        """Set the dialogue out for a person, a line each."""
        rows = [
            f"{milliseconds:>10} {speaker} {line}"
            for milliseconds, speaker, text in self.dump()
            for line in str(text).split("\n")
        ]
        return "\n".join(rows)


def _lines(said: bytes | str | Reply) -> list[str]:
    if isinstance(said, bytes):
        return [escape(line) for line in said.removesuffix(b"\r\n").split(b"\r\n")]
    return [str(said)]

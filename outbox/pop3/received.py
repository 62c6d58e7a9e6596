"""The bytes of one message while it arrives, within a limit."""

from typing import NamedTuple

_OK = b"+OK"


class Oversize(NamedTuple):
    """A message has more bytes than the limit."""

    size: int  # bytes that were received
    is_complete: bool  # the rest was discarded; otherwise the session is over


class Received:
    """The bytes of a message, which are discarded above the limit."""

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._pieces: list[bytes] = []
        self._start = b""

    def add(self, data: bytes) -> None:
        """Append the next bytes."""
        if len(self._start) < len(_OK):
            self._start += data[: len(_OK)]
        self.size += len(data)
        if self.size <= self._limit:
            self._pieces.append(data)
        else:
            self._pieces.clear()

    @property
    def is_response(self) -> bool:
        """Whether it starts with a status line: the one before it belongs to no command."""
        return self._start.startswith(_OK)

    @property
    def message(self) -> bytes | Oversize:
        """The whole message, if it is within the limit."""
        if self.size > self._limit:
            return Oversize(self.size, is_complete=True)
        return b"".join(self._pieces)

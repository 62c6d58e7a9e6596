"""A minimal SMTP client for tests: it sends given lines and returns the replies unchanged."""

import socket
from types import TracebackType
from typing import Self

PATIENCE = 20.0  # seconds to wait for a reply; a busy machine is slow


class Dialogue:
    """One connection to a server under test."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._came = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self.socket.sendall(data)

    def say(self, *lines: str) -> str:
        """Write lines in one packet and return the reply to the first."""
        self.send("".join(f"{line}\r\n" for line in lines).encode())
        return self.reply()

    def say_bare(self, line: str) -> str:
        """Send a command, perhaps with a chunk, and return the reply."""
        self.send(f"{line}\r\n".encode() if "\r\n" not in line else line.encode())
        return self.reply()

    def reply(self) -> str:
        """Return the next reply, its lines joined by "|"; "" if the server closed."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            line = self._line()
            if not line:
                return ""
            lines.append(line)
        return "|".join(lines)

    def _line(self) -> str:
        while b"\r\n" not in self._came:
            data = self.socket.recv(65536)
            if not data:
                return ""
            self._came += data
        line, self._came = self._came.split(b"\r\n", 1)
        return line.decode("utf-8", "backslashreplace")

    def receive(self) -> bytes:
        """Return the next bytes; b"" if the server closed."""
        came, self._came = self._came, b""
        return came or self.socket.recv(65536)

    def is_silent(self, seconds: float = 0.2) -> bool:
        """Return whether nothing arrives within some seconds."""
        self.socket.settimeout(seconds)
        try:
            self.receive()
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self.socket.settimeout(PATIENCE)

    def greeted(self) -> Self:
        """Read the greeting and send EHLO."""
        assert self.reply().startswith("220"), "no greeting"
        assert self.say("EHLO client.example").startswith("250"), "EHLO was rejected"
        return self

    def begin(self, *recipients: str) -> list[str]:
        """Start a transaction without pipelining; return the replies to RCPT."""
        assert self.say("MAIL FROM:<alice@example.org>").startswith("250"), "MAIL was rejected"
        return [self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def message(self, source: bytes, *recipients: str) -> str:
        """Send a message that ends with CRLF; return the reply to the dot."""
        self.begin(*(recipients or ("bob@example.net",)))
        assert self.say("DATA").startswith("354"), "DATA was rejected"
        self.send(on_the_wire(source))
        return self.reply()


def on_the_wire(source: bytes) -> bytes:
    """Double each dot that begins a line, and end with one (RFC 5321 4.5.2)."""
    lines = source.split(b"\r\n")
    return b"\r\n".join(b"." + line if line[:1] == b"." else line for line in lines) + b".\r\n"

r"""An IMAP server for tests, which stores messages in a \Sent folder. It runs in threads."""

from __future__ import annotations

import re
import socketserver
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.integration.fetching.threaded_server import ThreadedServer

_LITERAL = re.compile(rb"\{(\d+)\}\r\n$")


@dataclass
class Sent:
    """What the server has, and how it responds."""

    messages: list[bytes] = field(default_factory=list)
    rejects_login: bool = False
    rejects: bytes = b""  # a message with these bytes
    loses_response: bool = False  # it stores the message and closes the connection
    before: Callable[[str], None] = lambda command: None
    commands: list[str] = field(default_factory=list)


class ImapServer(ThreadedServer):
    """The running server."""

    def __init__(self) -> None:
        self.sent = Sent()
        super().__init__(lambda handler: _Session(handler, self.sent).run())


class _Session:
    def __init__(self, handler: socketserver.StreamRequestHandler, sent: Sent) -> None:
        self._handler = handler
        self._sent = sent

    def run(self) -> None:
        self._send("* OK ready")
        while line := self._handler.rfile.readline():
            tag, command, *_ = line.decode().split()
            if command == "UID":
                command = line.decode().split()[2]
            self._sent.commands.append(command)
            self._sent.before(command)
            response = self._respond(command, line)
            if response is None:
                return
            self._send(f"{tag} {response}")
            if command == "LOGOUT":
                return

    def _respond(self, command: str, line: bytes) -> str | None:
        match command:
            case "CAPABILITY":
                self._send("* CAPABILITY IMAP4rev1 SPECIAL-USE")
            case "LOGIN" if self._sent.rejects_login:
                return "NO [AUTHENTICATIONFAILED] wrong"
            case "LIST":
                self._send('* LIST (\\Sent) "/" "Sent Items"')
            case "EXAMINE":
                self._send(f"* {len(self._sent.messages)} EXISTS", "* OK [UIDVALIDITY 1] ok")
            case "SEARCH":
                wanted = line.split()[-1].strip(b'"')
                found = [i for i, one in enumerate(self._sent.messages, 1) if wanted in one]
                self._send(" ".join(["* SEARCH", *map(str, found)]))
            case "APPEND":
                return self._append(line)
        return "OK done"

    def _append(self, line: bytes) -> str | None:
        literal = _LITERAL.search(line)
        assert literal is not None
        self._send("+ go")
        source = self._handler.rfile.read(int(literal[1]))
        self._handler.rfile.readline()
        if self._sent.rejects and self._sent.rejects in source:
            return "NO [OVERQUOTA] full"
        self._sent.messages.append(source)
        return None if self._sent.loses_response else "OK stored"

    def _send(self, *lines: str) -> None:
        self._handler.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

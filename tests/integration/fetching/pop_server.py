"""A POP3 server for tests, with one mailbox. It runs in threads of the test.

A test defines what it does when a command arrives, and how it violates the protocol. Lines end in
CRLF, and messages are byte-stuffed.
"""

from __future__ import annotations

import base64
import socketserver
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.integration.fetching.threaded_server import ThreadedServer

USER, PASSWORD = "ann@example.org", "s3cret-pass"


class Drop(Exception):  # noqa: N818  # not an error
    """Close the connection instead of responding."""


@dataclass
class Mailbox:
    """What the server has, and what clients did."""

    messages: dict[str, bytes] = field(default_factory=dict)  # by unique id, oldest first
    capabilities: tuple[str, ...] = ("UIDL", "USER", "TOP", "PIPELINING")
    has_uidl: bool = True
    sizes: dict[str, int] = field(default_factory=dict)  # that are listed instead of the real ones
    breaks: set[str] = field(default_factory=set)  # unique ids: the connection ends within them
    rejects: str = ""  # the response to every PASS
    accepts_token: Callable[[str], bool] = lambda token: False  # an access token, after AUTH
    rejects_quit: bool = False
    # Called when a command arrives, before it has an effect, and after it had one.
    before: Callable[[str], None] = lambda command: None
    after: Callable[[str], None] = lambda command: None
    commands: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)  # of the session that has it


class PopServer(ThreadedServer):
    """The running server."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        super().__init__(lambda handler: _Session(handler, self.mailbox).run())


class _Session:
    def __init__(self, handler: socketserver.StreamRequestHandler, mailbox: Mailbox) -> None:
        self._handler = handler
        self._mailbox = mailbox
        self._listed: list[str] = []
        self._deleted: set[str] = set()
        self._has_lock = False

    def run(self) -> None:
        self._say("+OK ready")
        try:
            while line := self._handler.rfile.readline():
                command, _, argument = line.decode().strip().partition(" ")
                self._mailbox.commands[command.upper()] += 1
                self._mailbox.before(command.upper())
                self._respond(command.upper(), argument)
                if command.upper() == "QUIT":
                    return
        except (Drop, OSError):
            pass
        finally:
            if self._has_lock:
                self._mailbox.lock.release()

    def _respond(self, command: str, argument: str) -> None:
        respond = getattr(self, f"_{command.lower()}", None)
        if respond is None:
            self._say("-ERR unknown command")
        else:
            respond(argument)

    def _say(self, *lines: str) -> None:
        self._handler.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def _capa(self, _argument: str) -> None:
        self._say("+OK", *self._mailbox.capabilities, ".")

    def _user(self, _argument: str) -> None:
        self._say("+OK")

    def _pass(self, argument: str) -> None:
        if self._mailbox.rejects:
            self._say(self._mailbox.rejects)
        elif argument != PASSWORD:
            self._say("-ERR [AUTH] wrong password")
        elif not self._mailbox.lock.acquire(blocking=False):
            self._say("-ERR [IN-USE] the mailbox is locked")
        else:
            self._has_lock = True
            self._listed = list(self._mailbox.messages)
            self._say("+OK")

    def _auth(self, _argument: str) -> None:
        self._say("+ ")
        response = base64.b64decode(self._handler.rfile.readline()).decode()
        token = response.partition("auth=Bearer ")[2].rstrip("\x01")
        if self._mailbox.accepts_token(token):
            self._listed = list(self._mailbox.messages)
            self._say("+OK")
        else:
            self._say("-ERR [AUTH] the token is not valid")

    def _stat(self, _argument: str) -> None:
        self._say(f"+OK {len(self._listed)} {sum(map(self._size, self._listed))}")

    def _size(self, uid: str) -> int:
        return self._mailbox.sizes.get(uid, len(self._mailbox.messages[uid]))

    def _list(self, _argument: str) -> None:
        rows = [f"{number} {self._size(uid)}" for number, uid in enumerate(self._listed, start=1)]
        self._say("+OK", *rows, ".")

    def _uidl(self, argument: str) -> None:
        if not self._mailbox.has_uidl:
            self._say("-ERR no UIDL")
        elif argument:
            self._say(f"+OK {argument} {self._listed[int(argument) - 1]}")
        else:
            rows = [f"{number} {uid}" for number, uid in enumerate(self._listed, start=1)]
            self._say("+OK", *rows, ".")

    def _retr(self, argument: str) -> None:
        uid = self._listed[int(argument) - 1]
        source = self._mailbox.messages[uid]
        if uid in self._mailbox.breaks:
            self._handler.wfile.write(b"+OK\r\n" + source[:-10])
            raise Drop
        stuffed = source.replace(b"\r\n.", b"\r\n..")
        end = b"" if stuffed.endswith(b"\r\n") else b"\r\n"
        self._handler.wfile.write(b"+OK\r\n" + stuffed + end + b".\r\n")

    def _dele(self, argument: str) -> None:
        self._deleted.add(self._listed[int(argument) - 1])
        self._say("+OK")

    def _noop(self, _argument: str) -> None:
        self._say("+OK")

    def _quit(self, _argument: str) -> None:
        if self._mailbox.rejects_quit:
            self._say("-ERR some messages were not deleted")
            return
        for uid in self._deleted:
            del self._mailbox.messages[uid]
        self._mailbox.after("QUIT")
        self._say("+OK")

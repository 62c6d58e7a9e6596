"""The server side of POP3 (RFC 1939, 2449, 2595, 5034, 6856), the base of the POP3 fault lab."""

import hashlib
from collections.abc import Callable
from typing import ClassVar

from outbox.testing import logins
from outbox.testing.capabilities import Capabilities
from outbox.testing.line_receiver import LineReceiver
from outbox.testing.pop3_dialogue import Pop3Mailbox, Pop3Stage, message_response, wire

STAMP = "<1896.697170952@mail.localhost>"  # of APOP
_OK, _ERR = "+OK", "-ERR"
_WRONG = "-ERR [AUTH] User name or password is wrong"
_NOT_NOW = "-ERR Not now"


class Pop3Receiver(LineReceiver):
    """A correct POP3 server for one client; subclasses override the hooks at its end."""

    def __init__(self, capabilities: Capabilities, mailbox: Pop3Mailbox) -> None:
        super().__init__(capabilities)
        self.mailbox = mailbox
        self.marked: set[str] = set()  # unique ids
        self._listed: list[str] = []  # unique ids; a message's number is its place
        self._named = ""  # by USER
        self._capas = 0

    def _begin(self) -> None:
        self.opened()
        self.send_reply(Pop3Stage.GREETING, 1, f"+OK {self.capabilities.name} ready {STAMP}")

    def _end(self, exc: Exception | None) -> None:
        if self.mailbox.owner is self:
            self.mailbox.owner = None
        self.closed(exc)

    def _tls_begun(self) -> None:
        self._named = ""

    # Reading

    def _reject_line(self) -> None:
        self.send_reply(Pop3Stage.OTHER, 1, "-ERR Line too long")

    def _read_command(self) -> bool:
        line = self._next_line()
        if line is None:
            return False
        verb, _, argument = line.partition(" ")
        handlers = self._WITHIN if self.user else self._BEFORE
        handler = handlers.get(verb.upper())
        if handler is None:
            self.send_reply(Pop3Stage.OTHER, 1, "-ERR Unknown command")
        else:
            handler(self, argument)
        return True

    # Before the login

    def _capa(self, argument: str) -> None:
        self._capas += 1
        lines = self.capabilities.lines(under_tls=self.under_tls)
        reply = "\n".join(["+OK Capabilities follow", *lines, "."]) if lines else "-ERR Unknown"
        self.send_reply(Pop3Stage.CAPA, self._capas, reply)

    def _stls(self, argument: str) -> None:
        is_offered = self.offers("STLS") and self.capabilities.tls is not None
        reply = "+OK Begin TLS" if is_offered else "-ERR Not offered"
        if self.send_reply(Pop3Stage.STLS, 1, reply).startswith(_OK):
            self.when_free(self._start_tls)

    def _user(self, argument: str) -> None:
        if self.send_reply(Pop3Stage.USER, 1, "+OK").startswith(_OK):
            self._named = argument

    def _pass(self, argument: str) -> None:
        if not self._named:
            self.send_reply(Pop3Stage.PASS, 1, "-ERR USER comes first")
            return
        login = self.capabilities.login
        is_right = login is None or (self._named, argument) == login
        self._log_in(Pop3Stage.PASS, 1, self._named, is_right=is_right)

    def _apop(self, argument: str) -> None:
        user, _, digest = argument.rpartition(" ")
        login = self.capabilities.login
        expected = hashlib.md5(
            (STAMP + (login or ("", ""))[1]).encode(), usedforsecurity=False
        ).hexdigest()
        is_right = login is None or (user, digest) == (login[0], expected)
        self._log_in(Pop3Stage.APOP, 1, user, is_right=is_right)

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        self._steps = 1
        if not self.offers("SASL", mechanism.upper()):
            self.send_reply(Pop3Stage.AUTH, 1, "-ERR Unknown mechanism")
            return
        capabilities = self.capabilities
        self._exchange = logins.Exchange(mechanism.upper(), capabilities.login, capabilities.tokens)
        self._continue_login(initial or None)

    def _continue_login(self, response: str | None) -> None:
        assert self._exchange is not None
        reply = self._exchange.step(response)
        self._reader = self._read_command
        if reply.startswith("3"):
            if self.send_reply(Pop3Stage.AUTH, self._steps, f"+ {reply[4:]}").startswith("+ "):
                self._reader = self._read_login
        else:
            user = self._exchange.user or "anyone"
            self._log_in(Pop3Stage.AUTH, self._steps, user, is_right=reply.startswith("2"))

    def _log_in(self, stage: Pop3Stage, index: int, user: str, *, is_right: bool) -> None:
        is_busy = self.mailbox.owner not in {None, self}
        reply = "-ERR [IN-USE] Another session has the mailbox" if is_busy else "+OK Welcome"
        obeyed = self.send_reply(stage, index, reply if is_right else _WRONG)
        if obeyed.startswith(_OK) and not is_busy:
            self.user, self.mailbox.owner = user, self
            self._listed = list(self.mailbox.messages)

    def _utf8(self, argument: str) -> None:
        reply = "+OK UTF8 enabled" if self.offers("UTF8") else "-ERR Not offered"
        self.send_reply(Pop3Stage.UTF8, 1, reply)

    # Within the mailbox

    def _present(self) -> dict[int, bytes]:
        """Return the messages that are not marked, by number."""
        return {
            number: self.mailbox.messages[uid]
            for number, uid in enumerate(self._listed, start=1)
            if uid not in self.marked
        }

    def _stat(self, argument: str) -> None:
        present = self._present()
        octets = sum(map(len, present.values()))
        self.send_reply(Pop3Stage.STAT, 1, f"+OK {len(present)} {octets}")

    def _list(self, argument: str) -> None:
        sizes = {number: f"{len(source)}" for number, source in self._present().items()}
        self._send_facts(Pop3Stage.LIST, Pop3Stage.SIZE, argument, sizes)

    def _uidl(self, argument: str) -> None:
        if self.capabilities.lines(under_tls=self.under_tls) and not self.offers("UIDL"):
            self.send_reply(Pop3Stage.UIDL, 0, "-ERR Unknown command")
        else:
            uids = {number: self._listed[number - 1] for number in self._present()}
            self._send_facts(Pop3Stage.UIDL, Pop3Stage.UID, argument, uids)

    def _send_facts(
        self, whole: Pop3Stage, single: Pop3Stage, argument: str, found: dict[int, str]
    ) -> None:
        """Send a fact about one message, or about all."""
        if not argument:
            lines = [f"{number} {fact}" for number, fact in found.items()]
            self.send_reply(whole, 0, "\n".join(["+OK", *lines, "."]))
            return
        number = int(argument) if argument.isdecimal() else 0
        fact = found.get(number)
        reply = "-ERR No such message" if fact is None else f"+OK {number} {fact}"
        self.send_reply(single, number, reply)

    def _retr(self, argument: str) -> None:
        number = int(argument) if argument.isdecimal() else 0
        source = self._present().get(number)
        reply = "-ERR No such message" if source is None else message_response(source)
        self.send_reply(Pop3Stage.RETR, number, reply)

    def _top(self, argument: str) -> None:
        words = [int(word) for word in argument.split() if word.isdecimal()]
        number, lines = (*words, 0, 0)[:2]
        source = self._present().get(number)
        reply = "-ERR No such message" if source is None else message_response(source, lines)
        self.send_reply(Pop3Stage.TOP, number, reply)

    def _dele(self, argument: str) -> None:
        number = int(argument) if argument.isdecimal() else 0
        is_there = number in self._present()
        reply = "+OK Marked" if is_there else "-ERR No such message"
        if self.send_reply(Pop3Stage.DELE, number, reply).startswith(_OK) and is_there:
            self.marked.add(self._listed[number - 1])

    def _noop(self, argument: str) -> None:
        self.send_reply(Pop3Stage.NOOP, 1, "+OK")

    def _rset(self, argument: str) -> None:
        if self.send_reply(Pop3Stage.RSET, 1, "+OK").startswith(_OK):
            self.marked.clear()

    def _quit(self, argument: str) -> None:
        reply = self.send_reply(Pop3Stage.QUIT, 1, "+OK Bye")
        if reply.startswith(_OK) and self.user:
            self.expunge()
        if reply:
            self.when_free(self.close)

    _BEFORE: ClassVar[dict[str, Callable[["Pop3Receiver", str], None]]] = {
        "CAPA": _capa,
        "STLS": _stls,
        "USER": _user,
        "PASS": _pass,
        "APOP": _apop,
        "AUTH": _auth,
        "UTF8": _utf8,
        "QUIT": _quit,
    }
    _WITHIN: ClassVar[dict[str, Callable[["Pop3Receiver", str], None]]] = {
        "CAPA": _capa,
        "STAT": _stat,
        "LIST": _list,
        "UIDL": _uidl,
        "RETR": _retr,
        "TOP": _top,
        "DELE": _dele,
        "NOOP": _noop,
        "RSET": _rset,
        "QUIT": _quit,
    }

    # Used by subclasses

    def expunge(self) -> None:
        """Delete the marked messages."""
        for uid in self.marked:
            del self.mailbox.messages[uid]
        self.marked.clear()

    # Overridden by subclasses

    def send_reply(self, stage: Pop3Stage, index: int, reply: str) -> str:
        """Send a response; return the one that the server obeys.

        Return "" if the command is not to be executed.
        """
        self._out.append(wire(reply))
        return reply

"""The server side of SMTP (RFC 5321), the base of this package's servers.

It reads commands (pipelined or not), removes dot-stuffing, and supports BDAT, AUTH and STARTTLS. A
subclass chooses the replies to recipients and messages and how each reply is sent. It stores and
relays nothing.
"""

import re
from collections.abc import Callable
from typing import ClassVar

from outbox.testing import logins
from outbox.testing.capabilities import Capabilities
from outbox.testing.dialogue import Stage, Transaction, wire
from outbox.testing.line_receiver import LineReceiver

_PATH = re.compile(r'<((?:"(?:\\.|[^"\\])*"|[^<>"\s])*)>(.*)')


class Receiver(LineReceiver):
    """A correct SMTP server for one client; subclasses override the hooks at its end."""

    def __init__(self, capabilities: Capabilities) -> None:
        super().__init__(capabilities)
        self.messages = 0  # acceptable MAIL commands
        self.addressed = ""  # the address of the current MAIL or RCPT
        self.transaction: Transaction | None = None
        self._greeted_client = False
        self._ehlos = 0
        self._chunk_left = 0
        self._last_chunk = False
        self._body = bytearray()
        self._dropped = 0  # discarded octets of a body that is too large

    def _begin(self) -> None:
        self.opened()
        self.send_reply(Stage.GREETING, 1, f"220 {self.capabilities.name} ESMTP")

    def _end(self, exc: Exception | None) -> None:
        self._end_transaction()
        self.closed(exc)

    def _tls_begun(self) -> None:
        self._greeted_client, self.user = False, ""

    # Reading

    def _reject_line(self) -> None:
        self.send_reply(Stage.OTHER, 1, "500 5.5.2 Line too long")

    def _read_command(self) -> bool:
        line = self._next_line()
        if line is None:
            return False
        verb, _, argument = line.partition(" ")
        handler = self._VERBS.get(verb.upper())
        if handler is None:
            self.send_reply(Stage.OTHER, 1, "500 5.5.1 Unknown command")
        else:
            handler(self, argument)
        return True

    def _read_data(self) -> bool:
        """Read up to CRLF.CRLF only: a bare LF does not end a line (RFC 5321 4.1.1.4)."""
        body, old = self._body, len(self._body)
        body += self._buffer
        self._buffer.clear()
        if body.startswith(b".\r\n") and not self._dropped:
            end, after = 0, 3
        else:
            end = body.find(b"\r\n.\r\n", max(0, old - 4))
            end, after = (end + 2, end + 5) if end >= 0 else (-1, -1)
        if not self.body_received(self._dropped + (end if end >= 0 else len(body))):
            self._buffer, self._body = body, self._buffer  # read again after the pause
            return False
        if end < 0:
            self._drop_excess()
            return False
        self._buffer += body[after:]
        source = bytes(body[:end]).replace(b"\r\n.", b"\r\n")
        self._finish(Stage.DOT, source[1:] if source.startswith(b".") else source)
        return True

    def _read_chunk(self) -> bool:
        size = min(self._chunk_left, len(self._buffer))
        if not self.body_received(self._dropped + len(self._body) + size):
            return False
        self._body += self._buffer[:size]
        del self._buffer[:size]
        self._chunk_left -= size
        self._drop_excess()
        if not self._chunk_left:
            self._end_chunk()
        return True

    def _drop_excess(self) -> None:
        """Discard octets above the size limit, except those needed to find the end."""
        if len(self._body) > self.size_limit + 4:
            self._dropped += len(self._body) - 4
            del self._body[:-4]

    # The commands

    def _ehlo(self, argument: str) -> None:
        self._ehlos += 1
        if not argument.strip():
            self.send_reply(Stage.EHLO, self._ehlos, "501 5.5.4 EHLO needs a name")
            return
        lines = (self.capabilities.name, *self.capabilities.lines(under_tls=self.under_tls))
        if self.send_reply(Stage.EHLO, self._ehlos, "250 " + "\n".join(lines)).startswith("2"):
            self._end_transaction()
            self._greeted_client = True

    def _helo(self, argument: str) -> None:
        reply = (
            f"250 {self.capabilities.name}" if argument.strip() else "501 5.5.4 HELO needs a name"
        )
        if self.send_reply(Stage.HELO, 1, reply).startswith("2"):
            self._end_transaction()
            self._greeted_client = True

    def _starttls(self, argument: str) -> None:
        if argument:
            reply = "501 5.5.4 STARTTLS takes no parameter"
        elif not self.offers("STARTTLS") or self.capabilities.tls is None:
            reply = "503 5.5.1 STARTTLS is not offered"
        else:
            reply = "220 2.0.0 Go ahead"
        if self.send_reply(Stage.STARTTLS, 1, reply).startswith("2"):
            self.when_free(self._start_tls)

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        self._steps = 1
        if rejection := self.capabilities.rejected.get(f"AUTH {mechanism.upper()}"):
            self.send_reply(Stage.AUTH, 1, rejection)
            return
        if not self.offers("AUTH", mechanism.upper()) or self.user or self.transaction:
            self.send_reply(Stage.AUTH, 1, "503 5.5.1 Not now, or not that mechanism")
            return
        self._exchange = logins.Exchange(
            mechanism.upper(), self.capabilities.login, self.capabilities.tokens
        )
        self._continue_login(initial or None)

    def _continue_login(self, response: str | None) -> None:
        assert self._exchange is not None
        reply = self.send_reply(Stage.AUTH, self._steps, self._exchange.step(response))
        self._reader = self._read_login if reply.startswith("3") else self._read_command
        if reply.startswith("2"):
            self.user = self._exchange.user or "anyone"

    def _mail(self, argument: str) -> None:
        path = _PATH.fullmatch(argument[5:]) if argument[:5].upper() == "FROM:" else None
        if self.transaction is not None:
            proposed = "503 5.5.1 One message at a time"
        elif not self._greeted_client:
            proposed = "503 5.5.1 Say EHLO first"
        elif self.capabilities.login_required and not self.user:
            proposed = "530 5.7.0 Log in first"
        elif path is None:
            proposed = "501 5.5.4 Say MAIL FROM:<address>"
        else:
            fault = self.capabilities.mail_fault(path[1], path[2], under_tls=self.under_tls)
            proposed = fault or "250 2.1.0 Ok"
        self.messages += proposed.startswith("2")
        self.addressed = path[1] if path else ""
        if self.send_reply(Stage.MAIL, 1, proposed).startswith("2") and path is not None:
            self._end_transaction()
            self.transaction = Transaction(path[1], path[2].strip())

    def _rcpt(self, argument: str) -> None:
        path = _PATH.fullmatch(argument[3:]) if argument[:3].upper() == "TO:" else None
        transaction = self.transaction
        if transaction is None:
            self.send_reply(Stage.RCPT, 0, "503 5.5.1 MAIL comes first")
            return
        transaction.tried += 1
        if path is None or not path[1]:
            self.send_reply(Stage.RCPT, transaction.tried, "501 5.5.4 Say RCPT TO:<address>")
            return
        self.addressed = address = path[1]
        if not address.isascii() and "SMTPUTF8" not in transaction.parameters.upper():
            proposed = "553 5.6.7 That address needs SMTPUTF8"
        elif fault := self.capabilities.rcpt_fault(path[2], under_tls=self.under_tls):
            proposed = fault
        else:
            proposed = self.judge_recipient(address)
        reply = self.send_reply(Stage.RCPT, transaction.tried, proposed)
        if reply.startswith("2"):
            transaction.recipients.append(address)
        elif reply:
            transaction.refused[address] = reply

    def _data(self, argument: str) -> None:
        if self.transaction is None or self.transaction.chunks:
            proposed = "503 5.5.1 Not now"
        elif not self.transaction.recipients:
            proposed = "554 5.5.1 No valid recipients"
        else:
            proposed = "354 End with a dot on a line of its own"
        if self.send_reply(Stage.DATA, 1, proposed).startswith("3"):
            self._begin_body()
            self._reader = self._read_data

    def _bdat(self, argument: str) -> None:
        size, _, last = argument.partition(" ")
        if not size.isdigit() or last.upper() not in {"", "LAST"}:
            self.send_reply(Stage.BDAT, 1, "501 5.5.4 Say BDAT size [LAST]")
            return
        transaction = self.transaction
        if "CHUNKING" in self.capabilities.rejected:  # what follows is read as commands
            self.send_reply(Stage.BDAT, 1, self.capabilities.rejected["CHUNKING"])
            return
        if transaction is None or not transaction.chunks:
            self._begin_body()
        if transaction is not None:
            transaction.chunks += 1
        self._chunk_left, self._last_chunk = int(size), bool(last)
        self._reader = self._read_chunk
        if not self._chunk_left:
            self._end_chunk()

    def _end_chunk(self) -> None:
        """Reply to a complete chunk; a rejected one is read to its end (RFC 3030 2)."""
        self._reader = self._read_command
        transaction = self.transaction
        if not self.offers("CHUNKING"):
            self.send_reply(Stage.BDAT, 1, "502 5.5.1 BDAT is not offered")
        elif transaction is None:
            self.send_reply(Stage.BDAT, 0, "503 5.5.1 MAIL comes first")
        elif not transaction.recipients:
            self.send_reply(Stage.BDAT, transaction.chunks, "554 5.5.1 No valid recipients")
        elif self._last_chunk:
            self._finish(Stage.BDAT, bytes(self._body))
        else:
            reply = f"250 2.0.0 {len(self._body)} octets so far"
            if not self.send_reply(Stage.BDAT, transaction.chunks, reply).startswith("2"):
                self._end_transaction()  # RFC 3030 2: no chunk is accepted after a rejected one

    def _begin_body(self) -> None:
        self._body.clear()
        self._dropped = 0

    def _finish(self, stage: Stage, source: bytes) -> None:
        self._reader = self._read_command
        transaction = self.transaction
        if transaction is None:
            self.send_reply(stage, 1, "503 5.5.1 MAIL comes first")
            return
        transaction.source, transaction.dot = source, True
        if not transaction.recipients:
            proposed = "554 5.5.1 No valid recipients"
        elif self._dropped + len(source) > self.size_limit:
            proposed = f"552 5.3.4 At most {self.size_limit} octets"
        else:
            proposed = self.judge_message(transaction)
        transaction.reply = self.send_reply(stage, max(1, transaction.chunks), proposed)
        self._end_transaction()

    def _rset(self, argument: str) -> None:
        if self.send_reply(Stage.RSET, 1, "250 2.0.0 Ok").startswith("2"):
            self._end_transaction()

    def _noop(self, argument: str) -> None:
        self.send_reply(Stage.NOOP, 1, "250 2.0.0 Ok")

    def _vrfy(self, argument: str) -> None:
        self.send_reply(Stage.OTHER, 1, "252 2.5.2 Cannot verify, but will accept the message")

    def _quit(self, argument: str) -> None:
        if self.send_reply(Stage.QUIT, 1, "221 2.0.0 Bye"):
            self.when_free(self.close)

    _VERBS: ClassVar[dict[str, Callable[["Receiver", str], None]]] = {
        "EHLO": _ehlo,
        "HELO": _helo,
        "STARTTLS": _starttls,
        "AUTH": _auth,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "BDAT": _bdat,
        "RSET": _rset,
        "NOOP": _noop,
        "VRFY": _vrfy,
        "QUIT": _quit,
    }

    def _end_transaction(self) -> None:
        transaction, self.transaction = self.transaction, None
        if transaction is not None:
            self.ended(transaction)

    # Used by subclasses

    @property
    def size_limit(self) -> int:
        """The maximum octets of a message."""
        return self.capabilities.size_limit(under_tls=self.under_tls)

    # Overridden by subclasses

    def body_received(self, octets: int) -> bool:
        """Handle the octets of a body so far; return False to stop reading."""
        return True

    def judge_recipient(self, address: str) -> str:
        """Return the reply to a recipient with a valid address."""
        return "250 2.1.5 Ok"

    def judge_message(self, transaction: Transaction) -> str:
        """Return the reply to a complete message; store it before returning 250."""
        return "250 2.0.0 Ok"

    def send_reply(self, stage: Stage, index: int, reply: str) -> str:
        """Send a reply; return the one that the server obeys.

        Return "" if the command is not to be executed.
        """
        self._out.append(wire(reply))
        return reply

    def ended(self, transaction: Transaction) -> None:
        """Handle the end of a transaction, completed or not."""

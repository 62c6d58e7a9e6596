"""The receiving side of SMTP (RFC 5321), on which the servers of this package stand.

It reads commands (pipelined or not), un-stuffs DATA, takes BDAT, logs in and starts TLS; a subclass
says what a recipient and a message hear, and how each reply leaves. It keeps and relays nothing.
"""

import re
from collections.abc import Callable
from typing import ClassVar

from outbox.testing import logins
from outbox.testing.channel import MAX_LINE, Channel
from outbox.testing.dialogue import Stage, Transaction, wire
from outbox.testing.offer import Offer

_PATH = re.compile(r'<((?:"(?:\\.|[^"\\])*"|[^<>"\s])*)>(.*)')


class Receiver(Channel):
    """A correct SMTP server for one client; subclasses decide by the hooks at its end."""

    def __init__(self, offer: Offer) -> None:
        super().__init__()
        self.offer = offer
        self.user = ""
        self.messages = 0  # MAIL commands that deserved a yes
        self.addressed = ""  # by the MAIL or RCPT that is being answered
        self.transaction: Transaction | None = None
        self._reader: Callable[[], bool] = self._read_command
        self._greeted_client = False
        self._ehlos = 0
        self._exchange: logins.Exchange | None = None
        self._steps = 0
        self._chunk_left = 0
        self._last_chunk = False
        self._body = bytearray()
        self._dropped = 0  # octets of a body that is too large to keep

    def _begin(self) -> None:
        self.opened()
        self.answer(Stage.GREETING, 1, f"220 {self.offer.name} ESMTP")

    def _end(self, exc: Exception | None) -> None:
        self._end_transaction()
        self.closed(exc)

    def _tls_begun(self) -> None:
        self._greeted_client, self.user = False, ""

    # Reading

    def _read(self) -> bool:
        return self._reader()

    def _next_line(self) -> str | None:
        line = self._line()
        if line is None and len(self._buffer) > MAX_LINE:
            self._buffer.clear()
            self.answer(Stage.OTHER, 1, "500 5.5.2 Line too long")
        if line is not None:
            self.heard(line)
        return line

    def _read_command(self) -> bool:
        line = self._next_line()
        if line is None:
            return False
        verb, _, argument = line.partition(" ")
        handler = self._VERBS.get(verb.upper())
        if handler is None:
            self.answer(Stage.OTHER, 1, "500 5.5.1 I do not know that command")
        else:
            handler(self, argument)
        return True

    def _read_data(self) -> bool:
        """Look for CRLF.CRLF and nothing else: a bare LF ends no line (RFC 5321 4.1.1.4)."""
        body, old = self._body, len(self._body)
        body += self._buffer
        self._buffer.clear()
        if body.startswith(b".\r\n") and not self._dropped:
            end, after = 0, 3
        else:
            end = body.find(b"\r\n.\r\n", max(0, old - 4))
            end, after = (end + 2, end + 5) if end >= 0 else (-1, -1)
        if not self.passed(self._dropped + (end if end >= 0 else len(body))):
            self._buffer, self._body = body, self._buffer  # read again when the hold is over
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
        if not self.passed(self._dropped + len(self._body) + size):
            return False
        self._body += self._buffer[:size]
        del self._buffer[:size]
        self._chunk_left -= size
        self._drop_excess()
        if not self._chunk_left:
            self._end_chunk()
        return True

    def _drop_excess(self) -> None:
        """Keep no more of a body than a message may have, and enough to find its end."""
        if len(self._body) > self.size_limit + 4:
            self._dropped += len(self._body) - 4
            del self._body[:-4]

    def _read_login(self) -> bool:
        line = self._next_line()
        if line is None:
            return False
        self._steps += 1
        self._answer_login(line)
        return True

    # The commands

    def _ehlo(self, argument: str) -> None:
        self._ehlos += 1
        if not argument.strip():
            self.answer(Stage.EHLO, self._ehlos, "501 5.5.4 EHLO needs a name")
            return
        lines = (self.offer.name, *self.offer.lines(under_tls=self.under_tls))
        if self.answer(Stage.EHLO, self._ehlos, "250 " + "\n".join(lines)).startswith("2"):
            self._end_transaction()
            self._greeted_client = True

    def _helo(self, argument: str) -> None:
        reply = f"250 {self.offer.name}" if argument.strip() else "501 5.5.4 HELO needs a name"
        if self.answer(Stage.HELO, 1, reply).startswith("2"):
            self._end_transaction()
            self._greeted_client = True

    def _starttls(self, argument: str) -> None:
        if argument:
            reply = "501 5.5.4 STARTTLS takes no parameter"
        elif not self.offers("STARTTLS") or self.offer.tls is None:
            reply = "503 5.5.1 STARTTLS is not offered"
        else:
            reply = "220 2.0.0 Go ahead"
        if self.answer(Stage.STARTTLS, 1, reply).startswith("2"):
            self.when_free(self._start_tls)

    def _start_tls(self) -> None:
        assert self.offer.tls is not None
        if self.tls_begins():
            self.start_tls(self.offer.tls)

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        self._steps = 1
        if not self.offers("AUTH", mechanism.upper()) or self.user or self.transaction:
            self.answer(Stage.AUTH, 1, "503 5.5.1 Not now, or not that mechanism")
            return
        self._exchange = logins.Exchange(mechanism.upper(), self.offer.login)
        self._answer_login(initial or None)

    def _answer_login(self, response: str | None) -> None:
        assert self._exchange is not None
        reply = self.answer(Stage.AUTH, self._steps, self._exchange.step(response))
        self._reader = self._read_login if reply.startswith("3") else self._read_command
        if reply.startswith("2"):
            self.user = self._exchange.user or "anyone"

    def _mail(self, argument: str) -> None:
        path = _PATH.fullmatch(argument[5:]) if argument[:5].upper() == "FROM:" else None
        if self.transaction is not None:
            proposed = "503 5.5.1 One message at a time"
        elif not self._greeted_client:
            proposed = "503 5.5.1 Say EHLO first"
        elif self.offer.login_required and not self.user:
            proposed = "530 5.7.0 Log in first"
        elif path is None:
            proposed = "501 5.5.4 Say MAIL FROM:<address>"
        else:
            fault = self.offer.mail_fault(path[1], path[2], under_tls=self.under_tls)
            proposed = fault or "250 2.1.0 Ok"
        self.messages += proposed.startswith("2")
        self.addressed = path[1] if path else ""
        if self.answer(Stage.MAIL, 1, proposed).startswith("2") and path is not None:
            self._end_transaction()
            self.transaction = Transaction(path[1], path[2].strip())

    def _rcpt(self, argument: str) -> None:
        path = _PATH.fullmatch(argument[3:]) if argument[:3].upper() == "TO:" else None
        transaction = self.transaction
        if transaction is None:
            self.answer(Stage.RCPT, 0, "503 5.5.1 MAIL comes first")
            return
        transaction.tried += 1
        if path is None or not path[1]:
            self.answer(Stage.RCPT, transaction.tried, "501 5.5.4 Say RCPT TO:<address>")
            return
        self.addressed = address = path[1]
        if not address.isascii() and "SMTPUTF8" not in transaction.parameters.upper():
            proposed = "553 5.6.7 That address needs SMTPUTF8"
        elif path[2].strip() and not self.offers("DSN"):
            proposed = "555 5.5.4 No parameter of RCPT is offered"
        else:
            proposed = self.judge_recipient(address)
        reply = self.answer(Stage.RCPT, transaction.tried, proposed)
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
        if self.answer(Stage.DATA, 1, proposed).startswith("3"):
            self._begin_body()
            self._reader = self._read_data

    def _bdat(self, argument: str) -> None:
        size, _, last = argument.partition(" ")
        if not size.isdigit() or last.upper() not in {"", "LAST"}:
            self.answer(Stage.BDAT, 1, "501 5.5.4 Say BDAT size [LAST]")
            return
        transaction = self.transaction
        if transaction is None or not transaction.chunks:
            self._begin_body()
        if transaction is not None:
            transaction.chunks += 1
        self._chunk_left, self._last_chunk = int(size), bool(last)
        self._reader = self._read_chunk
        if not self._chunk_left:
            self._end_chunk()

    def _end_chunk(self) -> None:
        """Answer a chunk that is wholly here; a refused one is read to its end (RFC 3030 2)."""
        self._reader = self._read_command
        transaction = self.transaction
        if not self.offers("CHUNKING"):
            self.answer(Stage.BDAT, 1, "502 5.5.1 BDAT is not offered")
        elif transaction is None:
            self.answer(Stage.BDAT, 0, "503 5.5.1 MAIL comes first")
        elif not transaction.recipients:
            self.answer(Stage.BDAT, transaction.chunks, "554 5.5.1 No valid recipients")
        elif self._last_chunk:
            self._finish(Stage.BDAT, bytes(self._body))
        else:
            reply = f"250 2.0.0 {len(self._body)} octets so far"
            if not self.answer(Stage.BDAT, transaction.chunks, reply).startswith("2"):
                self._end_transaction()  # RFC 3030 2: no chunk is taken behind a refused one

    def _begin_body(self) -> None:
        self._body.clear()
        self._dropped = 0

    def _finish(self, stage: Stage, source: bytes) -> None:
        self._reader = self._read_command
        transaction = self.transaction
        if transaction is None:
            self.answer(stage, 1, "503 5.5.1 MAIL comes first")
            return
        transaction.source, transaction.dot = source, True
        if not transaction.recipients:
            proposed = "554 5.5.1 No valid recipients"
        elif self._dropped + len(source) > self.size_limit:
            proposed = f"552 5.3.4 At most {self.size_limit} octets"
        else:
            proposed = self.judge_message(transaction)
        transaction.reply = self.answer(stage, max(1, transaction.chunks), proposed)
        self._end_transaction()

    def _rset(self, argument: str) -> None:
        if self.answer(Stage.RSET, 1, "250 2.0.0 Ok").startswith("2"):
            self._end_transaction()

    def _noop(self, argument: str) -> None:
        self.answer(Stage.NOOP, 1, "250 2.0.0 Ok")

    def _vrfy(self, argument: str) -> None:
        self.answer(Stage.OTHER, 1, "252 2.5.2 Send some mail, I will try")

    def _quit(self, argument: str) -> None:
        if self.answer(Stage.QUIT, 1, "221 2.0.0 Bye"):
            self.when_free(self.hang_up)

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

    # What subclasses use

    def offers(self, keyword: str, parameter: str = "") -> bool:
        """Tell whether EHLO listed a keyword (and, if given, that parameter of it)."""
        return self.offer.has(keyword, parameter, under_tls=self.under_tls)

    @property
    def size_limit(self) -> int:
        """The octets a message may have."""
        return self.offer.size_limit(under_tls=self.under_tls)

    # What subclasses decide

    def opened(self) -> None:
        """Note a new connection, before the greeting."""

    def heard(self, line: str) -> None:
        """Note a line of the client, before it is acted upon."""

    def passed(self, octets: int) -> bool:
        """Note how much of a body arrived; False where reading shall stop there."""
        return True

    def tls_begins(self) -> bool:
        """Tell whether the handshake shall begin."""
        return True

    def judge_recipient(self, address: str) -> str:
        """Return the reply to a recipient whose syntax is right."""
        return "250 2.1.5 Ok"

    def judge_message(self, transaction: Transaction) -> str:
        """Return the reply to a whole message; keep it before saying 250."""
        return "250 2.0.0 Ok"

    def answer(self, stage: Stage, index: int, reply: str) -> str:
        """Let a reply leave; return the one that counts.

        "" stands for a command that is not to be carried out.
        """
        self._out.append(wire(reply))
        return reply

    def ended(self, transaction: Transaction) -> None:
        """Note a transaction that is over, one way or the other."""

    def closed(self, exc: Exception | None) -> None:
        """Note the end of the connection."""

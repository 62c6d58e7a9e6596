"""Scripts from the greeting to a session ready for mail: EHLO, STARTTLS, EHLO again, AUTH.

Nothing falls back to something weaker: TLS that is required and not to be had, or a login that
cannot be used, ends the session before any mail is mentioned.
"""

import base64
import binascii
from typing import NoReturn

from outbox.smtp.auth import Answering, Mechanism, mechanisms
from outbox.smtp.facts import SessionFacts
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.reply import Reply
from outbox.smtp.server import Security, Server
from outbox.smtp.steps import Act, Script, Write

_EHLO_UNKNOWN = {500, 502, 504}
_MECHANISM_UNKNOWN = 504  # RFC 4954 4
_WANTS_NEW_PASSWORD = 432  # RFC 5248 2.4: no waiting helps, a person has to choose one
_COMMAND_MAX = 512  # octets with CRLF (RFC 5321 4.5.3.1.4)
_RESPONSE_MAX = 12_288  # octets with CRLF (RFC 4954 4)


class Opening:
    """The scripts of one session that opens; `facts` is filled on the way."""

    def __init__(
        self, protocol: Protocol, server: Server, facts: SessionFacts, ehlo_name: str
    ) -> None:
        self._protocol = protocol
        self._server = server
        self._facts = facts
        self._ehlo_name = ehlo_name.encode()

    def greeting(self) -> Script[None]:
        """Hear the server out before saying anything. Raises SmtpFault."""
        yield Act.AWAIT
        reply = self._protocol.take()[-1].reply
        self._facts.greeting = reply.text
        if not reply.accepted:
            raise _fault(Phase.GREETING, FaultKind.REJECTED, "the server takes no mail now", reply)

    def introduction(self) -> Script[None]:
        """Go from the greeting to a session ready for mail. Raises SmtpFault."""
        yield from self._introduce()
        if self._server.security is Security.STARTTLS:
            yield from self._secure()
            yield from self._introduce()
        if self._server.username:
            yield from self._log_in()

    def _introduce(self) -> Script[None]:
        reply = yield from self._ask(Verb.EHLO, b"EHLO " + self._ehlo_name)
        if reply.code in _EHLO_UNKNOWN:
            reply = yield from self._ask(Verb.HELO, b"HELO " + self._ehlo_name)
        if not reply.accepted:
            raise _fault(Phase.EHLO, FaultKind.REJECTED, "the server refused EHLO", reply)
        self._facts.extensions = self._protocol.extensions.offered

    def _secure(self) -> Script[None]:
        if not self._protocol.extensions.starttls:
            detail = (
                "the server does not offer STARTTLS, which this account requires;"
                " something in between may have taken it out"
            )
            raise _fault(Phase.STARTTLS, FaultKind.NO_STARTTLS, detail)
        reply = yield from self._ask(Verb.STARTTLS)
        if not reply.accepted:
            detail = "the server offers STARTTLS and then refuses it"
            raise _fault(Phase.STARTTLS, FaultKind.NO_STARTTLS, detail, reply)
        yield Act.SECURE
        self._protocol.secured()

    def _log_in(self) -> Script[None]:
        if self._facts.tls is None and not self._server.allow_plaintext_auth:
            raise _unavailable("a login is set, but TLS does not protect this connection")
        if "\0" in self._server.username + self._server.secret:
            raise _unavailable("the login holds a NUL character")
        usable = mechanisms(self._server, self._protocol.extensions)
        if not usable:
            offered = " ".join(sorted(self._protocol.extensions.auth)) or "none"
            raise _unavailable(f"the server offers no way to log in that fits (offered: {offered})")
        self._protocol.hide(self._server.secret)
        for mechanism in usable:
            self._facts.auth_mechanism = mechanism.name
            reply = yield from self._exchange(mechanism)
            if reply.accepted:
                return
            if reply.code != _MECHANISM_UNKNOWN:
                break
        self._facts.auth_mechanism = ""
        raise _login_fault(reply)

    def _exchange(self, mechanism: Mechanism) -> Script[Reply]:
        """Run one mechanism up to its final reply."""
        line = b"AUTH " + mechanism.name.encode()
        answers = list(mechanism.answers)
        initial = mechanism.initial
        if initial is not None:
            whole = line + b" " + (self._encoded(initial) or b"=")
            if len(whole) + 2 <= _COMMAND_MAX:
                line = whole
            else:
                answers.insert(0, lambda _: initial)
        reply = yield from self._ask(Verb.AUTH, line, f"AUTH {mechanism.name} ***")
        for answer in answers:
            if not reply.intermediate:
                return reply
            reply = yield from self._respond(answer, reply)
        if reply.intermediate:
            yield from self._cancel("the server asks for more than the login has")
        return reply

    def _respond(self, answer: Answering, challenge: Reply) -> Script[Reply]:
        try:
            given = base64.b64decode(challenge.text, validate=True)
        except binascii.Error:
            yield from self._cancel("the server's challenge is not base64")
            raise AssertionError from None
        response = self._encoded(answer(given))
        if len(response) + 2 > _RESPONSE_MAX:
            yield from self._cancel("the login is longer than SMTP allows")
        return (yield from self._ask(Verb.RESPONSE, response, "***"))

    def _cancel(self, detail: str) -> Script[NoReturn]:
        reply = yield from self._ask(Verb.RESPONSE, b"*")
        raise _unavailable(detail, reply)

    def _encoded(self, secret: bytes) -> bytes:
        encoded = base64.b64encode(secret)
        self._protocol.hide(encoded.decode())
        return encoded

    def _ask(self, verb: Verb, line: bytes | None = None, shown: str = "") -> Script[Reply]:
        yield Write(self._protocol.command(verb, line), shown)
        yield Act.AWAIT
        return self._protocol.take()[-1].reply


def _login_fault(reply: Reply) -> SmtpFault:
    if reply.code == _MECHANISM_UNKNOWN:
        return _unavailable("the server offers ways to log in and knows none of them", reply)
    if reply.transient and reply.code != _WANTS_NEW_PASSWORD:
        detail = "the server cannot check logins at the moment"
        return _fault(Phase.AUTH, FaultKind.AUTH_TEMPORARY, detail, reply)
    return _fault(Phase.AUTH, FaultKind.AUTH_REJECTED, "the server refused the login", reply)


def _unavailable(detail: str, reply: Reply | None = None) -> SmtpFault:
    return _fault(Phase.AUTH, FaultKind.AUTH_UNAVAILABLE, detail, reply)


def _fault(phase: Phase, kind: FaultKind, detail: str, reply: Reply | None = None) -> SmtpFault:
    return SmtpFault(phase, kind, detail, reply=reply)

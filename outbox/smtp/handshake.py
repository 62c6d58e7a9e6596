"""Scripts from the greeting to a session ready for messages: EHLO, STARTTLS, EHLO again, AUTH.

Only opportunistic TLS, which no account has, falls back to weaker protection, and records why.
If required TLS is unavailable, or a login cannot be used, the session ends before the first
transaction.
"""

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.facts import SessionFacts
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.login import Login
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.reply import Reply
from outbox.smtp.script import Action, Script, Write
from outbox.smtp.server import Security, Server
from outbox.smtp.status import is_busy

_EHLO_UNKNOWN = {500, 502, 504}


class Handshake:
    """The scripts that open one session; they fill `facts`."""

    def __init__(
        self, protocol: Protocol, server: Server, facts: SessionFacts, ehlo_name: str
    ) -> None:
        self._protocol = protocol
        self._server = server
        self._facts = facts
        self._ehlo_name = ehlo_name.encode()
        # Before the greeting: the server may know the login from an earlier session.
        protocol.masker.add_secret(server.secret)

    def greeting(self) -> Script[None]:
        """Wait for the complete greeting before sending anything. Raises SmtpFault."""
        yield Action.AWAIT_REPLIES
        reply = self._protocol.take_replies()[-1].reply
        self._facts.greeting = reply.text
        if not reply.accepted:
            raise _fault(
                Phase.GREETING, FaultKind.REJECTED, Reason(ReasonCode.GREETING_REJECTED), reply
            )

    def session_setup(self) -> Script[None]:
        """Run everything after the greeting until the session is ready. Raises SmtpFault."""
        yield from self._say_ehlo()
        if self._server.uses_starttls and (yield from self._secure()):
            yield from self._say_ehlo()
        if self._server.username:
            yield from Login(self._protocol, self._server, self._facts).script()

    def _say_ehlo(self) -> Script[None]:
        reply = yield from self._command(Verb.EHLO, b"EHLO " + self._ehlo_name)
        if self._may_send_helo(reply):
            rejected = reply
            reply = yield from self._command(Verb.HELO, b"HELO " + self._ehlo_name)
            if not reply.accepted and rejected.code not in _EHLO_UNKNOWN:
                reply = rejected
        if not reply.accepted:
            raise _fault(Phase.EHLO, FaultKind.REJECTED, Reason(ReasonCode.EHLO_REJECTED), reply)
        self._facts.extensions = self._protocol.extensions.offered

    def _may_send_helo(self, reply: Reply) -> bool:
        """Return whether HELO may be accepted where EHLO was not (RFC 5321 3.2).

        Old servers reject EHLO by other codes than the RFC's, too. After those, HELO is of use only
        if the account needs neither TLS nor a login, which are extensions.
        """
        if reply.code in _EHLO_UNKNOWN:
            return True
        needs_extension = self._server.needs_starttls or self._server.username
        is_about_client = is_busy(reply) or reply.detail.startswith("7.")
        return reply.permanent and not needs_extension and not is_about_client

    def _secure(self) -> Script[bool]:
        """Start TLS; return whether it was. Raises SmtpFault where plain text is not allowed."""
        if not self._protocol.extensions.starttls:
            if self._server.needs_starttls:
                raise _fault(Phase.STARTTLS, FaultKind.NO_STARTTLS, self._why_missing())
            self._facts.tls_why = self._why_missing()
            return False
        reply = yield from self._command(Verb.STARTTLS)
        if not reply.accepted:
            reason = Reason(ReasonCode.STARTTLS_REJECTED)
            if not self._server.falls_back:
                raise _fault(Phase.STARTTLS, FaultKind.NO_STARTTLS, reason, reply)
            self._facts.tls_why = reason.with_reply(reply)
            return False
        yield Action.START_TLS
        self._protocol.secured()
        return True

    def _why_missing(self) -> Reason:
        if self._server.security is Security.STARTTLS:
            return Reason(ReasonCode.STARTTLS_MISSING)
        return Reason(ReasonCode.STARTTLS_NOT_OFFERED)

    def _command(self, verb: Verb, line: bytes | None = None) -> Script[Reply]:
        self._protocol.check()  # the session may have ended right after the last reply
        yield Write(self._protocol.command(verb, line))
        yield Action.AWAIT_REPLIES
        return self._protocol.take_replies()[-1].reply


def _fault(phase: Phase, kind: FaultKind, reason: Reason, reply: Reply | None = None) -> SmtpFault:
    return SmtpFault(phase, kind, reason, reply=reply)

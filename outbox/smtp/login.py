"""The script that logs in (RFC 4954): the preferred mechanism first, then the others.

Another mechanism is tried when the server rejects the mechanism rather than the password. A
rejected password is never sent again in the same session, since repeated failures lock accounts.
"""

import base64
import binascii
import json
import re

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.auth import Mechanism, Respond, mechanisms
from outbox.smtp.facts import SessionFacts
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.remedies import remedy_of
from outbox.smtp.reply import Reply
from outbox.smtp.script import Action, Script, Write
from outbox.smtp.server import Server
from outbox.smtp.status import (
    BAD_SEQUENCE,
    LoginFailure,
    is_initial_response_rejected,
    is_unknown,
    login_failure,
)

_COMMAND_MAX = 512  # octets with CRLF (RFC 5321 4.5.3.1.4)
_RESPONSE_MAX = 12_288  # octets with CRLF (RFC 4954 4)
_STATUS = re.compile(r"[\w-]{1,40}", re.ASCII)
_STANDARD_ALPHABET = str.maketrans("-_", "+/")  # from that of RFC 4648 5


class _UnexpectedChallengeError(Exception):
    """The exchange has to be cancelled for this reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Login:
    """One login; it fills `facts.auth_mechanism`."""

    def __init__(self, protocol: Protocol, server: Server, facts: SessionFacts) -> None:
        self._protocol = protocol
        self._server = server
        self._facts = facts
        self._token_status = ""  # of the challenge that rejected a token

    def script(self) -> Script[None]:
        """Log in. Raises SmtpFault."""
        faults: list[SmtpFault] = []
        for mechanism in self._usable_mechanisms():
            self._facts.auth_mechanism = mechanism.name
            fault, may_continue = yield from self._attempt(mechanism)
            if fault is None:
                return
            faults.append(fault)
            if not may_continue:
                raise self._without_mechanism(fault)
        # "The mechanism is too weak" explains more than "unknown mechanism".
        rejected = [fault for fault in faults if fault.kind is FaultKind.AUTH_REJECTED]
        raise self._without_mechanism((rejected or faults)[-1])

    def _usable_mechanisms(self) -> list[Mechanism]:
        if self._facts.tls is None and not self._server.allow_plaintext_auth:
            raise _unavailable(Reason(ReasonCode.LOGIN_WITHOUT_TLS))
        if "\0" in self._server.username + self._server.secret:
            raise _unavailable(Reason(ReasonCode.LOGIN_NUL))
        usable = mechanisms(self._server, self._protocol.extensions)
        if not usable:
            offered = " ".join(sorted(self._protocol.extensions.auth)) or "none"
            raise _unavailable(Reason(ReasonCode.LOGIN_NO_MECHANISM, offered=offered))
        return usable

    def _without_mechanism(self, fault: SmtpFault) -> SmtpFault:
        self._facts.auth_mechanism = ""
        return fault

    def _attempt(self, mechanism: Mechanism) -> Script[tuple[SmtpFault | None, bool]]:
        """Run one mechanism. Return its fault, and whether another mechanism may be tried."""
        try:
            reply = yield from self._exchange(mechanism)
        except _UnexpectedChallengeError as error:
            reply = yield from self._command(Verb.RESPONSE, b"*")
            return _unavailable(error.reason, reply), not reply.intermediate
        if reply.accepted:
            return None, False
        fault = _login_fault(reply, self._token_status)
        return fault, login_failure(reply) is LoginFailure.MECHANISM

    def _exchange(self, mechanism: Mechanism) -> Script[Reply]:
        """Run one mechanism and return its final reply."""
        command = b"AUTH " + mechanism.name.encode()
        initial = mechanism.initial
        whole = command if initial is None else command + b" " + (self._encoded(initial) or b"=")
        if initial is None or len(whole) + 2 > _COMMAND_MAX:
            return (yield from self._without_initial(mechanism, command, initial))
        reply = yield from self._command(Verb.AUTH, whole, f"{command.decode()} ***")
        if is_initial_response_rejected(reply):
            return (yield from self._without_initial(mechanism, command, initial))
        # It ignored the initial response. A token is rejected by a challenge with the reason.
        if reply.intermediate and not (mechanism.responses and reply.text.strip()):
            reply = yield from self._respond(mechanism, lambda _: initial, reply)
        return (yield from self._responses(mechanism, reply))

    def _without_initial(
        self, mechanism: Mechanism, command: bytes, initial: bytes | None
    ) -> Script[Reply]:
        """Run a mechanism without an initial response in the command."""
        reply = yield from self._command(Verb.AUTH, command)
        if initial is not None and reply.intermediate:
            reply = yield from self._respond(mechanism, lambda _: initial, reply)
        return (yield from self._responses(mechanism, reply))

    def _responses(self, mechanism: Mechanism, reply: Reply) -> Script[Reply]:
        for respond in mechanism.responses:
            if not reply.intermediate:
                return reply
            reply = yield from self._respond(mechanism, respond, reply)
        if reply.intermediate:
            raise _UnexpectedChallengeError(Reason(ReasonCode.LOGIN_EXTRA_CHALLENGE))
        return reply

    def _respond(self, mechanism: Mechanism, respond: Respond, challenge: Reply) -> Script[Reply]:
        given = _decoded(challenge.full_text)
        self._token_status = _token_status(given) or self._token_status
        if mechanism.reads_challenge and not given:
            raise _UnexpectedChallengeError(Reason(ReasonCode.LOGIN_BAD_CHALLENGE))
        raw = respond(given)
        if mechanism.reads_challenge:  # a digest of the secret, to guess it by
            self._protocol.masker.add_secret(raw.rpartition(b" ")[2].decode())
        response = self._encoded(raw)
        if len(response) + 2 > _RESPONSE_MAX:
            raise _UnexpectedChallengeError(Reason(ReasonCode.LOGIN_TOO_LONG))
        return (yield from self._command(Verb.RESPONSE, response, "***"))

    def _encoded(self, secret: bytes) -> bytes:
        encoded = base64.b64encode(secret)
        self._protocol.masker.add_secret(encoded.decode())
        return encoded

    def _command(self, verb: Verb, line: bytes, shown: str = "") -> Script[Reply]:
        self._protocol.check()  # the session may have ended right after the last reply
        yield Write(self._protocol.command(verb, line), shown)
        yield Action.AWAIT_REPLIES
        return self._protocol.take_replies()[-1].reply


def _decoded(challenge: str) -> bytes:
    """Return a challenge, or b"" where it is not Base64.

    It may lack its padding, be in quotes or brackets, and use the alphabet for URLs.
    """
    compact = "".join(challenge.replace("\\x00", "").split()).strip("\"'<>[]()").rstrip("=")
    compact = compact.translate(_STANDARD_ALPHABET)
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _token_status(challenge: bytes) -> str:
    """Return the status in the JSON with which servers reject a token (RFC 7628 3.2.2)."""
    try:
        found = json.loads(challenge) if challenge.startswith(b"{") else None
    except (ValueError, RecursionError):
        return ""
    status = str(found.get("status", "")) if isinstance(found, dict) else ""
    return status if _STATUS.fullmatch(status) else ""


def _login_fault(reply: Reply, token_status: str = "") -> SmtpFault:
    failure, remedy = login_failure(reply), remedy_of(reply)
    if failure is LoginFailure.TEMPORARY:
        reason = remedy or Reason(ReasonCode.LOGIN_TEMPORARY)
        return SmtpFault(Phase.AUTH, FaultKind.AUTH_TEMPORARY, reason, reply=reply)
    is_unsupported = is_unknown(reply) or reply.code == BAD_SEQUENCE
    if failure is LoginFailure.MECHANISM and is_unsupported:
        return _unavailable(Reason(ReasonCode.LOGIN_MECHANISMS_UNKNOWN), reply)
    if remedy is None and token_status:
        remedy = Reason(ReasonCode.LOGIN_TOKEN_REJECTED, status=token_status)
    reason = remedy or Reason(ReasonCode.LOGIN_REJECTED)
    return SmtpFault(Phase.AUTH, FaultKind.AUTH_REJECTED, reason, reply=reply)


def _unavailable(reason: Reason, reply: Reply | None = None) -> SmtpFault:
    return SmtpFault(Phase.AUTH, FaultKind.AUTH_UNAVAILABLE, reason, reply=reply)

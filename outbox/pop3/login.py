"""The script that logs in: SASL (RFC 5034), USER and PASS, or APOP (RFC 1939 7).

A script is a generator. It yields steps and is resumed with the status of each. A mechanism is
tried in the form in which no secret is sent before the server agreed to it, so that a server that
does not know it costs nothing. A rejected secret is never sent again in the same session, since
repeated failures lock accounts.
"""

import base64
import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from outbox.pop3.capabilities import Capabilities
from outbox.pop3.faults import FaultKind, Pop3FaultError, local_fault, login_fault
from outbox.pop3.protocol import Verb
from outbox.pop3.responses import Status
from outbox.reasons import Reason, ReasonCode

_COMMAND_MAX = 255  # octets with CRLF of AUTH with an initial response (RFC 5034 4)
_CANCEL = b"*"


class Step(NamedTuple):
    """A command to send. `shown` replaces its argument in the record of the session."""

    verb: Verb
    argument: bytes
    shown: str = ""


Script = Generator[Step, Status, None]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account logs in with."""

    username: str
    secret: str = field(repr=False)
    is_token: bool = False  # an OAuth access token rather than a password
    allows_apop: bool = False  # the server stores the password readable for it
    allows_plain_text: bool = False  # for loopback only: otherwise a password needs TLS
    # XOAUTH2 in one command. Microsoft closes the connection then; others want it.
    sends_initial_token: bool = False


@dataclass(frozen=True, slots=True)
class _Mechanism:
    name: str
    responses: tuple[bytes, ...] = field(repr=False)
    after_error: tuple[bytes, ...] = ()  # to a challenge that contains an error


def login(
    credentials: Credentials,
    capabilities: Capabilities,
    stamp: str,
    *,
    is_secured: bool,
    is_utf8: bool = False,
) -> Script:
    """Log in. Raise Pop3FaultError; the generator returns after a successful login.

    `is_utf8`: the server accepted the command UTF8 (RFC 6856), so USER and PASS may have it.
    """
    _check(credentials, is_secured=is_secured)
    prefers_apop = credentials.allows_apop and stamp and not credentials.is_token
    for mechanism in () if prefers_apop else _mechanisms(credentials, capabilities):
        if (yield from _sasl(mechanism, credentials)):
            return
    if credentials.is_token:
        raise _no_mechanism(capabilities)
    # Without USER it is the only way that is left.
    if stamp and (credentials.allows_apop or not capabilities.user):
        yield from _apop(credentials, stamp)
        return
    yield from _user_and_pass(credentials, capabilities, is_utf8=is_utf8)


def _check(credentials: Credentials, *, is_secured: bool) -> None:
    text = credentials.username + credentials.secret
    if any(char in text for char in "\0\r\n"):
        raise local_fault(FaultKind.CREDENTIALS, Reason(ReasonCode.LOGIN_CONTROL_CHARACTER))
    if not is_secured and not credentials.allows_plain_text:
        raise local_fault(FaultKind.UNAVAILABLE, Reason(ReasonCode.LOGIN_WITHOUT_TLS))


def _mechanisms(credentials: Credentials, capabilities: Capabilities) -> Iterator[_Mechanism]:
    user, secret = credentials.username.encode(), credentials.secret.encode()
    if credentials.is_token:
        token = b"user=%s\x01auth=Bearer %s\x01\x01" % (user, secret)
        known = [_Mechanism("XOAUTH2", (token,), after_error=(b"",))]
    else:
        known = [
            _Mechanism("PLAIN", (b"\0" + user + b"\0" + secret,)),
            _Mechanism("LOGIN", (user, secret)),
        ]
    # A server that announces nothing may still know the mechanism of a token.
    is_unknown = credentials.is_token and not capabilities.sasl
    return (one for one in known if is_unknown or one.name in capabilities.sasl)


def _sasl(mechanism: _Mechanism, credentials: Credentials) -> Generator[Step, Status, bool]:
    """Return whether the login succeeded; False if the server does not know the mechanism."""
    name = mechanism.name.encode()
    encoded = [base64.b64encode(one) for one in mechanism.responses]
    whole = name + b" " + encoded[0]
    is_short = len(b"AUTH ") + len(whole) + len(b"\r\n") <= _COMMAND_MAX
    if credentials.sends_initial_token and credentials.is_token and is_short:
        status = yield Step(Verb.AUTH, whole, f"{mechanism.name} ***")
        waiting = encoded[1:]
    else:
        status = yield Step(Verb.AUTH, name)
        waiting = encoded
        if not status.is_challenge and not status.is_ok:
            if status.code:
                raise login_fault(status.code, status.text)
            if not is_short or not credentials.is_token:
                return False
            # No secret was sent yet: the server may want it in the command.
            status = yield Step(Verb.AUTH, whole, f"{mechanism.name} ***")
            waiting = encoded[1:]
    for line in (*waiting, *mechanism.after_error):
        if not status.is_challenge:
            break
        status = yield Step(Verb.RESPONSE, line, "***")
    if status.is_challenge:
        status = yield Step(Verb.RESPONSE, _CANCEL)
        raise local_fault(FaultKind.PROTOCOL, Reason(ReasonCode.LOGIN_EXTRA_CHALLENGE))
    if not status.is_ok:
        raise login_fault(status.code, status.text)
    return True


def _apop(credentials: Credentials, stamp: str) -> Script:
    digest = hashlib.md5((stamp + credentials.secret).encode(), usedforsecurity=False).hexdigest()
    argument = f"{credentials.username} {digest}".encode()
    status = yield Step(Verb.APOP, argument, f"{credentials.username} ***")
    if not status.is_ok:
        raise login_fault(status.code, status.text)


def _user_and_pass(
    credentials: Credentials, capabilities: Capabilities, *, is_utf8: bool
) -> Script:
    if not capabilities.user:
        raise _no_mechanism(capabilities)
    if not (is_utf8 or (credentials.username + credentials.secret).isascii()):
        raise local_fault(FaultKind.UNAVAILABLE, Reason(ReasonCode.LOGIN_NOT_ASCII))
    status = yield Step(Verb.USER, credentials.username.encode())
    if status.is_ok:
        status = yield Step(Verb.PASS, credentials.secret.encode(), "***")
    if not status.is_ok:
        raise login_fault(status.code, status.text)


def _no_mechanism(capabilities: Capabilities) -> Pop3FaultError:
    offered = " ".join(sorted(capabilities.sasl)) or "none"
    reason = Reason(ReasonCode.LOGIN_NO_MECHANISM, offered=offered)
    return local_fault(FaultKind.UNAVAILABLE, reason)

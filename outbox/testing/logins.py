"""AUTH on the server (RFC 4954): PLAIN, LOGIN, CRAM-MD5, XOAUTH2, OAUTHBEARER.

A line in, a reply out. It checks one user and password, or tokens, or accepts any.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass

Steps = Generator[str, str, tuple[str, str]]
"""Yields challenges, is sent responses, returns the user and the secret."""

WELCOME = "235 2.7.0 Welcome"
WRONG = "535 5.7.8 User name or password is wrong"


def _plain() -> Steps:
    response = yield ""
    _, user, password = response.split("\0")
    return user, password


def _login() -> Steps:
    user = yield "Username:"
    password = yield "Password:"
    return user, password


def _cram_md5() -> Steps:
    challenge = f"<{secrets.token_hex(8)}@mail.localhost>"
    response = yield challenge
    user, _, digest = response.rpartition(" ")
    return user, f"{challenge} {digest}"


def _xoauth2() -> Steps:
    response = yield ""
    fields = dict(part.split("=", 1) for part in response.split("\1") if part)
    return fields["user"], fields["auth"].removeprefix("Bearer ")


def _oauthbearer() -> Steps:
    response = yield ""
    gs2, *parts = response.split("\1")
    fields = dict(part.split("=", 1) for part in parts if part)
    user = gs2.split(",")[1].removeprefix("a=").replace("=2C", ",").replace("=3D", "=")
    return user, fields["auth"].removeprefix("Bearer ")


_MECHANISMS = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "XOAUTH2": _xoauth2,
    "OAUTHBEARER": _oauthbearer,
}
TOKEN_MECHANISMS = frozenset({"XOAUTH2", "OAUTHBEARER"})


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """How a server checks access tokens, and what it replies to a wrong one."""

    is_current: Callable[[str, str], bool]  # user and token
    reply: str = WRONG
    challenge: str = ""  # sent before the reply (RFC 7628 3.2.2); empty: the reply comes at once


class Exchange:
    """One AUTH exchange."""

    def __init__(
        self, mechanism: str, login: tuple[str, str] | None, tokens: TokenCheck | None = None
    ) -> None:
        self.user = ""
        self._tokens = tokens
        self._is_refused = False  # the challenge with the reason was sent
        self._mechanism = mechanism
        self._login = login
        self._steps: Steps | None = None

    def step(self, response: str | None) -> str:
        """Return the reply to a base64 response; None is AUTH without an initial response."""
        if self._mechanism not in _MECHANISMS:
            return "504 5.5.4 Unknown mechanism"
        if self._steps is None:
            self._steps = _MECHANISMS[self._mechanism]()
            challenge = next(self._steps)
            if response is None:
                return f"334 {_encode(challenge)}"
        return self._respond(self._steps, response)

    def _respond(self, steps: Steps, response: str | None) -> str:
        if self._is_refused and self._tokens is not None:
            return self._tokens.reply  # whatever the client responds to the challenge
        if response is None or response == "*":
            return "501 5.7.0 Cancelled"
        try:
            challenge = steps.send(_decode(response))
        except StopIteration as stop:
            return self._judge(*stop.value)
        except (ValueError, KeyError):
            return "501 5.5.2 Cannot decode the response"
        return f"334 {_encode(challenge)}"

    def _judge(self, user: str, secret: str) -> str:
        self.user = user
        if self._tokens is not None:
            return self._judge_token(self._tokens, user, secret)
        if self._login is None:
            return WELCOME
        expected_user, expected = self._login
        if self._mechanism == "CRAM-MD5":
            challenge = secret.partition(" ")[0]
            digest = hmac.new(expected.encode(), challenge.encode(), hashlib.md5).hexdigest()
            expected = f"{challenge} {digest}"
        return WELCOME if (user, secret) == (expected_user, expected) else WRONG

    def _judge_token(self, tokens: TokenCheck, user: str, token: str) -> str:
        if self._mechanism in TOKEN_MECHANISMS and tokens.is_current(user, token):
            return WELCOME
        if self._mechanism not in TOKEN_MECHANISMS or not tokens.challenge:
            return tokens.reply
        self._is_refused = True
        return f"334 {_encode(tokens.challenge)}"


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    if text == "=":  # RFC 4954 4: an empty initial response
        return ""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not base64 of UTF-8") from error

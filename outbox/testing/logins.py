"""The server's side of AUTH (RFC 4954): PLAIN, LOGIN, CRAM-MD5, XOAUTH2; a line in, a reply out.

It checks against one user and password, or takes anyone; it keeps no accounts.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Generator

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


_MECHANISMS = {"PLAIN": _plain, "LOGIN": _login, "CRAM-MD5": _cram_md5, "XOAUTH2": _xoauth2}


class Exchange:
    """One AUTH exchange."""

    def __init__(self, mechanism: str, login: tuple[str, str] | None) -> None:
        self.user = ""
        self._mechanism = mechanism
        self._login = login
        self._steps: Steps | None = None

    def step(self, response: str | None) -> str:
        """Return the reply to a response in base64; None stands for AUTH without an initial one."""
        if self._steps is None:
            if self._mechanism not in _MECHANISMS:
                return "504 5.5.4 I do not know that mechanism"
            self._steps = _MECHANISMS[self._mechanism]()
            challenge = next(self._steps)
            if response is None:
                return f"334 {_encode(challenge)}"
        if response is None or response == "*":
            return "501 5.7.0 Given up"
        try:
            challenge = self._steps.send(_decode(response))
        except StopIteration as stop:
            return self._judge(*stop.value)
        except (ValueError, KeyError):
            return "501 5.5.2 I cannot read that"
        return f"334 {_encode(challenge)}"

    def _judge(self, user: str, secret: str) -> str:
        self.user = user
        if self._login is None:
            return WELCOME
        expected_user, expected = self._login
        if self._mechanism == "CRAM-MD5":
            challenge = secret.partition(" ")[0]
            digest = hmac.new(expected.encode(), challenge.encode(), hashlib.md5).hexdigest()
            expected = f"{challenge} {digest}"
        return WELCOME if (user, secret) == (expected_user, expected) else WRONG


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    if text == "=":  # RFC 4954 4: an initial response of nothing
        return ""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not base64 of UTF-8") from error

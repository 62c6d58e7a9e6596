"""Which mechanism is tried after which rejection, and challenges that deviate from RFC 4954."""

import base64
import hmac
from dataclasses import replace

import pytest

from outbox.smtp import FaultKind, Phase
from tests.unit.smtp.test_handshake import EXTENSIONS, LOGIN, PLAIN_LINE, b64, fail, play

USER, PASSWORD = b64("ann"), b64("s3cret-word")
BY_LOGIN = f"""
C: AUTH LOGIN
S: 334 {b64("Username:")}
C: {USER}
S: 334 {b64("Password:")}
C: {PASSWORD}
S: 235 2.7.0 welcome
"""
WITHOUT_INITIAL = f"C: AUTH PLAIN\nS: 334\nC: {PLAIN_LINE.split()[-1]}\n"


@pytest.mark.parametrize(
    "rejection",
    [
        "500 5.5.1 unknown command",
        "500 5.5.6 line too long",
        "502 5.5.1 not implemented",
        "503 5.5.1 not available",
        "503 bad sequence of commands",
        "504 5.5.4 unrecognized authentication type",
        "504 5.7.4 unrecognized authentication type",
        "534 5.7.9 authentication mechanism is too weak",
        "538 5.7.11 encryption required for this mechanism",
        "500 what",
        "502",
        "504",
        "534",
        "538",
        # The enhanced code decides before the basic one.
        "535 5.7.9 mechanism too weak",
        "535 5.7.4 security features not supported",
        "550 5.7.11 needs encryption",
        "554 5.5.4 unrecognized authentication type",
        "550 5.3.3 not capable",
        "504 4.5.4 of another class",
        "504-not\nS: 504 5.5.4 this one",
    ],
)
def test_the_next_mechanism_is_tried_when_the_first_is_rejected(rejection: str) -> None:
    """Protocol item 43: RFC 4954 6, and what servers reply in practice."""
    dialogue = f"C: {PLAIN_LINE}\nS: {rejection}\n{BY_LOGIN}"
    assert play(LOGIN, EXTENSIONS.format("PLAIN LOGIN") + dialogue).auth_mechanism == "LOGIN"


@pytest.mark.parametrize(
    "rejection",
    [
        "535 5.7.8 wrong",
        "535 wrong",
        "535 5.7.3 authentication unsuccessful",
        "535 5.7.139 disabled for the tenant",
        "535 5.7.0 no",
        "535 5.5.4 no",
        "525 5.7.13 account disabled",
        "534 5.7.14 log in via your browser",
        "550 5.7.30 basic authentication is not supported",
        "550 5.1.1 no such user",
        "504 5.7.8 wrong",
        "432 4.7.12 a password transition is needed",
        "432 expired",
        "454 4.7.12 a password transition is needed",
    ],
)
def test_a_rejected_password_is_not_sent_again(rejection: str) -> None:
    """Protocol item 46: repeated failures lock accounts."""
    fault = fail(LOGIN, EXTENSIONS.format("PLAIN LOGIN") + f"C: {PLAIN_LINE}\nS: {rejection}")
    assert (fault.phase, fault.kind) == (Phase.AUTH, FaultKind.AUTH_REJECTED)


@pytest.mark.parametrize(
    "rejection",
    [
        "432 4.3.2 Concurrent connections limit exceeded",
        "454 4.7.0 temporary authentication failure",
        "451 4.3.0 later",
        "454 4.7.8 later",
        "454",
        "421 4.3.2 too many connections",
        # 5yz about the system says nothing about the password.
        "535 5.3.2 system not accepting messages",
        "550 5.4.5 congestion",
        "554 5.3.0 the directory is down",
        "535 4.3.2 too many connections",
    ],
)
def test_a_server_that_cannot_check_logins_now_does_not_reject_the_login(rejection: str) -> None:
    """Protocol item 43."""
    fault = fail(LOGIN, EXTENSIONS.format("PLAIN LOGIN") + f"C: {PLAIN_LINE}\nS: {rejection}")
    assert fault.kind in {FaultKind.AUTH_TEMPORARY, FaultKind.SHUTDOWN}


def test_a_mechanism_that_is_too_weak_explains_more_than_an_unknown_one() -> None:
    fault = fail(
        LOGIN,
        EXTENSIONS.format("PLAIN LOGIN")
        + f"C: {PLAIN_LINE}\nS: 534 5.7.9 use an app password\nC: AUTH LOGIN\nS: 504 what",
    )
    assert fault.kind is FaultKind.AUTH_REJECTED
    assert str(fault.reply) == "534 5.7.9 use an app password"


def test_every_mechanism_is_tried_once() -> None:
    fault = fail(
        LOGIN,
        EXTENSIONS.format("CRAM-MD5 LOGIN PLAIN")
        + f"C: {PLAIN_LINE}\nS: 504 no\nC: AUTH LOGIN\nS: 504 no\nC: AUTH CRAM-MD5\nS: 504 no",
    )
    assert (fault.phase, fault.kind) == (Phase.AUTH, FaultKind.AUTH_UNAVAILABLE)


def test_the_reply_after_a_cancelled_mechanism_is_followed_by_the_next() -> None:
    """Protocol item 42."""
    facts = play(
        replace(LOGIN, username="tim", secret="tanstaaftanstaaf"),
        EXTENSIONS.format("PLAIN CRAM-MD5")
        + f"""
        C: AUTH PLAIN {b64(chr(0) + "tim" + chr(0) + "tanstaaftanstaaf")}
        S: 334 {b64("more?")}
        C: {b64(chr(0) + "tim" + chr(0) + "tanstaaftanstaaf")}
        S: 334 {b64("more?")}
        C: *
        S: 501 5.7.0 cancelled
        C: AUTH CRAM-MD5
        S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
        C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw
        S: 235 welcome
        """,
    )
    assert facts.auth_mechanism == "CRAM-MD5"


@pytest.mark.parametrize("rejection", ["501 5.5.4 syntax error", "501 no initial response", "501"])
def test_an_initial_response_that_is_rejected_is_sent_as_a_response(rejection: str) -> None:
    """RFC 4954 4: servers older than that know no initial response."""
    dialogue = f"C: {PLAIN_LINE}\nS: {rejection}\n{WITHOUT_INITIAL}S: 235 welcome"
    assert play(LOGIN, EXTENSIONS.format("PLAIN") + dialogue).auth_mechanism == "PLAIN"


def test_the_next_mechanism_follows_where_that_is_rejected_too() -> None:
    dialogue = f"C: {PLAIN_LINE}\nS: 501 no\nC: AUTH PLAIN\nS: 501 no\n{BY_LOGIN}"
    assert play(LOGIN, EXTENSIONS.format("PLAIN LOGIN") + dialogue).auth_mechanism == "LOGIN"


def test_a_password_that_is_rejected_after_that_is_not_sent_again() -> None:
    dialogue = f"C: {PLAIN_LINE}\nS: 501 no\n{WITHOUT_INITIAL}S: 535 wrong"
    fault = fail(LOGIN, EXTENSIONS.format("PLAIN LOGIN") + dialogue)
    assert fault.kind is FaultKind.AUTH_REJECTED


@pytest.mark.parametrize("challenge", ["334", "334 ", "334 =", "334 Go on", "334 VXNlcm5hbWU6"])
def test_a_server_that_ignores_the_initial_response_gets_it_as_a_response(challenge: str) -> None:
    dialogue = f"C: {PLAIN_LINE}\nS: {challenge}\nC: {PLAIN_LINE.split()[-1]}\nS: 235 welcome"
    assert play(LOGIN, EXTENSIONS.format("PLAIN") + dialogue).auth_mechanism == "PLAIN"


@pytest.mark.parametrize(
    "challenges",
    [
        ("334 Username:", "334 Password:"),
        ("334", "334"),
        ("334 ", "334 "),
        ("334 VXNlcm5h bWU6", "334\tUGFzc3dvcmQ6"),
        ("334 VXNlcm5hbWU6==", "334 UGFzc3dvcmQ"),
        ("334-enter\nS: 334 VXNlcm5hbWU6", "334 !!!"),
        ("334 Ünser Name?", "334 \x01"),
    ],
)
def test_the_questions_of_login_may_be_anything(challenges: tuple[str, str]) -> None:
    """Protocol item 41: their order is fixed, and their text is not read."""
    user, password = challenges
    play(
        LOGIN,
        EXTENSIONS.format("LOGIN")
        + f"C: AUTH LOGIN\nS: {user}\nC: {USER}\nS: {password}\nC: {PASSWORD}\nS: 235 welcome",
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f" {text[:20]} {text[20:]}  ",
        lambda text: text,
        lambda text: f"{text}==",
        lambda text: f'"{text}"',
        lambda text: f"<{text}=>",
        lambda text: f"{text}\0",
    ],
)
def test_a_challenge_may_have_spaces_and_lack_its_padding(change: "object") -> None:
    challenge = base64.b64encode(b"<1896.697170952@postoffice.reston.mci.net>").decode().rstrip("=")
    assert callable(change)
    play(
        replace(LOGIN, username="tim", secret="tanstaaftanstaaf"),
        EXTENSIONS.format("CRAM-MD5")
        + f"""
        C: AUTH CRAM-MD5
        S: 334 {change(challenge)}
        C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw
        S: 235 welcome
        """,
    )


@pytest.mark.parametrize("size", [3_000, 9_000])
def test_a_long_challenge_is_read_as_a_whole(size: int) -> None:
    """RFC 4954 4: up to 12,288 octets. Its digest decides, so nothing of it may be missing."""
    challenge = bytes(range(256)) * (size // 256)
    digest = hmac.new(b"s3cret-word", challenge, "md5").hexdigest()
    encoded = base64.urlsafe_b64encode(challenge).decode()
    play(
        LOGIN,
        EXTENSIONS.format("CRAM-MD5")
        + f"C: AUTH CRAM-MD5\nS: 334 {encoded}\nC: {b64(f'ann {digest}')}\nS: 235 welcome",
    )


@pytest.mark.parametrize("reply", ["334 x", "354 x", "250-a\nS: 550 b"])
def test_no_command_follows_a_cancelled_exchange_that_goes_on(reply: str) -> None:
    """Another AUTH within the exchange would be read as a response."""
    asked = f"S: 334 {b64('more?')}\n"
    dialogue = f"C: {PLAIN_LINE}\n{asked}C: {PLAIN_LINE.split()[-1]}\n{asked}C: *\nS: {reply}"
    fault = fail(LOGIN, EXTENSIONS.format("PLAIN LOGIN") + dialogue)
    assert fault.phase is Phase.AUTH


@pytest.mark.parametrize("echo", [PASSWORD, USER, PLAIN_LINE.split()[-1], "s3cret-word"])
def test_no_secret_of_any_mechanism_is_in_the_fault(echo: str) -> None:
    """Protocol item 45: also where several mechanisms were tried."""
    by_login = BY_LOGIN.replace("235 2.7.0 welcome", f"535 5.7.8 {echo} is wrong")
    fault = fail(
        LOGIN, EXTENSIONS.format("PLAIN LOGIN") + f"C: {PLAIN_LINE}\nS: 504 no\n{by_login}"
    )
    assert echo not in str(fault.reply)

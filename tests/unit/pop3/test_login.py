"""The login, against servers that know different mechanisms (protocol items 138 and 139)."""

import base64
import hashlib

import pytest

from outbox.pop3.capabilities import Capabilities
from outbox.pop3.faults import FaultKind, Pop3FaultError
from outbox.pop3.login import Credentials, Script, Step, login
from outbox.pop3.responses import parse_status

PASSWORD = Credentials("anna", "secret")
TOKEN = Credentials("anna@near.test", "t0ken", is_token=True)
BEARER = base64.b64encode(b"user=anna@near.test\x01auth=Bearer t0ken\x01\x01").decode()
PLAIN = base64.b64encode(b"\0anna\0secret").decode()


def sasl(*names: str) -> Capabilities:
    return Capabilities(is_known=True, sasl=frozenset(names))


def dialogue(script: Script, *responses: str) -> list[str]:
    """Return what the client sends; the server sends the responses, one after each command."""
    sent: list[str] = []
    waiting = list(responses)
    try:
        step = next(script)
        while True:
            sent.append(_line(step))
            step = script.send(parse_status(waiting.pop(0).encode()))
    except StopIteration:
        assert waiting == []
    return sent


def _line(step: Step) -> str:
    verb = "" if step.verb == "response" else f"{step.verb} "
    return f"{verb}{step.argument.decode()}".rstrip()


def refused(script: Script, *responses: str) -> Pop3FaultError:
    with pytest.raises(Pop3FaultError) as raised:
        dialogue(script, *responses)
    return raised.value


def test_user_and_pass_where_no_mechanism_is_announced() -> None:
    script = login(PASSWORD, Capabilities(), "", is_secured=True)
    assert dialogue(script, "+OK", "+OK") == ["USER anna", "PASS secret"]


def test_plain_waits_for_the_challenge() -> None:
    script = login(PASSWORD, sasl("LOGIN", "PLAIN"), "", is_secured=True)
    assert dialogue(script, "+ ", "+OK") == ["AUTH PLAIN", PLAIN]


def test_login_sends_name_and_password() -> None:
    script = login(PASSWORD, sasl("LOGIN"), "", is_secured=True)
    assert dialogue(script, "+ VXNlcm5hbWU6", "+ UGFzc3dvcmQ6", "+OK") == [
        "AUTH LOGIN", "YW5uYQ==", "c2VjcmV0",
    ]  # fmt: skip


def test_a_mechanism_that_the_server_does_not_know_is_followed_by_the_next() -> None:
    script = login(PASSWORD, sasl("PLAIN"), "", is_secured=True)
    assert dialogue(script, "-ERR unknown", "+OK", "+OK") == [
        "AUTH PLAIN",
        "USER anna",
        "PASS secret",
    ]


def test_a_rejected_password_is_not_sent_again() -> None:
    fault = refused(login(PASSWORD, sasl("PLAIN", "LOGIN"), "", is_secured=True), "+ ", "-ERR no")
    assert (fault.kind, fault.needs_person) == (FaultKind.LOGIN, False)


def test_apop_only_if_it_is_allowed() -> None:
    stamp = "<1.2@far.test>"
    digest = hashlib.md5(b"<1.2@far.test>secret", usedforsecurity=False).hexdigest()
    allowed = Credentials("anna", "secret", allows_apop=True)
    assert dialogue(login(allowed, Capabilities(), stamp, is_secured=True), "+OK") == [
        f"APOP anna {digest}"
    ]
    script = login(PASSWORD, Capabilities(), stamp, is_secured=True)
    assert dialogue(script, "+OK", "+OK")[0] == "USER anna"


def test_a_token_is_sent_after_the_challenge_or_with_the_command() -> None:
    script = login(TOKEN, sasl("XOAUTH2"), "", is_secured=True)
    assert dialogue(script, "+ ", "+OK") == ["AUTH XOAUTH2", BEARER]
    initial = Credentials("anna@near.test", "t0ken", is_token=True, sends_initial_token=True)
    script = login(initial, sasl("XOAUTH2"), "", is_secured=True)
    assert dialogue(script, "+OK") == [f"AUTH XOAUTH2 {BEARER}"]


def test_a_server_that_wants_the_token_in_the_command_gets_it_there() -> None:
    script = login(TOKEN, Capabilities(), "", is_secured=True)
    assert dialogue(script, "-ERR missing argument", "+OK") == [
        "AUTH XOAUTH2", f"AUTH XOAUTH2 {BEARER}",
    ]  # fmt: skip


def test_a_long_token_is_never_sent_with_the_command() -> None:
    long = Credentials("anna", "t" * 400, is_token=True, sends_initial_token=True)
    assert (
        dialogue(login(long, Capabilities(), "", is_secured=True), "+ ", "+OK")[0] == "AUTH XOAUTH2"
    )


def test_the_error_of_a_rejected_token_is_acknowledged() -> None:
    script = login(TOKEN, sasl("XOAUTH2"), "", is_secured=True)
    fault = refused(script, "+ ", "+ eyJzdGF0dXMiOiI0MDAifQ==", "-ERR [AUTH] token expired")
    assert (fault.kind, fault.needs_person, fault.text) == (
        FaultKind.CREDENTIALS, True, "[AUTH] token expired",
    )  # fmt: skip


def test_an_unexpected_challenge_is_cancelled() -> None:
    script = login(PASSWORD, sasl("PLAIN"), "", is_secured=True)
    sent: list[str] = [_line(next(script)), _line(script.send(parse_status(b"+ ")))]
    sent.append(_line(script.send(parse_status(b"+ more"))))
    assert sent == ["AUTH PLAIN", PLAIN, "*"]
    with pytest.raises(Pop3FaultError):
        script.send(parse_status(b"-ERR cancelled"))


@pytest.mark.parametrize(
    ("response", "kind", "delay"),
    [
        ("-ERR [IN-USE] locked", FaultKind.BUSY, 0),
        ("-ERR [LOGIN-DELAY 300] wait", FaultKind.WAIT, 300),
        ("-ERR [LOGIN-DELAY] wait", FaultKind.WAIT, 60),
        ("-ERR [SYS/TEMP] disk", FaultKind.WAIT, 0),
        ("-ERR [SYS/PERM] closed", FaultKind.ACCOUNT, 0),
        ("-ERR [AUTH] wrong", FaultKind.CREDENTIALS, 0),
        ("-ERR no", FaultKind.LOGIN, 0),
    ],
)
def test_the_response_code_says_what_to_do(response: str, kind: FaultKind, delay: int) -> None:
    fault = refused(login(PASSWORD, Capabilities(), "", is_secured=True), "+OK", response)
    assert (fault.kind, fault.delay) == (kind, delay)


def test_nothing_is_sent_without_tls_unless_it_is_allowed() -> None:
    fault = refused(login(PASSWORD, Capabilities(), "", is_secured=False))
    assert fault.kind is FaultKind.UNAVAILABLE
    local = Credentials("anna", "secret", allows_plain_text=True)
    assert dialogue(login(local, Capabilities(), "", is_secured=False), "+OK", "+OK")


@pytest.mark.parametrize(
    "credentials",
    [Credentials("a\r\nb", "c"), Credentials("a", "b\nc"), Credentials("a", "b\0c")],
)
def test_no_login_contains_a_line_break(credentials: Credentials) -> None:
    script = login(credentials, Capabilities(), "", is_secured=True)
    assert refused(script).kind is FaultKind.CREDENTIALS


def test_a_name_outside_ascii_needs_sasl() -> None:
    script = login(Credentials("ännä", "x"), Capabilities(), "", is_secured=True)
    assert refused(script).kind is FaultKind.UNAVAILABLE


def test_no_secret_is_in_what_is_shown() -> None:
    for credentials, capabilities in ((PASSWORD, sasl("LOGIN")), (TOKEN, sasl("XOAUTH2"))):
        assert credentials.secret not in repr(credentials)
        script = login(credentials, capabilities, "", is_secured=True)
        next(script)
        assert script.send(parse_status(b"+ ")).shown == "***"

"""The IMAP client against servers that misbehave; `test_real_servers.py` has a correct one."""

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from outbox.inbound.mail_server import (
    LoginRefusedError,
    LoginUnclearError,
    MailboxBusyError,
    MailServer,
    MailServerError,
    MailServerUnusableError,
    MessageRefusedError,
    MessageTooLargeError,
    QuitRefusedError,
    StoppedError,
    TemporaryError,
    Timeouts,
    open_mail_server,
    open_sent_folder,
)
from outbox.reasons import ReasonCode
from tests.integration.mailservers.client import OPENED, PASSWORD, QUICK, login_to, scripted

GREETING = b"* OK ready\r\n"
Step = tuple[bytes, bytes]


def capability(words: str = "") -> Step:
    return b"CAPABILITY", f"* CAPABILITY IMAP4rev1 {words}\r\nTAG OK done\r\n".encode()


LOGIN: Step = (b"LOGIN", b"TAG OK in\r\n")
SELECT: Step = (
    b"SELECT",
    b"* 2 EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\nTAG OK [READ-WRITE] selected\r\n",
)
SEARCH: Step = (b"SEARCH", b"* SEARCH 5 9\r\nTAG OK done\r\n")
SIZES: Step = (
    b"RFC822.SIZE",
    b"* 1 FETCH (UID 5 RFC822.SIZE 9)\r\n* 2 FETCH (UID 9 RFC822.SIZE 9)\r\nTAG OK done\r\n",
)
OPENING = (capability(), LOGIN, capability())
LISTED = (*OPENING, SELECT, SEARCH)


@contextmanager
def session(*script: Step, **changes: Any) -> Iterator[MailServer]:
    with scripted(GREETING, script) as port:
        server = open_mail_server(login_to(port, protocol="imap", **changes), timeouts=QUICK)
        OPENED.append(server)
        yield server
        server.abandon()


@contextmanager
def closing(expected: bytes, script: Sequence[Step], last: bytes = b"") -> Iterator[int]:
    """Serve a script, and close the connection when a command arrives after it."""
    with scripted(GREETING, [*script, (expected, last)], closes=True) as port:
        yield port


def failure(script: Sequence[Step], greeting: bytes = GREETING, **changes: Any) -> MailServerError:
    with scripted(greeting, script) as port, pytest.raises(MailServerError) as raised:
        open_mail_server(login_to(port, protocol="imap", **changes), timeouts=QUICK)
    return raised.value


def test_unique_ids_contain_the_validity_of_the_mailbox() -> None:
    with session(*LISTED) as server:
        assert [listed.uid for listed in server.messages()] == ["77:5", "77:9"]


@pytest.mark.parametrize(
    ("greeting", "script", "code"),
    [
        (GREETING, [capability()], ReasonCode.STARTTLS_MISSING),
        (b"* PREAUTH in\r\n", [capability("STARTTLS")], ReasonCode.STARTTLS_MISSING),
        (
            GREETING,
            [capability("STARTTLS"), (b"STARTTLS", b"TAG NO not now\r\n")],
            ReasonCode.STARTTLS_REJECTED,
        ),
        (
            GREETING,
            [capability("STARTTLS"), (b"STARTTLS", b"TAG OK go\r\n* OK injected\r\n")],
            ReasonCode.STARTTLS_INJECTION,
        ),
    ],
    ids=["missing", "preauth", "rejected", "injection"],
)
def test_no_login_is_sent_without_the_required_tls(
    greeting: bytes, script: Sequence[Step], code: ReasonCode
) -> None:
    error = failure(script, greeting, security="starttls")
    assert (type(error), error.reason.code) == (TemporaryError, code)


def test_no_password_is_sent_in_plain_text() -> None:
    error = failure([capability()], allows_plain_text=False)
    assert error.reason.code == ReasonCode.LOGIN_WITHOUT_TLS


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"NO [AUTHENTICATIONFAILED] wrong", LoginRefusedError),
        (b"NO [UNAVAILABLE] later", TemporaryError),
        (b"NO [INUSE] busy", MailboxBusyError),
        (b"NO no", LoginUnclearError),
        (b"NO [ALERT] maintenance tonight", LoginUnclearError),
        (b"BAD what", LoginUnclearError),
    ],
)
def test_the_reply_to_the_login_says_what_to_do(reply: bytes, error: type[MailServerError]) -> None:
    found = failure([capability(), (b"LOGIN", b"TAG " + reply + b"\r\n")])
    assert type(found) is error
    assert reply.partition(b" ")[2].decode() in str(found)


@pytest.mark.parametrize("last", [b"", b"* BYE too many failures\r\n"])
def test_a_connection_that_is_closed_after_the_password(last: bytes) -> None:
    """The server may reject the password by that: more attempts could lock the account."""
    with closing(b"LOGIN", (capability(),), last) as port, pytest.raises(LoginUnclearError):
        open_mail_server(login_to(port, protocol="imap"), timeouts=QUICK)


def test_a_connection_that_is_closed_before_the_password() -> None:
    script = (capability("AUTH=PLAIN"),)
    with closing(b"AUTHENTICATE", script) as port, pytest.raises(TemporaryError) as raised:
        open_mail_server(login_to(port, protocol="imap"), timeouts=QUICK)
    assert type(raised.value) is TemporaryError


def test_no_reason_repeats_the_password() -> None:
    reply = f"TAG NO {PASSWORD} is wrong\r\n".encode()
    error = failure([capability(), (b"LOGIN", reply)])
    assert PASSWORD not in str(error)
    assert "is wrong" in str(error)


def test_a_rejected_token_is_acknowledged_and_never_sent_twice() -> None:
    script = [
        capability("AUTH=XOAUTH2"),
        (b"AUTHENTICATE XOAUTH2", b"+ \r\n"),
        (b"\r\n", b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"),
        (b"\r\n", b"TAG NO [AUTHENTICATIONFAILED] expired\r\n"),
    ]
    received: list[bytes] = []
    with scripted(GREETING, script, received) as port:
        login = login_to(port, protocol="imap", is_token=True, password="t0ken-value")
        with pytest.raises(LoginRefusedError, match="expired"):
            open_mail_server(login, timeouts=QUICK)
    assert received[-1] == b"\r\n"


def test_a_line_break_in_a_login_is_rejected_before_connecting() -> None:
    with pytest.raises(LoginRefusedError):
        open_mail_server(login_to(1, protocol="imap", username="a\r\nb"))


@pytest.mark.parametrize("username", ['a"b', "a b"])
def test_a_name_is_one_argument(username: str) -> None:
    quoted = username.replace('"', '\\"')
    script = [
        capability(),
        (f'LOGIN "{quoted}" "'.encode(), b"TAG NO [AUTHENTICATIONFAILED] no\r\n"),
    ]
    assert isinstance(failure(script, username=username), LoginRefusedError)


@pytest.mark.parametrize(
    "reply",
    [
        b"* 1 FETCH (UID 5 BODY[]<0> {99999999999}\r\n",
        b"* 1 FETCH (UID 5 BODY[]<0> {4}\r\nab\r\n)\r\n* 2 FETCH (\r\nTAG OK done\r\n",
        b"* 1 FETCH ((((UID\r\nTAG OK done\r\n",
        b"* BYE gone\r\n",
        b"what is this\r\n",
    ],
    ids=["literal", "unbalanced", "nested", "bye", "garbage"],
)
def test_an_invalid_response_ends_the_session(reply: bytes) -> None:
    with session(*LISTED, SIZES, (b"BODY.PEEK", reply)) as server:
        server.messages()
        with pytest.raises(TemporaryError) as raised:
            list(server.retrieve_many([0, 1], 1_000))
    assert raised.value.reason.code == ReasonCode.RESPONSE_INVALID


def test_a_message_with_a_wrong_size_and_one_that_is_gone() -> None:
    long = b"x" * 1_001
    reply = b"* 1 FETCH (UID 5 BODY[]<0> {1001}\r\n" + long + b")\r\nTAG OK done\r\n"
    with session(*LISTED, SIZES, (b"BODY.PEEK[]<0.1001>", reply)) as server:
        found = dict(server.retrieve_many([0, 1], 1_000))
    assert isinstance(found[0], MessageTooLargeError)
    assert isinstance(found[1], MessageRefusedError)


def test_messages_with_wrong_sizes_exceed_the_limit_of_a_response() -> None:
    limit = 20_000_000
    literal = b"* 1 FETCH (UID 5 BODY[]<0> {60000000}\r\n"  # more than one message and the rest
    with session(*LISTED, SIZES, (b"BODY.PEEK", literal)) as server:
        server.messages()
        with pytest.raises(TemporaryError, match="too many bytes") as raised:
            next(server.retrieve_many([0, 1], limit))
    assert raised.value.indexes == (0, 1)


def test_a_listing_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.inbound.imap_server.LISTING_MAX", 1)
    with session(*LISTED) as server, pytest.raises(TemporaryError, match="more than 1 message"):
        server.messages()


def test_no_message_counts_as_deleted_if_expunge_fails() -> None:
    script = [
        *LISTED,
        (b"STORE 5", b"TAG OK done\r\n"),
        (b"SEARCH", b"* SEARCH 5\r\nTAG OK done\r\n"),
    ]
    with session(*script, (b"EXPUNGE", b"TAG NO read-only\r\n")) as server:
        server.delete(0)
        with pytest.raises(QuitRefusedError, match="read-only"):
            server.quit()


def test_without_uidplus_it_expunges_no_message_of_another_program() -> None:
    script = [
        *LISTED,
        (b"STORE 5", b"TAG OK done\r\n"),
        (b"SEARCH", b"* SEARCH 3 5\r\nTAG OK done\r\n"),
    ]
    with session(*script, (b"LOGOUT", b"* BYE\r\nTAG OK done\r\n")) as server:
        server.delete(0)
        server.quit()


def test_a_mailbox_without_a_folder_for_sent_messages() -> None:
    nothing = (b"LIST", b"TAG OK done\r\n")
    script = [capability(), LOGIN, nothing, capability(), *[nothing] * 12]
    with scripted(GREETING, script) as port, pytest.raises(MailServerError) as raised:
        open_sent_folder(login_to(port, protocol="imap"), timeouts=QUICK)
    assert raised.value.reason.code == ReasonCode.SENT_FOLDER_MISSING
    assert isinstance(raised.value, MailServerUnusableError)


def test_a_rejected_copy_is_reported() -> None:
    folder = (b"LIST", b'* LIST (\\Sent) "/" "Sent Items"\r\nTAG OK done\r\n')
    script = [capability(), LOGIN, folder, (b"APPEND", b"TAG NO [OVERQUOTA] full\r\n")]
    with scripted(GREETING, script) as port:
        sent = open_sent_folder(login_to(port, protocol="imap"), timeouts=QUICK)
        with pytest.raises(MessageRefusedError, match="OVERQUOTA"):
            sent.append(b"a", dt.datetime.now(dt.UTC))
        sent.close()


def test_each_wait_ends_in_time() -> None:
    began = monotonic()
    with scripted(GREETING, [capability(), (b"LOGIN", b"* OK wait\r\n")]) as port:
        login = login_to(port, protocol="imap")
        with pytest.raises(TemporaryError) as raised:
            open_mail_server(login, timeouts=Timeouts(line=0.5, response=5))
    assert raised.value.reason.code == ReasonCode.SERVER_TIMEOUT
    assert monotonic() - began < 5


def test_a_stop_ends_the_session_at_once() -> None:
    stop = threading.Event()
    with scripted(GREETING, [capability(), (b"LOGIN", b"* OK wait\r\n")]) as port:
        login = login_to(port, protocol="imap")
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(StoppedError):
            open_mail_server(login, timeouts=Timeouts(line=60), stop=stop)

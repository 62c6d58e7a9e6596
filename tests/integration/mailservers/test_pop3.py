"""The POP3 client against a scripted server: each test names its items of docs/protocol.md."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from outbox.inbound.mail_server import (
    LoginRefusedError,
    LoginUnclearError,
    MailboxBusyError,
    MailServerError,
    MailServerUnusableError,
    MessageRefusedError,
    MessageTooLargeError,
    QuitRefusedError,
    StoppedError,
    TemporaryError,
    Timeouts,
    open_mail_server,
)
from outbox.reasons import ReasonCode
from outbox.testing.pop3_dialogue import SAMPLES
from outbox.testing.pop3_lab import Pop3Lab
from outbox.testing.pytest_plugin import StartPop3Lab
from tests.integration.mailservers.client import (
    LIMIT,
    PASSWORD,
    QUICK,
    USER,
    fetch,
    login_at,
    login_to,
    scripted,
    session_at,
)

CHANGED = Timeouts(connect=2, tls=2, line=0.5, response=20, session=30, quit=0.5)


def failure(lab: Pop3Lab, timeouts: Timeouts = QUICK, **changes: Any) -> MailServerError:
    with pytest.raises(MailServerError) as raised:
        session_at(lab, timeouts, **changes)
    return raised.value


def under_tls(lab: Pop3Lab, security: str) -> dict[str, Any]:
    changes = {"security": security, "host": "localhost", "ca_file": lab.ca_file}
    return changes | {"allows_plain_text": False}


# --- opening (items 135 to 137) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "security"),
    [("tls at once", "tls"), ("offer STLS, USER, UIDL", "starttls")],
)
def test_it_fetches_over_tls(pop3_lab: StartPop3Lab, scenario: str, security: str) -> None:
    """Item 135."""
    lab = pop3_lab(scenario)
    fetched = fetch(lab, **under_tls(lab, security))
    assert (fetched.error, list(fetched.sources.values())) == (None, list(SAMPLES))


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        ("+OK", None),
        ("+OK \\\\x1b[31m <odd> ünï", None),
        ("-ERR [IN-USE] locked", MailboxBusyError),
        ("-ERR try later", TemporaryError),
    ],
)
def test_it_reads_any_greeting(
    pop3_lab: StartPop3Lab, greeting: str, error: type[MailServerError] | None
) -> None:
    """Item 135."""
    fetched = fetch(pop3_lab(f"at greeting: {greeting}"))
    assert type(fetched.error) is (error or type(None))


def test_it_rejects_bytes_injected_after_stls(pop3_lab: StartPop3Lab) -> None:
    """Item 136."""
    lab = pop3_lab("offer STLS\nat stls: extra +OK injected")
    error = failure(lab, **under_tls(lab, "starttls"))
    assert error.reason.code == ReasonCode.STARTTLS_INJECTION
    assert not any("PASS" in command for command in lab.ledger.commands)


def test_it_asks_for_capabilities_after_stls_and_after_the_login(pop3_lab: StartPop3Lab) -> None:
    """Item 136."""
    lab = pop3_lab("offer STLS, SASL PLAIN\noffer after stls UIDL, USER")
    fetched = fetch(lab, **under_tls(lab, "starttls"))
    assert fetched.error is None
    assert [command.partition(" ")[0] for command in lab.ledger.commands[:7]] == [
        *("CAPA", "STLS", "CAPA", "USER", "PASS", "CAPA", "LIST"),
    ]


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("offer UIDL, USER", ReasonCode.STARTTLS_MISSING),
        ("offer STLS\nat stls: -ERR not now", ReasonCode.STARTTLS_REJECTED),
        ("offer STLS\ncertificate wrong-name", ReasonCode.CERTIFICATE_REJECTED),
        ("offer STLS\ncertificate untrusted", ReasonCode.CERTIFICATE_REJECTED),
    ],
)
def test_it_sends_no_password_without_the_required_tls(
    pop3_lab: StartPop3Lab, scenario: str, code: ReasonCode
) -> None:
    """Item 135."""
    lab = pop3_lab(scenario)
    error = failure(lab, **under_tls(lab, "starttls"))
    assert (type(error), error.reason.code) == (TemporaryError, code)
    assert lab.ledger.commands == ["CAPA"] if "STLS" not in scenario else ["CAPA", "STLS"]


def test_it_works_without_capa(pop3_lab: StartPop3Lab) -> None:
    """Item 137."""
    fetched = fetch(pop3_lab("at capa: -ERR unknown command"))
    assert (fetched.error, list(fetched.sources.values())) == (None, list(SAMPLES))
    assert len(fetched.deleted) == 3


def test_it_sends_stls_where_capa_is_unknown(pop3_lab: StartPop3Lab) -> None:
    """Item 137."""
    lab = pop3_lab("offer STLS\nat capa: -ERR unknown command")
    assert fetch(lab, **under_tls(lab, "starttls")).error is None


# --- login (items 138 and 139) --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "changes", "commands"),
    [
        ("USER", {}, ["USER", "PASS"]),
        ("SASL PLAIN", {}, ["AUTH PLAIN"]),
        ("SASL LOGIN", {}, ["AUTH LOGIN"]),
        ("SASL XOAUTH2", {"is_token": True}, ["AUTH XOAUTH2"]),
        ("USER", {"allows_apop": True}, ["APOP"]),
        ("UIDL", {}, ["APOP"]),
    ],
    ids=["user-pass", "plain", "login", "xoauth2", "apop", "only-apop"],
)
def test_each_form_of_login_works(
    pop3_lab: StartPop3Lab, offer: str, changes: dict[str, Any], commands: list[str]
) -> None:
    """Item 138."""
    lab = pop3_lab(f"offer {offer}\nlogin {USER} {PASSWORD}")
    session_at(lab, **changes).quit()
    sent = [command for command in lab.ledger.commands if command.startswith(tuple(commands))]
    assert len(sent) == len(commands)
    assert lab.ledger.violations == []


def test_a_token_follows_the_challenge(pop3_lab: StartPop3Lab) -> None:
    """Item 138: Microsoft closes the connection if the token comes with the command."""
    lab = pop3_lab("offer SASL XOAUTH2")
    session_at(lab, is_token=True, password="t" * 2_000).quit()
    assert "AUTH XOAUTH2" in lab.ledger.commands
    assert lab.ledger.violations == []


@pytest.mark.parametrize("offer", ["SASL GSSAPI", "SASL PLAIN, USER"])
def test_no_token_is_sent_as_a_password(pop3_lab: StartPop3Lab, offer: str) -> None:
    """Item 138."""
    lab = pop3_lab(f"offer {offer}")
    error = failure(lab, is_token=True)
    assert (type(error), error.reason.code) == (
        MailServerUnusableError, ReasonCode.LOGIN_NO_MECHANISM,
    )  # fmt: skip
    assert lab.ledger.commands == ["CAPA"]


@pytest.mark.parametrize(
    ("reply", "error", "retry_after"),
    [
        ("-ERR [IN-USE] locked", MailboxBusyError, None),
        ("-ERR [LOGIN-DELAY 300] wait", MailboxBusyError, 300),
        ("-ERR [SYS/TEMP] disk", TemporaryError, None),
        ("-ERR [AUTH] wrong", LoginRefusedError, None),
        ("-ERR [SYS/PERM] closed", LoginRefusedError, None),
        ("-ERR no", LoginUnclearError, None),
    ],
)
def test_the_reply_to_the_login_says_what_to_do(
    pop3_lab: StartPop3Lab,
    reply: str,
    error: type[MailServerError],
    retry_after: int | None,
) -> None:
    """Item 139. The password is sent once only."""
    lab = pop3_lab(f"offer SASL PLAIN, USER\nat auth 2: {reply}")
    found = failure(lab)
    assert (type(found), found.retry_after) == (error, retry_after)
    assert reply.removeprefix("-ERR ") in str(found)
    assert found.is_temporary is (error is not LoginRefusedError)
    assert not any(command.startswith(("USER", "PASS")) for command in lab.ledger.commands)


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("at pass: close", LoginUnclearError),
        ("offer SASL PLAIN\nat auth 2: close", LoginUnclearError),
        ("offer SASL PLAIN\nat auth: close", TemporaryError),
        ("at user: close", TemporaryError),
    ],
)
def test_a_connection_that_is_closed_after_the_password(
    pop3_lab: StartPop3Lab, scenario: str, error: type[MailServerError]
) -> None:
    """Item 139: the server may reject the password by that."""
    assert type(failure(pop3_lab(scenario))) is error


def test_no_reason_repeats_the_password(pop3_lab: StartPop3Lab) -> None:
    """Item 139."""
    error = failure(pop3_lab(f"at pass: -ERR {PASSWORD} is wrong"))
    assert PASSWORD not in str(error)
    assert "is wrong" in str(error)


def test_a_public_address_is_needed_unless_it_is_allowed(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("")
    error = failure(lab, allows_private=False)
    assert (type(error), error.reason.code) == (
        MailServerUnusableError, ReasonCode.ADDRESS_FORBIDDEN,
    )  # fmt: skip
    assert lab.ledger.sessions == []


def test_no_password_is_sent_in_plain_text(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("")
    error = failure(lab, allows_plain_text=False)
    assert error.reason.code == ReasonCode.LOGIN_WITHOUT_TLS
    assert lab.ledger.commands == ["CAPA"]


# --- messages (items 140, 141, 145 to 148) --------------------------------------------------------


def test_lines_that_end_with_lf_only(pop3_lab: StartPop3Lab) -> None:
    """Item 140."""
    lab = pop3_lab(r'at retr 1: send "+OK\nSubject: a\n\n..dot\n.\n"')
    assert session_at(lab).retrieve(0) == b"Subject: a\n\n.dot\n"


def test_a_line_of_a_megabyte(pop3_lab: StartPop3Lab) -> None:
    """Item 140: poplib rejects lines over 2,048 bytes."""
    source = b"Subject: long\r\n\r\n" + b"x" * 1_000_000 + b"\r\n..\r\n.\r\n"
    lab = pop3_lab("", sources=[source])
    assert session_at(lab).retrieve(0) == source


@pytest.mark.parametrize(
    ("lines", "uids"),
    [
        ("1 a\\n2 b\\n3 c", ["a", "b", "c"]),
        ("1 same\\n2 same\\n3 c", ["", "", "c"]),
        ("1 a\\n3 c", ["a", "", "c"]),
        (f"1 {'a' * 70}\\n2 {'b' * 71}\\n3 c d", ["a" * 70, "", ""]),
        ("3 c\\n2 b\\n1 a\\n9 other", ["a", "b", "c"]),
    ],
)
def test_unique_ids(pop3_lab: StartPop3Lab, lines: str, uids: list[str]) -> None:
    """Item 141."""
    server = session_at(pop3_lab(f"at uidl: +OK\\n{lines}\\n."))
    assert [listed.uid for listed in server.messages()] == uids
    assert server.facts.has_uids


@pytest.mark.parametrize(
    "scenario", ["at capa: -ERR\nat uidl: -ERR unknown", "offer USER\nat uidl: -ERR unknown"]
)
def test_a_server_without_uidl(pop3_lab: StartPop3Lab, scenario: str) -> None:
    """Item 141."""
    server = session_at(pop3_lab(scenario))
    assert {listed.uid for listed in server.messages()} == {""}
    assert not server.facts.has_uids
    found = [source for _, source in server.retrieve_many(range(3))]
    assert found == list(SAMPLES)


def test_an_announced_uidl_that_fails_is_temporary(pop3_lab: StartPop3Lab) -> None:
    """Item 141: otherwise every message would be fetched again."""
    server = session_at(pop3_lab("offer UIDL, USER\nat uidl: -ERR [SYS/TEMP] index locked"))
    with pytest.raises(TemporaryError):
        server.messages()


def test_an_empty_mailbox_whose_listing_is_rejected(pop3_lab: StartPop3Lab) -> None:
    """Item 145."""
    lab = pop3_lab("offer USER\nat list: -ERR empty\nat uidl: -ERR empty", sources=[])
    assert session_at(lab).messages() == []


@pytest.mark.parametrize(
    "sizes", ["1 1\\n2 0\\n3 2", "1 9999\\n2 9999\\n3 9999", "1 x\\n2 5\\n3 5"]
)
def test_a_wrong_size_cuts_nothing(pop3_lab: StartPop3Lab, sizes: str) -> None:
    """Item 145."""
    server = session_at(pop3_lab(f"at list: +OK\\n{sizes}\\n."))
    listed = server.messages()
    found = dict(server.retrieve_many(range(len(listed)), LIMIT))
    assert list(found.values()) == list(SAMPLES)[-len(listed) :]


def test_the_newest_of_100_000_messages_is_the_first_that_is_retrieved(
    pop3_lab: StartPop3Lab,
) -> None:
    """Item 146."""
    lab = pop3_lab("", sources=[b"Subject: %d\r\n\r\n\r\n" % number for number in range(100_000)])
    server = session_at(lab, Timeouts(line=30, response=60))
    listed = server.messages()
    assert (len(listed), listed[-1].uid) == (100_000, "uid-100000")
    newest = reversed(range(len(listed)))
    found = list(server.retrieve_many(itertools.islice(newest, 3)))
    assert [index for index, _ in found] == [99_999, 99_998, 99_997]
    assert found[0][1] == b"Subject: 99999\r\n\r\n\r\n"
    server.abandon()
    assert [text for text in lab.ledger.commands if text.startswith("RETR")] == [
        *("RETR 100000", "RETR 99999", "RETR 99998"),
    ]


@pytest.mark.parametrize("offer", ["UIDL, USER", "UIDL, USER, PIPELINING"])
def test_a_large_message_is_left_out_and_the_next_ones_arrive(
    pop3_lab: StartPop3Lab, offer: str
) -> None:
    """Item 147: one by its size, and one whose size is wrong."""
    large = b"Subject: large\r\n\r\n" + b"x" * 5_000 + b"\r\n"
    lab = pop3_lab(
        f"offer {offer}\nat list: +OK\\n1 747\\n2 5020\\n3 747\\n4 10\\n5 747\\n.",
        sources=[SAMPLES[0], large, SAMPLES[1], large, SAMPLES[2]],
    )
    server = session_at(lab)
    server.messages()
    found = dict(server.retrieve_many(range(5), 1_000))
    assert [found[0], found[2], found[4]] == list(SAMPLES)
    assert isinstance(found[1], MessageTooLargeError)
    assert isinstance(found[3], MessageTooLargeError)
    assert "RETR 2" not in lab.ledger.commands
    server.quit()


@pytest.mark.parametrize("offer", ["UIDL, USER", "UIDL, USER, PIPELINING"])
def test_an_endless_message_ends_the_session_and_has_its_index(
    pop3_lab: StartPop3Lab, offer: str
) -> None:
    """Item 147."""
    server = session_at(pop3_lab(f"offer {offer}\nat retr 2: endless"))
    server.messages()
    found = []
    for index, message in server.retrieve_many(range(3), 1_000):
        if isinstance(message, MessageTooLargeError):
            assert (index, message.ends_session) == (1, True)
            break
        found.append(message)
    else:
        pytest.fail("the message was not reported")
    assert found in ([], [SAMPLES[0]])
    assert isinstance(_error_of(server.delete, 0), TemporaryError)


def test_commands_are_sent_ahead_where_the_server_allows_it() -> None:
    """Item 148: this server replies only once it has all of them."""
    body = b"+OK\r\nSubject: a\r\n\r\n.\r\n"
    script = [
        (b"CAPA", b"+OK\r\nPIPELINING\r\nUSER\r\nUIDL\r\n.\r\n"),
        (b"USER", b"+OK\r\n"),
        (b"PASS", b"+OK\r\n"),
        (b"CAPA", b"+OK\r\nPIPELINING\r\nUSER\r\nUIDL\r\n.\r\n"),
        (b"UIDL\r\n", b"+OK\r\n1 9\r\n2 9\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n"),
        (
            b"RETR 1\r\nUIDL 1\r\nRETR 2\r\nUIDL 2\r\n",
            body + b"+OK 1 a\r\n" + body + b"+OK 2 b\r\n",
        ),
    ]
    with scripted(b"+OK\r\n", script) as port:
        login = login_to(port)
        server = open_mail_server(login, timeouts=QUICK)
        server.messages()
        found = [source for _, source in server.retrieve_many([0, 1])]
        server.abandon()
    assert found == [b"Subject: a\r\n\r\n"] * 2


_CAPA = (b"CAPA", b"+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\n.\r\n")
_LOGIN = [_CAPA, (b"USER", b"+OK\r\n"), (b"PASS", b"+OK\r\n"), _CAPA]
_LISTS = (
    b"UIDL",
    b"+OK\r\n1 9\r\n2 9\r\n3 9\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n",
)


def message(number: int) -> bytes:
    return b"+OK\r\nSubject: %d\r\n\r\n.\r\n" % number


@pytest.mark.parametrize(
    "responses",
    [
        b"-ERR extra\r\n" + message(1) + message(2) + message(3) + b"+OK 3 c\r\n",
        message(1) + b"+OK extra\r\n" + message(2) + message(3) + b"+OK 3 c\r\n",
        message(2) + message(3) + b"+OK 3 c\r\n.\r\n+OK\r\n",
    ],
    ids=["error", "ok", "missing"],
)
def test_no_message_is_taken_for_another(responses: bytes) -> None:
    """Item 141: after a response too many, or one that is missing, none of them is used."""
    with scripted(b"+OK\r\n", [*_LOGIN, _LISTS, (b"UIDL 3", responses)]) as port:
        server = open_mail_server(login_to(port), timeouts=QUICK)
        server.messages()
        with pytest.raises(TemporaryError):
            next(server.retrieve_many(range(3)))
        server.abandon()


_IN_TURN = (b"CAPA", b"+OK\r\nUSER\r\nUIDL\r\n.\r\n")
_LISTED_IN_TURN = [
    *(_IN_TURN, (b"USER", b"+OK\r\n"), (b"PASS", b"+OK\r\n"), _IN_TURN),
    (b"LIST", b"+OK\r\n1 9\r\n2 9\r\n3 9\r\n.\r\n"),
    (b"UIDL", b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"),
]


def test_without_pipelining_messages_are_checked_before_they_are_used() -> None:
    """Item 141."""
    script = [(b"RETR %d" % number, message(number)) for number in (1, 2, 3)]
    with scripted(b"+OK\r\n", [*_LISTED_IN_TURN, *script, (b"UIDL 3", b"+OK 2 b\r\n")]) as port:
        server = open_mail_server(login_to(port), timeouts=QUICK)
        server.messages()
        with pytest.raises(TemporaryError) as raised:
            next(server.retrieve_many(range(3)))
        server.abandon()
    assert raised.value.indexes == (0, 1, 2)


def test_few_messages_are_held_although_their_sizes_are_wrong() -> None:
    """Item 147: the list says nine bytes."""
    large = b"x" * 1_500_000 + b"\r\n"
    response = b"+OK\r\n" + large + b".\r\n"
    in_turn = [*_LISTED_IN_TURN, (b"RETR 1", response), (b"UIDL 1", b"+OK 1 a\r\n")]
    ahead = [*_LOGIN, _LISTS, (b"UIDL 3", response + b"+OK 1 a\r\n")]
    for script in (in_turn, ahead):
        with scripted(b"+OK\r\n", script) as port:
            server = open_mail_server(login_to(port), timeouts=QUICK)
            server.messages()
            messages = server.retrieve_many(range(3))
            assert next(messages) == (0, large)
            server.abandon()


def test_an_iterator_that_was_not_exhausted_ends_the_session() -> None:
    """Otherwise DELE would get the response to RETR."""
    with scripted(b"+OK\r\n", [*_LOGIN, _LISTS, (b"UIDL 3", message(1) + b"+OK 1 a\r\n")]) as port:
        server = open_mail_server(login_to(port), timeouts=QUICK)
        server.messages()
        messages = server.retrieve_many(range(3))
        next(messages)
        messages.close()  # type: ignore[attr-defined]
        assert isinstance(_error_of(server.delete, 0), TemporaryError)


def test_a_line_that_no_command_asked_for_is_not_a_response() -> None:
    """Item 141: it would be read as the response to the next command."""
    may_send, is_sent = threading.Event(), threading.Event()

    def script() -> Iterator[tuple[bytes, bytes]]:
        for expected, reply in _LOGIN:
            yield expected, reply.replace(b"PIPELINING\r\n", b"")
        yield b"LIST", b"+OK\r\n1 9\r\n.\r\n"
        yield b"UIDL", b"+OK\r\n1 a\r\n.\r\n"
        may_send.wait(10)
        yield b"", b"+OK extra\r\n"
        is_sent.set()
        yield b"DELE", b"-ERR no\r\n"

    with scripted(b"+OK\r\n", script()) as port:
        server = open_mail_server(login_to(port), timeouts=QUICK)
        server.messages()
        may_send.set()
        assert is_sent.wait(10)
        with pytest.raises(TemporaryError, match="without a command"):
            server.delete(0)
        server.abandon()


def test_a_message_never_begins_with_a_status_line(pop3_lab: StartPop3Lab) -> None:
    """Item 141: without PIPELINING, too."""
    lab = pop3_lab('offer UIDL, USER\nat retr 1: send "+OK extra\\r\\n+OK\\r\\na\\r\\n.\\r\\n"')
    server = session_at(lab)
    with pytest.raises(TemporaryError, match="too many"):
        server.retrieve(0)


def test_a_rejected_message_does_not_stop_the_others(pop3_lab: StartPop3Lab) -> None:
    """Item 148: the same with pipelining and without."""
    for offer in ("UIDL, USER", "UIDL, USER, PIPELINING"):
        fetched = fetch(pop3_lab(f"offer {offer}\nat retr 2: -ERR [SYS/TEMP] disk"))
        assert list(fetched.sources.values()) == [SAMPLES[0], SAMPLES[2]]
        (error,) = fetched.rejected.values()
        assert isinstance(error, MessageRefusedError)
        assert fetched.error is None


# --- the end (items 143, 149 and 150) -------------------------------------------------------------


@pytest.mark.parametrize("action", ["-ERR some not removed", "close", "no-reply", "reset"])
def test_a_failed_quit_is_reported(pop3_lab: StartPop3Lab, action: str) -> None:
    """Item 143."""
    lab = pop3_lab(f"at quit: {action}")
    fetched = fetch(lab, CHANGED)
    assert isinstance(fetched.error, QuitRefusedError)
    assert fetched.deleted == set()
    if action != "no-reply":
        assert len(lab.mailbox.messages) == 3


def test_a_session_without_quit_deletes_nothing(pop3_lab: StartPop3Lab) -> None:
    """Item 143."""
    lab = pop3_lab("")
    server = session_at(lab)
    server.messages()
    server.delete(0)
    server.abandon()
    lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
    assert len(lab.mailbox.messages) == 3
    assert "QUIT" not in lab.ledger.commands


@pytest.mark.parametrize("action", ["late 30", "drip 0.1", "black-hole", "no-reply"])
def test_each_wait_ends_in_time(pop3_lab: StartPop3Lab, action: str) -> None:
    """Item 149."""
    fetched = fetch(pop3_lab(f"at retr 2: {action}"), CHANGED)
    assert isinstance(fetched.error, TemporaryError)
    assert fetched.error.reason.code == ReasonCode.SERVER_TIMEOUT
    assert fetched.seconds < 5


def test_a_whole_response_has_a_limit(pop3_lab: StartPop3Lab) -> None:
    """Item 149: also one that arrives line by line."""
    fetched = fetch(pop3_lab("at retr 2: drip 0.01"), Timeouts(line=5, response=0.5))
    assert isinstance(fetched.error, TemporaryError)
    assert fetched.seconds < 5


def test_a_long_message_may_take_longer_than_the_wait_for_a_line(pop3_lab: StartPop3Lab) -> None:
    """Item 149."""
    lab = pop3_lab("at body 300 of message 2: late 0.3\nat body 1 of message 3: late 0.3")
    fetched = fetch(lab, Timeouts(line=0.5, response=5))
    assert (fetched.error, list(fetched.sources.values())) == (None, list(SAMPLES))


def test_a_session_ends_after_its_time(pop3_lab: StartPop3Lab) -> None:
    """Item 149. QUIT is still possible."""
    lab = pop3_lab("at retr: late 0.4")
    server = session_at(lab, Timeouts(session=1.0))
    server.messages()
    with pytest.raises(TemporaryError) as raised:
        list(server.retrieve_many([0, 1, 2, 0, 1, 2]))
    assert raised.value.reason.code == ReasonCode.SESSION_TOO_LONG


def test_a_server_that_logged_out(pop3_lab: StartPop3Lab) -> None:
    """Item 149: after ten minutes a server may close; the next session continues."""
    lab = pop3_lab("on connection 1: at dele 1: close")
    assert isinstance(fetch(lab).error, TemporaryError)
    again = fetch(lab)
    assert (again.error, len(again.deleted)) == (None, 3)


def test_a_stop_ends_the_session_at_once(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("at retr 2: black-hole")
    stop = threading.Event()
    server = open_mail_server(login_at(lab), timeouts=Timeouts(line=60), stop=stop)
    server.messages()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(StoppedError):
        list(server.retrieve_many(range(3)))
    assert isinstance(_error_of(server.delete, 0), StoppedError)


def _error_of(call: Any, *arguments: Any) -> MailServerError:
    with pytest.raises(MailServerError) as raised:
        call(*arguments)
    return raised.value


def test_utf8_and_lang_are_tolerated(pop3_lab: StartPop3Lab) -> None:
    """Item 150: the name and the password may have UTF-8 only after UTF8."""
    lab = pop3_lab(
        "offer UIDL, USER, UTF8 USER, LANG\nlogin ännä 密码密码\nat retr 2: -ERR нет сообщения"
    )
    fetched = fetch(lab, username="ännä", password="密码密码")
    commands = lab.ledger.commands
    assert commands.index("UTF8") < commands.index("USER ännä")
    assert list(fetched.sources.values()) == [SAMPLES[0], SAMPLES[2]]
    assert "нет сообщения" in str(fetched.rejected["uid-00002"])
    assert (
        failure(pop3_lab("offer USER"), username="ännä").reason.code == ReasonCode.LOGIN_NOT_ASCII
    )


def test_a_rejected_utf8_is_ignored(pop3_lab: StartPop3Lab) -> None:
    """Item 150."""
    assert fetch(pop3_lab("offer UIDL, USER, UTF8\nat utf8: -ERR no")).error is None


def test_two_fetchers_at_one_mailbox(pop3_lab: StartPop3Lab) -> None:
    """Item 152."""
    lab = pop3_lab("")
    first = session_at(lab)
    assert isinstance(failure(lab), MailboxBusyError)
    first.quit()
    session_at(lab).quit()


def test_what_the_server_announces(pop3_lab: StartPop3Lab) -> None:
    lab = pop3_lab("offer UIDL, USER, EXPIRE 30 USER, LOGIN-DELAY 900, IMPLEMENTATION Far 1.0")
    facts = session_at(lab).facts
    assert (facts.expires, facts.never_expires) == (30, False)
    assert (facts.login_delay, facts.software, facts.is_pipelined) == (900, "Far 1.0", False)
    assert session_at(pop3_lab("offer USER, EXPIRE NEVER")).facts.never_expires

"""What a server is asked about its reports; protocol item 62."""

import pytest

from outbox.mail.xtext import utf8_xtext, xtext
from outbox.smtp import Envelope
from outbox.smtp.dsn import were_sent
from tests.unit.smtp.model_server import ALICE, BOB, Client, ModelServer

MARKED = Envelope(
    sender=ALICE, recipients=("b+c@y.test",), envid="attempt=7", notify=("FAILURE", "DELAY")
)


def sent(envelope: Envelope, *extensions: str) -> list[str]:
    server = ModelServer()
    Client(server, extensions).send_envelope(envelope)
    return server.commands[:2]


def test_it_requests_notifications_with_an_id() -> None:
    assert sent(MARKED, "DSN") == [
        "MAIL FROM:<alice@x.test> RET=HDRS ENVID=attempt+3D7",
        "RCPT TO:<b+c@y.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b+2Bc@y.test",
    ]


def test_it_requests_no_notification_without_dsn() -> None:
    assert sent(MARKED) == ["MAIL FROM:<alice@x.test>", "RCPT TO:<b+c@y.test>"]


def test_it_requests_no_notification_unless_wanted() -> None:
    envelope = Envelope(sender=ALICE, recipients=(BOB,))
    assert sent(envelope, "DSN") == ["MAIL FROM:<alice@x.test>", "RCPT TO:<bob@y.test>"]


def test_it_requests_the_whole_message() -> None:
    envelope = Envelope(sender=ALICE, recipients=(BOB,), notify=("FAILURE",), ret="FULL")
    assert sent(envelope, "DSN") == [
        "MAIL FROM:<alice@x.test> RET=FULL",
        "RCPT TO:<bob@y.test> NOTIFY=FAILURE ORCPT=rfc822;bob@y.test",
    ]


def test_it_requests_that_nothing_is_reported() -> None:
    envelope = Envelope(sender=ALICE, recipients=(BOB,), notify=("NEVER",))
    assert sent(envelope, "DSN")[1] == "RCPT TO:<bob@y.test> NOTIFY=NEVER ORCPT=rfc822;bob@y.test"


def test_it_encodes_an_original_recipient_outside_ascii() -> None:
    """RFC 6533 3: only a server with SMTPUTF8 knows the type."""
    envelope = Envelope(sender=ALICE, recipients=("jörg+1@y.test",), envid="7")
    assert sent(envelope, "DSN", "SMTPUTF8")[1] == (
        "RCPT TO:<jörg+1@y.test> ORCPT=utf-8;j\\x{F6}rg\\x{2B}1@y.test"
    )


def test_it_names_no_original_recipient_that_the_server_cannot_read() -> None:
    envelope = Envelope(sender=ALICE, recipients=("bob@jörg.test",), envid="7")
    assert sent(envelope, "DSN")[1] == "RCPT TO:<bob@xn--jrg-sna.test>"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([[0, "C", "MAIL FROM:<a@x.test> RET=HDRS"]], True),
        ([[0, "C", "MAIL FROM:<a@x.test>"]], False),
        ([[0, "C", "MAIL FROM:<a@x.test> RET=HDRS"], [1, "C", "MAIL FROM:<a@x.test>"]], False),
        ([[0, "S", "250 MAIL FROM RET="]], False),
        ([], False),
    ],
)
def test_a_transcript_shows_whether_the_server_got_the_request(
    lines: list[list[object]], expected: bool
) -> None:
    assert were_sent(lines) == expected


@pytest.mark.parametrize(
    ("text", "encoded"),
    [("plain.text-1", "plain.text-1"), ("a+b=c", "a+2Bb+3Dc"), ("a b\t", "a+20b+09"), ("~!", "~!")],
)
def test_it_encodes_characters_outside_xtext(text: str, encoded: str) -> None:
    assert xtext(text) == encoded


@pytest.mark.parametrize(
    ("text", "encoded"),
    [("a.b", "a.b"), ("a+b=c", r"a\x{2B}b\x{3D}c"), ("\\ü", r"\x{5C}\x{FC}"), ("李", r"\x{674E}")],
)
def test_it_encodes_characters_outside_utf8_xtext(text: str, encoded: str) -> None:
    assert utf8_xtext(text) == encoded


@pytest.mark.parametrize(
    "wrong",
    [
        {"envid": "x" * 101},
        {"envid": "+" * 34},
        {"envid": "ü"},
        {"envid": "a\nb"},
        {"ret": "ALL"},
        {"notify": ("NEVER", "FAILURE")},
    ],
)
def test_it_rejects_notify_values_that_the_rfc_forbids(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"envid|NEVER|RET"):
        Envelope(sender=ALICE, recipients=(BOB,), **wrong)  # type: ignore[arg-type]  # on purpose

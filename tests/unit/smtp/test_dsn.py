"""What a server is asked about its reports; protocol item 62."""

import pytest

from outbox.smtp import Envelope
from outbox.smtp.dsn import xtext
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


def test_it_names_no_original_recipient_outside_ascii() -> None:
    envelope = Envelope(sender=ALICE, recipients=("jörg@y.test",), envid="7")
    assert sent(envelope, "DSN", "SMTPUTF8")[1] == "RCPT TO:<jörg@y.test>"


@pytest.mark.parametrize(
    ("text", "encoded"),
    [("plain.text-1", "plain.text-1"), ("a+b=c", "a+2Bb+3Dc"), ("a b\t", "a+20b+09"), ("~!", "~!")],
)
def test_it_encodes_characters_outside_xtext(text: str, encoded: str) -> None:
    assert xtext(text) == encoded


@pytest.mark.parametrize(
    "wrong",
    [{"envid": "x" * 34}, {"envid": "ü"}, {"notify": ("NEVER", "FAILURE")}],
)
def test_it_rejects_notify_values_that_the_rfc_forbids(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"envid|NEVER"):
        Envelope(sender=ALICE, recipients=(BOB,), **wrong)  # type: ignore[arg-type]  # on purpose

"""What is decided before a byte is sent: SIZE, 8BITMIME, SMTPUTF8, LIMITS."""

import hashlib

import pytest

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Disposition, Transaction
from tests.unit.smtp.model_server import ALICE, BOB, CAROL, SOURCE, Client, ModelServer

ALL = ("SIZE 1000", "8BITMIME", "SMTPUTF8", "PIPELINING")
JOERG = "jörg@far.test"
EIGHT_BIT = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n" + "grüße\r\n".encode()
)
UTF8_HEAD = "Subject: grüße\r\n\r\nhello\r\n".encode()


def send(
    extensions: tuple[str, ...], *recipients: str, sender: str = ALICE, source: bytes = SOURCE
) -> tuple[Transaction, list[str]]:
    server = ModelServer()
    transaction = Client(server, extensions).send(*recipients, sender=sender, source=source)
    return transaction, server.commands


@pytest.mark.parametrize(
    ("extensions", "source", "mail"),
    [
        (("PIPELINING",), SOURCE, "MAIL FROM:<alice@x.test>"),
        (("SIZE",), SOURCE, "MAIL FROM:<alice@x.test> SIZE=23"),
        (("SIZE 0",), SOURCE, "MAIL FROM:<alice@x.test> SIZE=23"),
        (ALL, SOURCE, "MAIL FROM:<alice@x.test> SIZE=23"),
        (ALL, EIGHT_BIT, "MAIL FROM:<alice@x.test> SIZE=104 BODY=8BITMIME"),
        (ALL, UTF8_HEAD, "MAIL FROM:<alice@x.test> SIZE=27 BODY=8BITMIME SMTPUTF8"),
    ],
)
def test_it_sends_only_parameters_that_are_announced_and_needed(
    extensions: tuple[str, ...], source: bytes, mail: str
) -> None:
    """Protocol items 47, 48, 50 and 51."""
    assert send(extensions, BOB, source=source)[1][0] == mail


def test_it_counts_size_with_line_ends_and_without_stuffing() -> None:
    """Protocol item 49."""
    _, commands = send(("SIZE",), BOB, source=b"a\n.\n.\n")
    assert commands[0].endswith("SIZE=9")


def test_it_does_not_send_what_exceeds_the_limit() -> None:
    """Protocol item 48: permanent, without the body, without a word to the server."""
    transaction, commands = send(("SIZE 22",), BOB, CAROL)
    assert commands == []
    assert transaction.fault is None
    for outcome in transaction.recipients:
        assert outcome.disposition is Disposition.PERMANENT
        assert outcome.reply is None
        assert outcome.reason == Reason(ReasonCode.MESSAGE_TOO_LARGE, size=23, limit=22)


def test_it_sends_what_just_fits() -> None:
    """Protocol item 48."""
    transaction, _ = send(("SIZE 23",), BOB)
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


@pytest.mark.parametrize("extensions", [(), ("SIZE",), ("SIZE 0",)])
def test_a_limit_without_a_number_is_ignored(extensions: tuple[str, ...]) -> None:
    """Protocol item 48."""
    transaction, _ = send(extensions, BOB)
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


def test_it_sends_smtputf8_only_for_a_local_part() -> None:
    """Protocol items 51 and 52."""
    _, commands = send(ALL, "bob@bücher.test")
    assert "SMTPUTF8" not in commands[0]
    assert commands[1] == "RCPT TO:<bob@xn--bcher-kva.test>"
    _, commands = send(ALL, JOERG, "bob@bücher.test")
    assert commands[0].endswith(" SMTPUTF8")
    assert commands[1:3] == [f"RCPT TO:<{JOERG}>", "RCPT TO:<bob@bücher.test>"]


def test_it_rejects_only_the_recipient_that_needs_a_missing_extension() -> None:
    """Protocol item 51."""
    transaction, commands = send(("SIZE",), JOERG, BOB)
    joerg, bob = transaction.recipients
    assert joerg.disposition is Disposition.PERMANENT
    assert joerg.reason == Reason(ReasonCode.SMTPUTF8_RECIPIENT, address=JOERG)
    assert bob.disposition is Disposition.ACCEPTED
    assert commands[1] == "RCPT TO:<bob@y.test>"
    assert commands[2] == "DATA"


@pytest.mark.parametrize(
    ("sender", "source", "code"),
    [
        (JOERG, SOURCE, ReasonCode.SMTPUTF8_SENDER),
        (ALICE, UTF8_HEAD, ReasonCode.SMTPUTF8_HEADER),
    ],
)
def test_it_rejects_all_recipients_if_sender_or_header_needs_a_missing_extension(
    sender: str, source: bytes, code: ReasonCode
) -> None:
    """Protocol item 51."""
    transaction, commands = send(("SIZE", "8BITMIME"), BOB, CAROL, sender=sender, source=source)
    assert commands == []
    for outcome in transaction.recipients:
        assert outcome.disposition is Disposition.PERMANENT
        assert outcome.reason.code == code


def test_it_encodes_to_seven_bits_without_8bitmime() -> None:
    """Protocol item 50; the changed form is recorded with its hash."""
    server = ModelServer()
    transaction = Client(server, ("SIZE",)).send(BOB, source=EIGHT_BIT)
    (mail,) = server.messages
    assert mail.isascii()
    assert transaction.sent_form == "7bit"
    assert transaction.sent_sha256 == hashlib.sha256(mail).hexdigest()
    assert server.commands[0] == f"MAIL FROM:<alice@x.test> SIZE={len(mail)}"


def test_it_keeps_eight_bits_with_8bitmime() -> None:
    """Protocol item 50."""
    server = ModelServer()
    transaction = Client(server, ALL).send(BOB, source=EIGHT_BIT)
    assert server.messages == [EIGHT_BIT]
    assert transaction.sent_form == "8bit"
    assert transaction.sent_sha256 == ""


def test_it_records_when_line_ends_were_changed() -> None:
    server = ModelServer()
    transaction = Client(server, ALL).send(BOB, source=b"Subject: x\n\nhello")
    assert transaction.sent_sha256 == hashlib.sha256(server.messages[0]).hexdigest()


def test_it_rejects_one_bad_address_and_sends_to_the_others() -> None:
    """Protocol item 61."""
    transaction, commands = send(ALL, "bob\r\nDATA@y.test", CAROL)
    bad, good = transaction.recipients
    assert bad.disposition is Disposition.PERMANENT
    assert str(bad.reason).startswith("5.1.3")
    assert good.disposition is Disposition.ACCEPTED
    assert commands[1] == "RCPT TO:<carol@z.test>"


def test_it_rejects_all_recipients_for_a_bad_sender() -> None:
    transaction, commands = send(ALL, BOB, sender="alice@")
    assert commands == []
    assert str(transaction.recipients[0].reason).startswith("5.1.7")


def test_it_defers_recipients_above_the_recipient_limit() -> None:
    """Protocol item 60."""
    transaction, commands = send(("LIMITS RCPTMAX=2",), "a@x.test", "b@x.test", "c@x.test")
    kinds = [outcome.disposition for outcome in transaction.recipients]
    assert kinds == [Disposition.ACCEPTED, Disposition.ACCEPTED, Disposition.OVERFLOW]
    assert sum(command.startswith("RCPT") for command in commands) == 2


def test_it_defers_recipients_above_the_domain_limit() -> None:
    """Protocol item 60."""
    transaction, _ = send(("LIMITS RCPTDOMAINMAX=1",), "a@x.test", "b@y.test", "c@X.test")
    kinds = [outcome.disposition for outcome in transaction.recipients]
    assert kinds == [Disposition.ACCEPTED, Disposition.OVERFLOW, Disposition.ACCEPTED]


def test_it_separates_recipients_of_one_message() -> None:
    """Protocol item 78: groups stay below any send buffer."""
    recipients = [f"person.with.a.long.name.{n}@a.long.domain.test" for n in range(900)]
    server = ModelServer()
    client = Client(server, ALL)
    transaction = client.send(*recipients)
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.ACCEPTED}
    assert client.steps.count("await_replies") > 3

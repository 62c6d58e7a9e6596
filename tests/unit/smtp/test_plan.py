"""What is settled before a byte is sent: SIZE, 8BITMIME, SMTPUTF8, LIMITS."""

import hashlib

import pytest

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
    offers: tuple[str, ...], *recipients: str, sender: str = ALICE, source: bytes = SOURCE
) -> tuple[Transaction, list[str]]:
    server = ModelServer()
    transaction = Client(server, offers).send(*recipients, sender=sender, source=source)
    return transaction, server.commands


@pytest.mark.parametrize(
    ("offers", "source", "mail"),
    [
        (("PIPELINING",), SOURCE, "MAIL FROM:<alice@x.test>"),
        (("SIZE",), SOURCE, "MAIL FROM:<alice@x.test> SIZE=23"),
        (("SIZE 0",), SOURCE, "MAIL FROM:<alice@x.test> SIZE=23"),
        (ALL, SOURCE, "MAIL FROM:<alice@x.test> SIZE=23"),
        (ALL, EIGHT_BIT, "MAIL FROM:<alice@x.test> SIZE=104 BODY=8BITMIME"),
        (ALL, UTF8_HEAD, "MAIL FROM:<alice@x.test> SIZE=27 BODY=8BITMIME SMTPUTF8"),
    ],
)
def test_it_says_no_more_than_is_offered_and_needed(
    offers: tuple[str, ...], source: bytes, mail: str
) -> None:
    """Protocol items 47, 48, 50 and 51."""
    assert send(offers, BOB, source=source)[1][0] == mail


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
        assert outcome.reason == "5.3.4 the message has 23 bytes; the server takes no more than 22"


def test_it_sends_what_just_fits() -> None:
    """Protocol item 48."""
    transaction, _ = send(("SIZE 23",), BOB)
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


@pytest.mark.parametrize("offers", [(), ("SIZE",), ("SIZE 0",)])
def test_it_takes_no_number_for_no_limit(offers: tuple[str, ...]) -> None:
    """Protocol item 48."""
    transaction, _ = send(offers, BOB)
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


def test_it_says_smtputf8_for_a_local_part_only() -> None:
    """Protocol items 51 and 52."""
    _, commands = send(ALL, "bob@bücher.test")
    assert "SMTPUTF8" not in commands[0]
    assert commands[1] == "RCPT TO:<bob@xn--bcher-kva.test>"
    _, commands = send(ALL, JOERG, "bob@bücher.test")
    assert commands[0].endswith(" SMTPUTF8")
    assert commands[1:3] == [f"RCPT TO:<{JOERG}>", "RCPT TO:<bob@bücher.test>"]


def test_it_refuses_only_the_recipient_that_needs_what_is_not_offered() -> None:
    """Protocol item 51."""
    transaction, commands = send(("SIZE",), JOERG, BOB)
    joerg, bob = transaction.recipients
    assert joerg.disposition is Disposition.PERMANENT
    assert joerg.reason == (
        f"5.6.7 the server does not offer SMTPUTF8, which the recipient “{JOERG}” needs"
    )
    assert bob.disposition is Disposition.ACCEPTED
    assert commands[1] == "RCPT TO:<bob@y.test>"
    assert commands[2] == "DATA"


@pytest.mark.parametrize(
    ("sender", "source", "what"),
    [(JOERG, SOURCE, "the sender"), (ALICE, UTF8_HEAD, "this message's header")],
)
def test_it_refuses_all_when_sender_or_header_needs_what_is_not_offered(
    sender: str, source: bytes, what: str
) -> None:
    """Protocol item 51."""
    transaction, commands = send(("SIZE", "8BITMIME"), BOB, CAROL, sender=sender, source=source)
    assert commands == []
    for outcome in transaction.recipients:
        assert outcome.disposition is Disposition.PERMANENT
        assert outcome.reason.startswith(f"5.6.7 the server does not offer SMTPUTF8, which {what}")


def test_it_narrows_to_seven_bits_where_it_must() -> None:
    """Protocol item 50; the altered form is told and hashed."""
    server = ModelServer()
    transaction = Client(server, ("SIZE",)).send(BOB, source=EIGHT_BIT)
    (mail,) = server.mails
    assert mail.isascii()
    assert transaction.sent_form == "7bit"
    assert transaction.sent_sha256 == hashlib.sha256(mail).hexdigest()
    assert server.commands[0] == f"MAIL FROM:<alice@x.test> SIZE={len(mail)}"


def test_it_leaves_eight_bits_alone_where_they_are_welcome() -> None:
    """Protocol item 50."""
    server = ModelServer()
    transaction = Client(server, ALL).send(BOB, source=EIGHT_BIT)
    assert server.mails == [EIGHT_BIT]
    assert transaction.sent_form == "8bit"
    assert transaction.sent_sha256 == ""


def test_it_tells_when_line_ends_had_to_be_mended() -> None:
    server = ModelServer()
    transaction = Client(server, ALL).send(BOB, source=b"Subject: x\n\nhello")
    assert transaction.sent_sha256 == hashlib.sha256(server.mails[0]).hexdigest()


def test_it_refuses_one_bad_address_and_sends_to_the_rest() -> None:
    """Protocol item 61."""
    transaction, commands = send(ALL, "bob\r\nDATA@y.test", CAROL)
    bad, good = transaction.recipients
    assert bad.disposition is Disposition.PERMANENT
    assert bad.reason.startswith("5.1.3")
    assert good.disposition is Disposition.ACCEPTED
    assert commands[1] == "RCPT TO:<carol@z.test>"


def test_it_refuses_all_for_a_bad_sender() -> None:
    transaction, commands = send(ALL, BOB, sender="alice@")
    assert commands == []
    assert transaction.recipients[0].reason.startswith("5.1.7")


def test_it_leaves_for_later_what_exceeds_the_limits_of_a_transaction() -> None:
    """Protocol item 60."""
    transaction, commands = send(("LIMITS RCPTMAX=2",), "a@x.test", "b@x.test", "c@x.test")
    kinds = [outcome.disposition for outcome in transaction.recipients]
    assert kinds == [Disposition.ACCEPTED, Disposition.ACCEPTED, Disposition.OVERFLOW]
    assert sum(command.startswith("RCPT") for command in commands) == 2


def test_it_leaves_for_later_what_exceeds_the_domains_of_a_transaction() -> None:
    """Protocol item 60."""
    transaction, _ = send(("LIMITS RCPTDOMAINMAX=1",), "a@x.test", "b@y.test", "c@X.test")
    kinds = [outcome.disposition for outcome in transaction.recipients]
    assert kinds == [Disposition.ACCEPTED, Disposition.OVERFLOW, Disposition.ACCEPTED]


def test_it_tells_a_mail_of_many_recipients_apart() -> None:
    """Protocol item 78: groups stay below any send buffer."""
    recipients = [f"somebody.with.a.long.name.{n}@a.long.domain.test" for n in range(900)]
    server = ModelServer()
    client = Client(server, ALL)
    transaction = client.send(*recipients)
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.ACCEPTED}
    assert client.steps.count("await") > 3

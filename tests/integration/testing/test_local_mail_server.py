"""The local mail server keeps every byte, counts what it took and refuses on demand."""

import hashlib
import smtplib
import time
from itertools import pairwise
from pathlib import Path

import pytest

from outbox.testing.capabilities import EXTENSIONS, Capabilities
from outbox.testing.mailboxes import Mailboxes
from outbox.testing.mailserver import MailServer
from tests.integration.testing.conftest import OpenDialogue
from tests.integration.testing.dialogue import on_the_wire

SOURCE = (
    b"Message-ID: <1@example.org>\r\nSubject: Hi\r\n\r\n.one\r\n..two\r\n...\r\nlast \xc3\xbc\r\n"
)


def test_it_keeps_the_bytes_as_they_came(mail_server: MailServer, dialogue: OpenDialogue) -> None:
    client = dialogue(mail_server.port).greeted()
    assert client.message(SOURCE).startswith("250 2.0.0")
    [message] = mail_server.mailboxes.messages("bob@example.net")
    assert message.source == SOURCE


def test_it_stores_one_message_per_recipient(
    mail_server: MailServer, dialogue: OpenDialogue
) -> None:
    dialogue(mail_server.port).greeted().message(SOURCE, "a@example.net", "b@example.net")
    assert mail_server.mailboxes.addresses() == ["a@example.net", "b@example.net"]


def test_it_ends_a_message_at_a_dot_between_crlfs_only(
    mail_server: MailServer, dialogue: OpenDialogue
) -> None:
    source = b"Subject: x\r\n\r\na\n.\nb\r\n\n.\r\nc\n.\r\nd\r.\r\n"
    client = dialogue(mail_server.port).greeted()
    assert client.message(source).startswith("250")
    [message] = mail_server.mailboxes.messages("bob@example.net")
    assert message.source == source


def test_a_single_leading_dot_is_removed(mail_server: MailServer, dialogue: OpenDialogue) -> None:
    client = dialogue(mail_server.port).greeted()
    client.begin("bob@example.net")
    client.say("DATA")
    assert client.say(".a", ".b", ".").startswith("250")  # RFC 5321 4.5.2
    [message] = mail_server.mailboxes.messages("bob@example.net")
    assert message.source == b"a\r\nb\r\n"


@pytest.mark.parametrize(
    ("commands", "codes"),
    [
        (["MAIL FROM:<a@b.org>", "RCPT TO:<c@d.org>", "BDAT 2 LAST\r\nhi"], ["250"] * 3),
        (["MAIL FROM:<a@b.org>", "RCPT TO:<reject@d.org>", "BDAT 0 LAST"], ["250", "550", "554"]),
        (["MAIL FROM:<a@b.org>", "RCPT TO:<reject@d.org>", "BDAT 0"], ["250", "550", "554"]),
        (["BDAT 0 LAST", "NOOP"], ["503", "250"]),
        (
            ["MAIL FROM:<a@b.org>", "RCPT TO:<c@d.org>", "BDAT 0", "DATA", "BDAT 0 LAST"],
            ["250", "250", "250", "503", "250"],  # RFC 3030 3: DATA and BDAT are not mixed
        ),
    ],
)
def test_it_accepts_announced_chunks(
    tmp_path: Path, dialogue: OpenDialogue, commands: list[str], codes: list[str]
) -> None:
    with MailServer(
        tmp_path, capabilities=Capabilities(extensions=("CHUNKING", "PIPELINING"))
    ) as server:
        client = dialogue(server.port).greeted()
        assert [client.say_bare(command)[:3] for command in commands] == codes


@pytest.mark.parametrize("source", [b"", b".\r\n", b"x\r\n" * 50_000], ids=["empty", "dot", "long"])
def test_it_reads_a_message_however_it_is_split(
    mail_server: MailServer, dialogue: OpenDialogue, source: bytes
) -> None:
    client = dialogue(mail_server.port).greeted()
    client.begin("bob@example.net")
    client.say("DATA")
    wire = on_the_wire(source)
    cuts = sorted({0, 1, 2, len(wire) - 3, len(wire) - 1, len(wire)})
    for start, end in pairwise(cuts):
        client.send(wire[start:end])
    assert client.reply().startswith("250")
    [message] = mail_server.mailboxes.messages("bob@example.net")
    assert message.source == source


def test_it_replies_to_a_pipelined_group_in_order(
    mail_server: MailServer, dialogue: OpenDialogue
) -> None:
    client = dialogue(mail_server.port).greeted()
    first = client.say(
        "MAIL FROM:<alice@example.org>", "RCPT TO:<reject@example.net>", "RCPT TO:<b@c.de>", "DATA"
    )
    codes = [first[:3], *(client.reply()[:3] for _ in range(3))]
    assert codes == ["250", "550", "250", "354"]


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("reject@example.net", "550 5.1.1"),
        ("Reject-me@example.net", "550 5.1.1"),  # case does not matter, and the word only begins it
        ("busy@example.net", "451 4.7.1"),
        ("full@example.net", "452 4.2.2"),
    ],
)
def test_it_rejects_recipients_by_their_names(
    mail_server: MailServer, dialogue: OpenDialogue, address: str, reply: str
) -> None:
    assert dialogue(mail_server.port).greeted().begin(address)[0].startswith(reply)


def test_it_rejects_a_message_for_refuse_data(
    mail_server: MailServer, dialogue: OpenDialogue
) -> None:
    client = dialogue(mail_server.port).greeted()
    assert client.message(SOURCE, "refuse-data@example.net").startswith("554 5.7.1")
    assert mail_server.mailboxes.addresses() == []


def test_it_accepts_messages_for_slow_and_replies_late(
    mail_server: MailServer, dialogue: OpenDialogue
) -> None:
    mail_server.slow_after = 0.3
    client = dialogue(mail_server.port).greeted()
    began = time.monotonic()
    assert client.message(SOURCE, "slow@example.net").startswith("250")
    assert time.monotonic() - began >= mail_server.slow_after
    assert client.say("NOOP").startswith("250")


def test_its_ledger_names_each_transaction_once(
    mail_server: MailServer, dialogue: OpenDialogue
) -> None:
    client = dialogue(mail_server.port).greeted()
    client.message(SOURCE, "bob@example.net", "reject@example.net")
    client.message(SOURCE, "refuse-data@example.net")
    client.begin("busy@example.net")
    client.say("RSET")
    client.begin()  # without recipients it is not a transaction yet
    client.say("RSET")
    taken, refused, unfinished = mail_server.entries()
    assert (taken.message_id, taken.sender) == ("<1@example.org>", "alice@example.org")
    assert taken.accepted == ["bob@example.net"]
    assert taken.refused["reject@example.net"].startswith("550")
    assert taken.sha256 == hashlib.sha256(SOURCE).hexdigest()
    assert taken.reply.startswith("250")
    assert refused.reply.startswith("554")
    assert (unfinished.sha256, unfinished.reply) == ("", "")


def test_it_says_452_when_it_cannot_store(mail_server: MailServer, dialogue: OpenDialogue) -> None:
    mail_server.mailboxes.directory.write_text("in the way")
    assert dialogue(mail_server.port).greeted().message(SOURCE).startswith("452 4.3.1")


def test_it_rejects_messages_above_its_size(tmp_path: Path, dialogue: OpenDialogue) -> None:
    capabilities = Capabilities(extensions=("SIZE 1000",))
    with MailServer(tmp_path, capabilities=capabilities) as server:
        client = dialogue(server.port).greeted()
        assert client.say("MAIL FROM:<a@example.org> SIZE=1001").startswith("552 5.3.4")
        assert client.message(b"x\r\n" * 100_000).startswith("552 5.3.4")
        assert client.message(b"x\r\n").startswith("250")
        assert len(Mailboxes(tmp_path).messages("bob@example.net")) == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("MAIL FROM: <a@example.org>", "501"),  # RFC 5321 3.3: no space after the colon
        ("MAIL FROM:a@example.org", "501"),
        ("MAIL FROM:<a@example.org> RET=HDRS", "555"),  # DSN is not offered
        ("MAIL FROM:<zoë@example.org>", "553"),
        ("MAIL FROM:<zoë@example.org> SMTPUTF8", "250"),
        ('MAIL FROM:<"a>b c"@example.org>', "250"),
        ("RCPT TO:<a@example.org>", "503"),
        ("DATA", "503"),
        ("BDAT 0 LAST", "502"),
        ("STARTTLS", "503"),
        ("AUTH PLAIN AGEAYg==", "503"),
        ("EHLO", "501"),
        ("VRFY a", "252"),
        ("NONSENSE", "500"),
        ("x" * 20_000, "500"),
    ],
)
def test_it_replies_to_invalid_commands(
    mail_server: MailServer, dialogue: OpenDialogue, command: str, code: str
) -> None:
    client = dialogue(mail_server.port).greeted()
    assert client.say(command)[:3] == code
    assert client.say("NOOP")[:3] == "250"


def test_a_client_logs_in_with_each_mechanism(tmp_path: Path) -> None:
    extensions = (*EXTENSIONS, "AUTH PLAIN LOGIN CRAM-MD5")
    capabilities = Capabilities(extensions=extensions, login=("me", "secret"), login_required=True)
    with MailServer(tmp_path, capabilities=capabilities) as server:
        for mechanism in ("auth_plain", "auth_login", "auth_cram_md5"):
            with smtplib.SMTP("127.0.0.1", server.port) as client:
                client.ehlo()
                assert client.mail("a@example.org")[0] == 530
                client.user, client.password = "me", "wrong"
                name = mechanism.removeprefix("auth_").replace("_", "-").upper()
                with pytest.raises(smtplib.SMTPAuthenticationError):
                    client.auth(name, getattr(client, mechanism))
                client.password = "secret"
                assert client.auth(name, getattr(client, mechanism))[0] == 235
                assert client.mail("a@example.org")[0] == 250

"""Any bytes are stored, within bounded time, with what can be said about them."""

import random
import time
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User

from outbox.inbound.facts import read_facts
from outbox.inbound.storing import store_received
from outbox.mail.threads import thread_of
from outbox.models import InboundMessage, Mailbox
from tests.integration.fetching.conftest import message

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]


def nested(levels: int) -> bytes:
    head = b"From: a@example.com\r\nSubject: deep\r\n"
    for level in range(levels):
        head += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
    return head + b"\r\nthe end\r\n"


def many_parts(count: int) -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
    head = b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + part * count + b"--b--\r\n"


HOSTILE = {
    "nothing": b"",
    "one NUL": b"\0",
    "no header": b"just text\r\nwith two lines\r\n",
    "NUL everywhere": message(1).replace(b"e", b"\0"),
    "bytes in the header": b"From: \xff\xfe <\xe4@b.de>\r\nSubject: \xe4\xf6\r\n\r\n\xff",
    "lone surrogates": b"Subject: =?utf-8?q?=ED=A0=80?=\r\n\r\n\xed\xa0\x80",
    "unknown charset": b"Content-Type: text/plain; charset=x-nope\r\n\r\n\xe4",
    "idna charset": b"Content-Type: text/plain; charset=idna\r\n\r\n" + b"a." * 100_000,
    "broken base64": b"Content-Transfer-Encoding: base64\r\n\r\n!!!!" + b"A" * 9_999,
    "100 levels": nested(100),
    "1,000 levels": nested(1_000),
    "10,000 parts": many_parts(10_000),
    "100,000 fields": b"X-A: b\r\n" * 100_000 + b"\r\nhi",
    "one field of 2 MB": b"Subject: " + b"a" * 2_000_000 + b"\r\n\r\nhi",
    "100,000 references": b"References: " + b"<a@b> " * 100_000 + b"\r\n\r\nhi",
    "100,000 recipients": b"To: " + b"<a@example.com>, " * 100_000 + b"\r\n\r\nhi",
    "100,000 encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 100_000 + b"\r\n\r\nhi",
    "no date": b"Date: tomorrow\r\n\r\n",
    "year 0": b"Date: Mon, 1 Jan 0000 00:00:00 +0000\r\n\r\n",
    "year 9999": b"Date: Fri, 31 Dec 9999 23:59:59 -1200\r\n\r\n",
    "far away": b"Date: Mon, 1 Jan 2024 00:00:00 +9999\r\n\r\n",
    "long Message-ID": b"Message-ID: <" + "é".encode() * 50_000 + b"@b>\r\n\r\n",
    "only CR": b"From: a@example.com\rSubject: old\r\rhi\r",
    "line of 3 MB": b"Subject: long\r\n\r\n" + b"x" * 3_000_000,
    "HTML bomb": b"Content-Type: text/html\r\n\r\n" + b"<div><b>" * 50_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_stored_as_it_is(mailbox: Mailbox, name: str) -> None:
    source = HOSTILE[name]
    began = time.process_time()
    found = store_received(mailbox, source)
    assert time.process_time() - began < 10, "usually far below one second"
    found.refresh_from_db()
    assert found.source.read() == source
    assert found.size == len(source)
    assert str(found)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_parser_has_no_fault(name: str) -> None:
    assert read_facts(HOSTILE[name]).is_readable


def test_random_bytes_are_readable() -> None:
    chance = random.Random(1)  # noqa: S311  # the same bytes each time
    sample = many_parts(3) + message(1) + nested(5)
    for _ in range(300):
        changed = bytearray(sample)
        for _ in range(20):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        assert read_facts(bytes(changed)).is_readable


def test_the_columns_of_a_message(mailbox: Mailbox, owner: User) -> None:
    original = EmailMessage()
    original["From"] = "=?utf-8?b?5byg5LiJ?= <Zhang@Example.COM>"
    original["To"] = "Ann <ann@example.org>, bob@example.net, Carol <c@example.net>, d@example.net"
    original["Subject"] = "测试"
    original["Message-ID"] = "<3@example.com>"
    original["In-Reply-To"] = "<2@example.com>"
    original["References"] = "<1@example.com> <2@example.com>"
    original["Date"] = "Mon, 01 Jan 2024 10:00:00 +0800"
    original.set_content("Hello, this is the text.\n")
    original.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    found = store_received(mailbox, original.as_bytes())
    found.refresh_from_db()
    assert found.from_header == "张三 <Zhang@Example.COM>"
    assert found.from_address == "zhang@example.com"
    assert found.to_summary == "Ann, bob@example.net, Carol"
    assert found.subject == "测试"
    assert found.snippet == "Hello, this is the text."
    assert found.in_reply_to == "2@example.com"
    assert found.thread == thread_of("<1@example.com>")
    assert found.sent_at is not None
    assert found.sent_at.isoformat() == "2024-01-01T02:00:00+00:00"
    assert found.attachment_count == 1
    assert found.kind == "message"
    assert InboundMessage.objects.visible_to(owner).get() == found


def test_a_time_in_the_future_is_not_believed(mailbox: Mailbox) -> None:
    late = b"Received: from a by b; Fri, 1 Jan 2100 00:00:00 +0000\r\n"
    found = store_received(mailbox, late + message(1))
    assert found.received_at.year < 2100

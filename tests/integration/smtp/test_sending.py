"""Whole mails over a real socket, in each of the courses a transaction can take."""

import hashlib
import json

import pytest

from outbox.smtp import Disposition, Envelope, Part, Session
from tests.integration.smtp.far_end import OFFERS, FarEnd

SOURCE = b"From: a@x.test\r\nSubject: hello\r\n\r\n.one\r\n..two\r\nthree\r\n"
ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test", "c@y.test"))

COURSES = {
    "step by step": tuple(o for o in OFFERS if o not in {"PIPELINING", "CHUNKING"}),
    "pipelined": tuple(o for o in OFFERS if o != "CHUNKING"),
    "chunks": tuple(o for o in OFFERS if o != "PIPELINING"),
    "all at once": OFFERS,
}
IN_EACH_COURSE = pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
# What a server can be asked in each course; chunks do without DATA.
AT_EACH_COMMAND = pytest.mark.parametrize(
    ("command", "course"),
    [
        (command, course)
        for command in ("MAIL", "RCPT", "DATA", "DOT")
        for course, offers in COURSES.items()
        if command != "DATA" or "CHUNKING" not in offers
    ],
)


async def yes() -> bool:
    return True


@IN_EACH_COURSE
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(SOURCE, id="dots"),
        pytest.param(b"", id="empty"),
        pytest.param(b".\r\n", id="one dot"),
        pytest.param(b".line\r\n" * 200_000, id="1.4 MB of dots"),
        pytest.param(b"x" * 65_535 + b"\r\n.\r\n" + b"y" * 65_530 + b"\r\n", id="edges of blocks"),
    ],
)
async def test_it_delivers_byte_for_byte(offers: tuple[str, ...], source: bytes) -> None:
    """Protocol items 64, 65 and 73; three mails on one connection."""
    async with FarEnd(offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        for _ in range(3):
            transaction = await session.send(ENVELOPE, source, yes)
            assert transaction.fault is None
            for outcome in transaction.recipients:
                assert outcome.disposition is Disposition.ACCEPTED
                assert outcome.command == "DOT"
            assert session.usable
        await session.quit()
    assert far_end.mails == [source] * 3
    assert far_end.connections == 1
    assert session.messages == 3
    assert far_end.commands[-1] == "QUIT"


async def test_it_needs_one_mail_before_it_sends_all_at_once() -> None:
    """Protocol item 77: the first mail shows whether replies and commands match."""
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        first = await session.send(ENVELOPE, SOURCE, yes)
        second = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    speakers = ["".join(str(row[1]) for row in t.transcript.dump()) for t in (first, second)]
    assert speakers == ["CCCSSSCCS", "CCCCCSSSS"]


@pytest.mark.parametrize("course", ["pipelined", "chunks"])
async def test_it_may_be_told_to_leave_an_offer_alone(course: str) -> None:
    async with FarEnd(offers=COURSES[course]).serving() as far_end:
        session = await Session.open(far_end.server(pipelining=False, chunking=False))
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert "DATA" in far_end.commands
    assert "".join(str(row[1]) for row in transaction.transcript.dump()) == "CSCSCSCSCCS"


async def test_it_cuts_a_large_mail_into_chunks() -> None:
    """Protocol item 73: exactly n bytes each, LAST on the final one."""
    source = b"x" * 98 + b"\r\n"
    source *= 30_000
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, source, yes)
        await session.quit()
    chunks = [command for command in far_end.commands if command.startswith("BDAT")]
    assert chunks == ["BDAT 1048576", "BDAT 1048576", "BDAT 837312", "BDAT 65536 LAST"]
    assert far_end.mails == [source]


async def test_it_stops_at_a_refused_chunk() -> None:
    """Protocol item 74: no more chunks for that transaction, then RSET."""
    replies = {"BDAT": ["250 ok", "552 5.3.4 too big"]}
    async with FarEnd(replies=replies).serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, b"x" * 98 + b"\r\n" * 1_500_000, yes)
        again = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    for outcome in transaction.recipients:
        assert outcome.disposition is Disposition.PERMANENT
        assert outcome.command == "DATA"
    assert not transaction.dot_sent
    assert far_end.commands[far_end.commands.index("RSET") - 1].startswith("BDAT")
    assert again.recipients[0].disposition is Disposition.ACCEPTED
    assert far_end.mails == [SOURCE]


@IN_EACH_COURSE
async def test_it_keeps_what_was_said_and_how_long_it_took(offers: tuple[str, ...]) -> None:
    """Protocol item 68; the body is kept as its size and hash only."""
    async with FarEnd(offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        known = hashlib.sha256(SOURCE).hexdigest()
        transaction = await session.send(ENVELOPE, SOURCE, yes, source_sha256=known)
        await session.quit()
    assert transaction.queue_id == "4FAR12"
    assert transaction.transcript.part is Part.TRANSFER
    rows = transaction.transcript.dump()
    assert rows[-1][1:] == ["S", "250 2.0.0 Ok: queued as 4FAR12"]
    assert ["C", f"<54 bytes, sha256 {known[:12]}…>"] in [row[1:] for row in rows]
    assert "three" not in transaction.transcript.as_text()
    times = [float(str(row[0])) for row in rows]
    assert times == sorted(times)
    phases = {"mail", "rcpt", "body", "dot"} | ({"data"} if "CHUNKING" not in offers else set())
    assert set(transaction.phases_ms) == phases
    assert all(spent >= 0 for spent in transaction.phases_ms.values())
    json.dumps([rows, transaction.phases_ms, session.facts.phases_ms])


async def test_it_knows_whom_it_talks_to() -> None:
    async with FarEnd(offers=("SIZE 1000", "X-ODD a b")).serving() as far_end:
        session = await Session.open(far_end.server())
        await session.quit()
    facts = session.facts
    assert (facts.host, facts.port) == ("127.0.0.1", far_end.port)
    assert facts.address == facts.local_address == "127.0.0.1"
    assert facts.greeting == "far.test ESMTP"
    assert facts.extensions == {"SIZE": "1000", "X-ODD": "a b"}
    assert facts.tls is None
    assert facts.tried == []
    assert set(facts.phases_ms) == {"resolve", "connect", "greeting", "ehlo"}
    assert [row[2] for row in session.transcript.dump()] == [
        f"connecting to 127.0.0.1 port {far_end.port}",
        "220 far.test ESMTP",
        "EHLO client.test",
        "250-far.test\n250-SIZE 1000\n250 X-ODD a b",
    ]
    assert session.transcript.close is not None
    assert [row[2] for row in session.transcript.close.dump()][:2] == ["QUIT", "221 2.0.0 bye"]


async def test_it_hears_replies_while_it_writes() -> None:
    """Protocol item 78: no deadlock, however many recipients there are."""
    recipients = tuple(f"somebody.{n}@{'long.' * 20}test" for n in range(1_500))
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        envelope = Envelope(sender="", recipients=recipients)
        transaction = await session.send(envelope, SOURCE, yes)
        await session.quit()
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.ACCEPTED}


@pytest.mark.parametrize(
    ("said", "queue_id"),
    [
        ("250 2.0.0 Ok: queued as 4bF2pJ1Xz9z3k", "4bF2pJ1Xz9z3k"),
        ("250 OK id=1tQ2aB-000000001Jb-0xYz", "1tQ2aB-000000001Jb-0xYz"),
        ("250 ok 1712345678 qp 12345", "12345"),
        ("250 2.0.0 45Q8x0Ab012345 Message accepted for delivery", "45Q8x0Ab012345"),
        ("250 2.0.0 OK  1712345678 d9443c01a7336-1e2f3 - gsmtp", "d9443c01a7336-1e2f3"),
        ("250 Message Queued (5F9A1B2C-3D4E.1)", "5F9A1B2C-3D4E.1"),
        ("250 Ok 0102018f1a2b3c4d-11aa22bb-000000", "0102018f1a2b3c4d-11aa22bb-000000"),
        ("250 2.6.0 <x@y> [InternalId=12345, Hostname=h] Queued mail for delivery", "12345"),
        ("250 ok", ""),
        ("250 2.0.0 thank you", ""),
        ("250", ""),
    ],
)
async def test_it_finds_the_queue_id_where_one_is_said(said: str, queue_id: str) -> None:
    """Protocol item 68."""
    async with FarEnd(replies={"DOT": said}).serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert transaction.queue_id == queue_id

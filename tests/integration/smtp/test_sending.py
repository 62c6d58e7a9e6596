"""Whole messages over a real socket, in each of the modes a transaction can take."""

import hashlib
import json

import pytest

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Connection, Disposition, Envelope, Part
from tests.integration.smtp.scripted_server import EXTENSIONS, ScriptedServer

SOURCE = b"From: a@x.test\r\nSubject: hello\r\n\r\n.one\r\n..two\r\nthree\r\n"
ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test", "c@y.test"))

MODES = {
    "step by step": tuple(o for o in EXTENSIONS if o not in {"PIPELINING", "CHUNKING"}),
    "pipelined": tuple(o for o in EXTENSIONS if o != "CHUNKING"),
    "chunks": tuple(o for o in EXTENSIONS if o != "PIPELINING"),
    "single write": EXTENSIONS,
}
IN_EACH_MODE = pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
# What a server can be asked in each mode; chunks do without DATA.
AT_EACH_COMMAND = pytest.mark.parametrize(
    ("command", "mode"),
    [
        (command, mode)
        for command in ("MAIL", "RCPT", "DATA", "DOT")
        for mode, extensions in MODES.items()
        if command != "DATA" or "CHUNKING" not in extensions
    ],
)


async def permit() -> bool:
    return True


@IN_EACH_MODE
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
async def test_it_delivers_byte_for_byte(extensions: tuple[str, ...], source: bytes) -> None:
    """Protocol items 64, 65 and 73; three messages on one connection."""
    async with ScriptedServer(extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        for _ in range(3):
            transaction = await session.send(ENVELOPE, source, permit)
            assert transaction.fault is None
            for outcome in transaction.recipients:
                assert outcome.disposition is Disposition.ACCEPTED
                assert outcome.command == "DOT"
            assert session.usable
        await session.quit()
    assert remote.messages == [source] * 3
    assert remote.connections == 1
    assert session.messages == 3
    assert remote.commands[-1] == "QUIT"


async def test_it_needs_one_delivered_message_before_a_single_write() -> None:
    """Protocol item 77: the first message shows whether replies and commands match."""
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        first = await session.send(ENVELOPE, SOURCE, permit)
        second = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    speakers = ["".join(str(row[1]) for row in t.transcript.dump()) for t in (first, second)]
    assert speakers == ["CCCSSSCCS", "CCCCCSSSS"]


@pytest.mark.parametrize("mode", ["pipelined", "chunks"])
async def test_it_can_be_configured_not_to_use_an_extension(mode: str) -> None:
    async with ScriptedServer(extensions=MODES[mode]).serving() as remote:
        session = await Connection.open(remote.server(pipelining=False, chunking=False))
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert "DATA" in remote.commands
    assert "".join(str(row[1]) for row in transaction.transcript.dump()) == "CSCSCSCSCCS"


async def test_it_splits_a_large_message_into_chunks() -> None:
    """Protocol item 73: exactly n bytes each, LAST on the final one."""
    source = b"x" * 98 + b"\r\n"
    source *= 30_000
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, source, permit)
        await session.quit()
    chunks = [command for command in remote.commands if command.startswith("BDAT")]
    assert chunks == ["BDAT 1048576", "BDAT 1048576", "BDAT 837312", "BDAT 65536 LAST"]
    assert remote.messages == [source]


async def test_it_stops_at_a_rejected_chunk() -> None:
    """Protocol item 74: no more chunks for that transaction, then RSET."""
    replies = {"BDAT": ["250 ok", "552 5.3.4 too big"]}
    async with ScriptedServer(replies=replies).serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, b"x" * 98 + b"\r\n" * 1_500_000, permit)
        again = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    for outcome in transaction.recipients:
        assert outcome.disposition is Disposition.PERMANENT
        assert outcome.command == "DATA"
    assert not transaction.dot_sent
    assert remote.commands[remote.commands.index("RSET") - 1].startswith("BDAT")
    assert again.recipients[0].disposition is Disposition.ACCEPTED
    assert remote.messages == [SOURCE]


@IN_EACH_MODE
async def test_it_records_the_dialogue_and_its_durations(extensions: tuple[str, ...]) -> None:
    """Protocol item 68; the body is kept as its size and hash only."""
    async with ScriptedServer(extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        known = hashlib.sha256(SOURCE).hexdigest()
        transaction = await session.send(ENVELOPE, SOURCE, permit, source_sha256=known)
        await session.quit()
    assert transaction.queue_id == "4QUEUED12"
    assert transaction.transcript.part is Part.TRANSFER
    rows = transaction.transcript.dump()
    assert rows[-1][1:] == ["S", "250 2.0.0 Ok: queued as 4QUEUED12"]
    assert ["C", f"<54 bytes, sha256 {known[:12]}…>"] in [row[1:] for row in rows]
    assert "three" not in transaction.transcript.as_text()
    times = [float(str(row[0])) for row in rows]
    assert times == sorted(times)
    phases = {"mail", "rcpt", "body", "dot"} | ({"data"} if "CHUNKING" not in extensions else set())
    assert set(transaction.phases_ms) == phases
    assert all(spent >= 0 for spent in transaction.phases_ms.values())
    json.dumps([rows, transaction.phases_ms, session.facts.phases_ms])


async def test_it_sends_the_host_name_in_tls() -> None:
    async with ScriptedServer(extensions=("SIZE 1000", "X-ODD a b")).serving() as remote:
        session = await Connection.open(remote.server())
        await session.quit()
    facts = session.facts
    assert (facts.host, facts.port) == ("127.0.0.1", remote.port)
    assert facts.address == facts.local_address == "127.0.0.1"
    assert facts.greeting == "far.test ESMTP"
    assert facts.extensions == {"SIZE": "1000", "X-ODD": "a b"}
    assert facts.tls is None
    assert facts.tried == []
    assert set(facts.phases_ms) == {"resolve", "connect", "greeting", "ehlo"}
    assert [row[2] for row in session.transcript.dump()] == [
        Reason(ReasonCode.CONNECTING, address="127.0.0.1", port=str(remote.port)).dump(),
        "220 far.test ESMTP",
        "EHLO client.test",
        "250-far.test\n250-SIZE 1000\n250 X-ODD a b",
    ]
    assert session.transcript.close is not None
    assert [row[2] for row in session.transcript.close.dump()][:2] == ["QUIT", "221 2.0.0 bye"]


async def test_it_reads_replies_while_it_writes() -> None:
    """Protocol item 78: no deadlock, however many recipients there are."""
    recipients = tuple(f"person.{n}@{'long.' * 20}test" for n in range(1_500))
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        envelope = Envelope(sender="", recipients=recipients)
        transaction = await session.send(envelope, SOURCE, permit)
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
async def test_it_finds_the_queue_id_in_the_reply(said: str, queue_id: str) -> None:
    """Protocol item 68."""
    async with ScriptedServer(replies={"DOT": said}).serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert transaction.queue_id == queue_id

"""A server that closes, resets or sends invalid replies, at every stage and in every mode."""

import asyncio
import socket
import struct
import time
from typing import cast

import pytest

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import (
    Connection,
    Disposition,
    Envelope,
    FaultKind,
    Phase,
    SmtpFault,
    Timeouts,
    Transcript,
)
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.transport import SmtpTransport
from tests.integration.smtp.scripted_server import Entry, Raw, ScriptedServer, ServerAction
from tests.integration.smtp.test_sending import AT_EACH_COMMAND, IN_EACH_MODE, MODES, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test", "c@y.test"))
WAYS: dict[str, Entry] = {
    "closes": ServerAction.CLOSE,
    "resets": ServerAction.RESET,
    "half a reply, then closes": Raw(b"250-half a", ServerAction.CLOSE),
    "garbage": "what?",
    "421": Raw(b"421 4.3.2 bye\r\n", ServerAction.CLOSE),
    "421 and goes on": "421 4.3.2 bye",
    "wrong class": "150 wait",
    "endless line": Raw(b"2" * 100_000),
    "endless reply": Raw(b"250-more\r\n" * 2_000),
    "binary": Raw(bytes(range(256)) * 4 + b"\r\n"),
}
SHUTDOWN = {"421", "421 and goes on"}


async def permit() -> bool:
    return True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("command", "phase"), [("GREETING", Phase.GREETING), ("EHLO", Phase.EHLO), ("AUTH", Phase.AUTH)]
)
async def test_an_opening_ends_in_a_fault(command: str, phase: Phase, way: str) -> None:
    """Protocol items 23, 82, 83 and 89; the fault has transcript and facts."""
    async with ScriptedServer({command: WAYS[way]}, extensions=("AUTH PLAIN",)).serving() as remote:
        server = remote.server(username="ann", secret="s3cret-word", allow_plaintext_auth=True)
        with pytest.raises(SmtpFault) as caught:
            await Connection.open(server)
    fault = caught.value
    assert fault.phase is phase
    assert fault.facts is not None
    assert fault.facts.address == "127.0.0.1"
    assert fault.transcript is not None
    assert str(fault.reason) in fault.transcript.as_text()
    assert "s3cret" not in fault.transcript.as_text()
    if way in SHUTDOWN:
        assert fault.kind is FaultKind.SHUTDOWN
        assert fault.reply is not None


@AT_EACH_COMMAND
@pytest.mark.parametrize("way", WAYS)
async def test_only_a_transaction_after_its_final_dot_is_uncertain(
    command: str, mode: str, way: str
) -> None:
    """Protocol items 71, 77, 82, 89 and 96."""
    async with ScriptedServer({command: WAYS[way]}, extensions=MODES[mode]).serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        assert not session.usable
        await session.quit()
    fault = transaction.fault
    assert fault is not None
    # A reset may overtake replies that were said before it.
    assert fault.phase == command.lower() or way == "resets"
    if command != "DOT":
        expected = Disposition.NOT_TRIED
    else:
        expected = Disposition.TRANSIENT if way in SHUTDOWN else Disposition.UNCERTAIN
    assert {outcome.disposition for outcome in transaction.recipients} == {expected}
    assert transaction.dot_sent == (command == "DOT")


@pytest.mark.parametrize("mode", ["step by step", "pipelined"])
@pytest.mark.parametrize("end", [ServerAction.CLOSE, ServerAction.SILENCE])
async def test_it_reads_why_the_server_ended_in_the_middle_of_a_large_body(
    mode: str, end: ServerAction
) -> None:
    """Protocol item 71: the reply in hand comes before the broken connection."""
    replies = {"DATA": Raw(b"354 go ahead\r\n552 5.3.4 too big for me\r\n", end)}
    async with ScriptedServer(replies, extensions=MODES[mode]).serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, b"x" * 10_000_000 + b"\r\n", permit)
        began = time.monotonic()
        await session.quit()
        assert time.monotonic() - began < 2.0, "it waits for a server that reads no more"
    for outcome in transaction.recipients:
        assert outcome.disposition is Disposition.PERMANENT
        assert outcome.command == "DATA"
        assert outcome.reply is not None
        assert outcome.reply.code == 552
    assert not transaction.dot_sent
    assert transaction.transcript.as_text().count("552 5.3.4 too big") == 1


async def test_it_reads_input_from_before_the_connection_broke() -> None:
    """Protocol item 71: writing fails first, yet a reply lies there."""
    ours, theirs = socket.socketpair()
    protocol = Protocol()
    transport = SmtpTransport(protocol, Timeouts(), Transcript())
    await asyncio.get_running_loop().create_connection(lambda: transport, sock=ours)
    for verb, reply in ((None, b"220 far.test\r\n"), (Verb.EHLO, b"250 far.test\r\n")):
        if verb is not None:
            transport.write(protocol.command(verb))
        theirs.send(reply)
        await transport.wait_for_replies()
    theirs.send(b"421 4.3.2 bye\r\n")
    theirs.close()
    transport.write(protocol.command(Verb.MAIL))
    with pytest.raises(SmtpFault) as caught:
        await transport.wait_for_replies()
    assert caught.value.kind is FaultKind.SHUTDOWN


async def test_a_transport_of_another_event_loop_is_used() -> None:
    """Those of uvloop are not of asyncio's class, but have its methods."""

    class OtherTransport:
        def write(self, data: bytes) -> None:
            written.append(data)

    written: list[bytes] = []
    transport = SmtpTransport(Protocol(), Timeouts(), Transcript())
    transport.connection_made(cast("asyncio.BaseTransport", OtherTransport()))
    transport.write(b"EHLO here.test\r\n")
    transport.flush()
    assert written == [b"EHLO here.test\r\n"]


async def test_a_reset_connection_is_reported_without_the_error_number() -> None:
    ours, theirs = socket.socketpair()
    transport = SmtpTransport(Protocol(), Timeouts(), Transcript())
    await asyncio.get_running_loop().create_connection(lambda: transport, sock=ours)
    transport.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    with pytest.raises(SmtpFault) as caught:
        await transport.wait_for_replies()
    theirs.close()
    assert caught.value.reason == Reason(ReasonCode.CONNECTION_RESET)


async def test_a_large_body_is_sent_completely_before_its_end() -> None:
    """Protocol item 96: a dot that waits after a lost body would count as sent."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    theirs.setblocking(False)
    transport = SmtpTransport(Protocol(), Timeouts(), Transcript())
    loop = asyncio.get_running_loop()
    connected, _ = await loop.create_connection(lambda: transport, sock=ours)
    streaming = asyncio.create_task(transport.stream(b"x" * 300_000))
    left = 300_000
    while not streaming.done():
        left -= len(await loop.sock_recv(theirs, 1_000))
    assert connected.get_write_buffer_size() == 0
    assert left < 50_000, "the kernel took the rest"
    connected.abort()
    theirs.close()


async def test_it_stops_writing_when_the_connection_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """asyncio warns in the worker's log of each write to a lost connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    transport = SmtpTransport(Protocol(), Timeouts(), Transcript())
    await asyncio.get_running_loop().create_connection(lambda: transport, sock=ours)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    await transport.stream(b"x" * 5_000_000)
    with pytest.raises(SmtpFault):
        await transport.wait_for_replies()
    assert "socket.send() raised exception" not in caplog.text


@pytest.mark.parametrize("mode", MODES)
async def test_a_body_cut_short_is_certainly_not_accepted(mode: str) -> None:
    """Protocol item 71."""
    scripted = ScriptedServer(extensions=MODES[mode], closes_after_body_bytes=100_000)
    async with scripted.serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, b"x" * 10_000_000 + b"\r\n", permit)
    assert transaction.fault is not None
    assert transaction.fault.kind in {FaultKind.CLOSED, FaultKind.RESET}
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.NOT_TRIED}
    assert not transaction.dot_sent


@IN_EACH_MODE
async def test_it_aborts_a_connection_whose_replies_do_not_match(
    extensions: tuple[str, ...],
) -> None:
    """Protocol item 77: nothing is marked as delivered."""
    replies = {"MAIL": "250 ok\r\n250 ok"}
    async with ScriptedServer(replies, extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        assert not session.usable
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.PROTOCOL
    kinds = {outcome.disposition for outcome in transaction.recipients}
    assert Disposition.ACCEPTED not in kinds
    assert transaction.transcript.as_text().count("S 250 ok") == 2


async def test_a_missing_reply_ends_the_session_by_its_deadline() -> None:
    """Protocol item 77: one reply missing."""
    replies: dict[str, list[Entry]] = {"RCPT": ["250 ok", ServerAction.IGNORE]}
    async with ScriptedServer(replies, extensions=MODES["pipelined"]).serving() as remote:
        session = await Connection.open(remote.server(timeouts=Timeouts(data=0.2, command=0.2)))
        transaction = await session.send(ENVELOPE, SOURCE, permit)
    assert transaction.fault is not None
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.NOT_TRIED}
    assert not remote.messages

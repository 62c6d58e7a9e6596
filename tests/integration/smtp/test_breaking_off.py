"""A server that hangs up, resets or talks nonsense, at every stage and in every course."""

import asyncio
import socket
import time

import pytest

from outbox.smtp import (
    Disposition,
    Envelope,
    FaultKind,
    Phase,
    Session,
    SmtpFault,
    Timeouts,
    Transcript,
)
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.wire import Wire
from tests.integration.smtp.far_end import Act, Entry, FarEnd, Raw
from tests.integration.smtp.test_sending import AT_EACH_COMMAND, COURSES, IN_EACH_COURSE, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test", "c@y.test"))
WAYS: dict[str, Entry] = {
    "closes": Act.CLOSE,
    "resets": Act.RESET,
    "half a reply, then closes": Raw(b"250-half a", Act.CLOSE),
    "garbage": "what?",
    "421": Raw(b"421 4.3.2 bye\r\n", Act.CLOSE),
    "421 and goes on": "421 4.3.2 bye",
    "wrong class": "150 wait",
    "endless line": Raw(b"2" * 100_000),
    "endless reply": Raw(b"250-more\r\n" * 2_000),
    "binary": Raw(bytes(range(256)) * 4 + b"\r\n"),
}
SHUTDOWN = {"421", "421 and goes on"}


async def yes() -> bool:
    return True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("command", "phase"), [("GREETING", Phase.GREETING), ("EHLO", Phase.EHLO), ("AUTH", Phase.AUTH)]
)
async def test_an_opening_ends_in_a_fault(command: str, phase: Phase, way: str) -> None:
    """Protocol items 23, 82, 83 and 89; the fault carries transcript and facts."""
    async with FarEnd({command: WAYS[way]}, offers=("AUTH PLAIN",)).serving() as far_end:
        server = far_end.server(username="ann", secret="s3cret-word", allow_plaintext_auth=True)
        with pytest.raises(SmtpFault) as caught:
            await Session.open(server)
    fault = caught.value
    assert fault.phase is phase
    assert fault.facts is not None
    assert fault.facts.address == "127.0.0.1"
    assert fault.transcript is not None
    assert fault.detail in fault.transcript.as_text()
    assert "s3cret" not in fault.transcript.as_text()
    if way in SHUTDOWN:
        assert fault.kind is FaultKind.SHUTDOWN
        assert fault.reply is not None


@AT_EACH_COMMAND
@pytest.mark.parametrize("way", WAYS)
async def test_a_transaction_leaves_only_what_the_dot_left_uncertain(
    command: str, course: str, way: str
) -> None:
    """Protocol items 71, 77, 82, 89 and 96."""
    async with FarEnd({command: WAYS[way]}, offers=COURSES[course]).serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, SOURCE, yes)
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


@pytest.mark.parametrize("course", ["step by step", "pipelined"])
@pytest.mark.parametrize("end", [Act.CLOSE, Act.SILENCE])
async def test_it_reads_why_the_server_gave_up_amid_a_large_body(course: str, end: Act) -> None:
    """Protocol item 71: the reply in hand comes before the broken connection."""
    replies = {"DATA": Raw(b"354 go ahead\r\n552 5.3.4 too big for me\r\n", end)}
    async with FarEnd(replies, offers=COURSES[course]).serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, b"x" * 10_000_000 + b"\r\n", yes)
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


async def test_it_reads_what_was_said_before_the_connection_broke() -> None:
    """Protocol item 71: writing fails first, yet a reply lies there."""
    ours, theirs = socket.socketpair()
    protocol = Protocol()
    wire = Wire(protocol, Timeouts(), Transcript())
    await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
    for verb, reply in ((None, b"220 far.test\r\n"), (Verb.EHLO, b"250 far.test\r\n")):
        if verb is not None:
            wire.write(protocol.command(verb))
        theirs.send(reply)
        await wire.answers()
    theirs.send(b"421 4.3.2 bye\r\n")
    theirs.close()
    wire.write(protocol.command(Verb.MAIL))
    with pytest.raises(SmtpFault) as caught:
        await wire.answers()
    assert caught.value.kind is FaultKind.SHUTDOWN


async def test_reset_connection_is_named_without_the_number_of_the_error() -> None:
    ours, theirs = socket.socketpair()
    wire = Wire(Protocol(), Timeouts(), Transcript())
    await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
    wire.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    with pytest.raises(SmtpFault) as caught:
        await wire.answers()
    theirs.close()
    assert caught.value.detail == "the connection was reset"


async def test_all_of_a_large_body_has_left_before_its_end_does() -> None:
    """Protocol item 96: a dot that waits behind a lost body would count as sent."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    theirs.setblocking(False)
    wire = Wire(Protocol(), Timeouts(), Transcript())
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: wire, sock=ours)
    streaming = asyncio.create_task(wire.stream(b"x" * 300_000))
    left = 300_000
    while not streaming.done():
        left -= len(await loop.sock_recv(theirs, 1_000))
    assert transport.get_write_buffer_size() == 0
    assert left < 50_000, "the kernel took the rest"
    transport.abort()
    theirs.close()


@pytest.mark.parametrize("course", COURSES)
async def test_a_body_cut_short_is_certainly_not_accepted(course: str) -> None:
    """Protocol item 71."""
    far = FarEnd(offers=COURSES[course], closes_after_body_bytes=100_000)
    async with far.serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, b"x" * 10_000_000 + b"\r\n", yes)
    assert transaction.fault is not None
    assert transaction.fault.kind in {FaultKind.CLOSED, FaultKind.RESET}
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.NOT_TRIED}
    assert not transaction.dot_sent


@IN_EACH_COURSE
async def test_it_drops_a_connection_whose_replies_do_not_match(offers: tuple[str, ...]) -> None:
    """Protocol item 77: nothing is marked as delivered."""
    replies = {"MAIL": "250 ok\r\n250 ok"}
    async with FarEnd(replies, offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        assert not session.usable
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.PROTOCOL
    kinds = {outcome.disposition for outcome in transaction.recipients}
    assert Disposition.ACCEPTED not in kinds
    assert transaction.transcript.as_text().count("S 250 ok") == 2


async def test_a_server_that_answers_too_little_is_waited_for_and_left() -> None:
    """Protocol item 77: one reply missing."""
    replies: dict[str, list[Entry]] = {"RCPT": ["250 ok", Act.IGNORE]}
    async with FarEnd(replies, offers=COURSES["pipelined"]).serving() as far_end:
        session = await Session.open(far_end.server(timeouts=Timeouts(data=0.2, command=0.2)))
        transaction = await session.send(ENVELOPE, SOURCE, yes)
    assert transaction.fault is not None
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.NOT_TRIED}
    assert not far_end.mails

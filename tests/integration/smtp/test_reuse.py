"""Several messages on one connection, and idle connections."""

import asyncio
import gc
import socket
import weakref

import pytest

from outbox.smtp import (
    Connection,
    Disposition,
    Envelope,
    FaultKind,
    Phase,
    Security,
    Server,
    SessionFacts,
    Timeouts,
    Transaction,
    Transcript,
)
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.transport import SmtpTransport
from tests.integration.smtp.scripted_server import Entry, Raw, ScriptedServer, ServerAction
from tests.integration.smtp.test_sending import IN_EACH_MODE, MODES, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test",))
FACTS = SessionFacts("far.test", 25)


async def permit() -> bool:
    return True


async def no_longer_usable(session: Connection) -> bool:
    """Wait until the session notices, for as long as an idle one may take."""
    for _ in range(1_000):
        if not await session.check_idle():
            return True
        await asyncio.sleep(0.005)
    return False


def is_not_tried(transaction: Transaction) -> bool:
    return transaction.recipients[0].disposition is Disposition.NOT_TRIED


@pytest.mark.parametrize(
    ("last_words", "kind"),
    [
        (b"421 4.4.2 idle too long\r\n", FaultKind.SHUTDOWN),
        (b"", FaultKind.CLOSED),
        (b"hello?\r\n", FaultKind.PROTOCOL),
    ],
)
async def test_a_server_that_closes_early_does_no_harm(last_words: bytes, kind: FaultKind) -> None:
    """Protocol item 90: not an attempt, nothing said, nothing uncertain."""
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)
        assert await session.check_idle()
        remote.close_all(last_words)
        assert await no_longer_usable(session)
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert is_not_tried(transaction)
    assert transaction.fault is not None
    assert (transaction.fault.phase, transaction.fault.kind) == (Phase.IDLE, kind)
    assert transaction.transcript.dump() == []
    assert session.messages == 1
    assert session.transcript.close is not None
    close = session.transcript.close.as_text()
    assert str(transaction.fault.reason) in close
    assert close.count("421 4.4.2 idle too long") == (kind is FaultKind.SHUTDOWN)


async def test_one_check_of_an_idle_session_is_enough() -> None:
    """Protocol item 90: what lies in the kernel's buffer counts, before the loop has seen it."""
    ours, theirs = socket.socketpair()
    transport = SmtpTransport(Protocol(), Timeouts(), Transcript())
    await asyncio.get_running_loop().create_connection(lambda: transport, sock=ours)
    session = Connection(Server(host="far.test", port=25, security=Security.NONE), transport, FACTS)
    for verb, reply in ((None, b"220 far.test\r\n"), (Verb.EHLO, b"250 far.test\r\n")):
        if verb is not None:
            transport.write(transport.protocol.command(verb))
        theirs.send(reply)
        await transport.wait_for_replies()
    usable = [await session.check_idle()]
    theirs.send(b"421 4.4.2 idle too long\r\n")
    usable.append(await session.check_idle())
    theirs.close()
    await session.quit()
    assert usable == [True, False]
    assert transport.transcript.as_text().count("421 4.4.2 idle too long") == 1


async def test_an_idle_session_is_trusted_no_more_than_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protocol item 94: lost unnoticed, it leaves the message untried, not uncertain."""
    async with ScriptedServer({"MAIL": ["250 ok", ServerAction.CLOSE]}).serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)
        monkeypatch.setattr("outbox.smtp.connection._FRESH_FOR", 0.0)
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert is_not_tried(transaction)
    assert not transaction.dot_sent


async def test_a_partial_line_while_idle_ends_the_session() -> None:
    """Protocol item 90: a check for pending input before the next transaction."""
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)
        remote.send_unsolicited(b"42")
        assert await no_longer_usable(session)
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert is_not_tried(transaction)
    assert len(remote.messages) == 1


@pytest.mark.parametrize("mode", ["step by step", "pipelined", "chunks"])
async def test_a_failed_first_command_leaves_the_message_untried(mode: str) -> None:
    """Protocol item 94: the connection broke unnoticed; the dot was not sent."""
    replies: dict[str, list[Entry]] = {"MAIL": ["250 ok", ServerAction.CLOSE]}
    async with ScriptedServer(replies, extensions=MODES[mode]).serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert is_not_tried(transaction)
    assert not transaction.dot_sent


@pytest.mark.parametrize(
    "goodbye",
    [ServerAction.CLOSE, ServerAction.RESET, Raw(b"nonsense"), "500 what", "421 bye"],
    ids=str,
)
async def test_an_accepted_message_stays_accepted_however_quit_ends(goodbye: Entry) -> None:
    """Protocol item 92."""
    async with ScriptedServer({"QUIT": goodbye}).serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
        await session.quit()
    assert transaction.fault is None
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED
    assert not session.usable


@IN_EACH_MODE
async def test_a_close_after_the_last_reply_changes_no_outcome(
    extensions: tuple[str, ...],
) -> None:
    """Protocol item 92."""
    replies = {"DOT": Raw(b"250 2.0.0 Ok: queued as 4QUEUED12\r\n", ServerAction.CLOSE)}
    async with ScriptedServer(replies, extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        assert await no_longer_usable(session)
        await session.quit()
    assert transaction.fault is None
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


async def test_it_obeys_the_message_limit_of_a_server() -> None:
    """Protocol item 60."""
    async with ScriptedServer(extensions=("LIMITS MAILMAX=2",)).serving() as remote:
        session = await Connection.open(remote.server())
        usable = []
        for _ in range(2):
            await session.send(ENVELOPE, SOURCE, permit)
            usable.append(session.usable)
        assert usable == [True, False]
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert is_not_tried(transaction)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.LOCAL
    assert len(remote.messages) == 2


@IN_EACH_MODE
async def test_it_sends_rset_after_a_rejected_transaction(extensions: tuple[str, ...]) -> None:
    """Protocol item 91."""
    replies = {"DOT": ["554 5.7.1 spam", "250 ok"]}
    async with ScriptedServer(replies, extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        refused = await session.send(ENVELOPE, SOURCE, permit)
        assert session.usable
        accepted = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert refused.recipients[0].disposition is Disposition.PERMANENT
    assert accepted.recipients[0].disposition is Disposition.ACCEPTED
    assert remote.commands.count("RSET") == 1


async def test_a_session_that_is_over_is_released() -> None:
    """A deadline left behind would keep it in memory for minutes."""
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    part = weakref.ref(session.transcript.close)
    del session
    await asyncio.sleep(0)
    gc.collect()
    assert part() is None


async def test_it_knows_when_it_was_last_used() -> None:
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        opened, used = session.opened_at, session.last_used_at
        await asyncio.sleep(0.01)
        await session.send(ENVELOPE, SOURCE, permit)
        assert session.opened_at == opened
        assert session.last_used_at > used
        session.abort()
        assert not session.usable

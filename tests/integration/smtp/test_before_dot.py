"""The permission to send the final dot; protocol item 72."""

import asyncio

import pytest

from outbox.smtp import Connection, Disposition, Envelope, FaultKind
from tests.integration.smtp.scripted_server import Entry, ScriptedServer, ServerAction
from tests.integration.smtp.test_sending import IN_EACH_MODE, MODES, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test",))


async def permit() -> bool:
    return True


class DelayedPermission:
    """A `before_dot` that returns when it is released, and records what the server had then."""

    def __init__(self, remote: ScriptedServer, is_granted: bool = True) -> None:
        self.remote = remote
        self.is_granted = is_granted
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.ended = False
        self.messages_then = -1

    async def __call__(self) -> bool:
        self.started.set()
        try:
            await self.release.wait()
            self.messages_then = len(self.remote.messages)
            return self.is_granted
        finally:
            self.ended = True


@IN_EACH_MODE
async def test_the_end_waits_for_the_permission(extensions: tuple[str, ...]) -> None:
    async with ScriptedServer(extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        permission = DelayedPermission(remote)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, permission))
        await permission.started.wait()
        await asyncio.sleep(0.05)  # time for a final dot that must not come
        assert not remote.messages
        permission.release.set()
        transaction = await sending
        await session.quit()
    assert permission.messages_then == 0
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED
    assert remote.messages == [SOURCE]


@IN_EACH_MODE
async def test_a_denied_permission_aborts_the_connection_without_the_end(
    extensions: tuple[str, ...],
) -> None:
    async with ScriptedServer(extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        permission = DelayedPermission(remote, is_granted=False)
        permission.release.set()
        transaction = await session.send(ENVELOPE, SOURCE, permission)
        assert not session.usable
        await session.quit()
        await asyncio.sleep(0.02)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert transaction.recipients[0].disposition is Disposition.NOT_TRIED
    assert not transaction.dot_sent
    assert not remote.messages
    assert "QUIT" not in remote.commands


@IN_EACH_MODE
async def test_an_outdated_permission_is_denied(extensions: tuple[str, ...]) -> None:
    async with ScriptedServer(extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)  # a proven session requests the dot early
        transaction = await session.send(ENVELOPE, SOURCE, permit, lease_held=lambda: False)
        await session.quit()
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert not transaction.dot_sent
    assert remote.messages == [SOURCE], "the end of the second was sent"


async def test_an_exception_denies_the_permission_and_is_the_cause() -> None:
    async def broken() -> bool:
        raise ConnectionError("the database is gone")

    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server())
        transaction = await session.send(ENVELOPE, SOURCE, broken)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert isinstance(transaction.fault.__cause__, ConnectionError)
    assert not remote.messages


async def test_a_long_body_is_sent_before_the_permission() -> None:
    source = SOURCE + b"one more line\r\n" * 2_000
    async with ScriptedServer(extensions=MODES["pipelined"]).serving() as remote:
        session = await Connection.open(remote.server())
        permission = DelayedPermission(remote)
        sending = asyncio.create_task(session.send(ENVELOPE, source, permission))
        await permission.started.wait()
        await remote.until(lambda: remote.bytes_in_body >= len(source))
        assert not remote.messages
        permission.release.set()
        await sending
        await session.quit()


async def test_its_call_is_awaited_when_every_recipient_was_rejected() -> None:
    """It was started with the envelope and must not be left running."""
    replies = {"RCPT": ["250 ok", "550 5.1.1 no"]}
    async with ScriptedServer(replies, extensions=MODES["pipelined"]).serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)
        permission = DelayedPermission(remote)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, permission))
        await permission.started.wait()
        await asyncio.sleep(0.05)
        assert not sending.done()
        permission.release.set()
        transaction = await sending
        assert permission.ended
        assert session.usable
        await session.quit()
    assert transaction.recipients[0].command == "RCPT"
    assert transaction.fault is None


async def test_it_is_requested_during_the_envelope_only_on_a_proven_session() -> None:
    """A worker killed while it waits for a 354 leaves nothing uncertain."""
    for messages_before, starts in ((0, False), (1, True)):
        data: list[Entry] = [*(["354 go ahead"] * messages_before), ServerAction.SILENCE]
        scripted = ScriptedServer({"DATA": data}, extensions=MODES["pipelined"])
        async with scripted.serving() as remote:
            session = await Connection.open(remote.server())
            for _ in range(messages_before):
                await session.send(ENVELOPE, SOURCE, permit)
            permission = DelayedPermission(remote)
            permission.release.set()
            sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, permission))
            await remote.wait_for_command("DATA", messages_before + 1)
            assert permission.ended is starts
            sending.cancel()
            await asyncio.wait([sending])


@IN_EACH_MODE
async def test_a_connection_lost_before_the_permission_leaves_nothing_uncertain(
    extensions: tuple[str, ...],
) -> None:
    async with ScriptedServer(extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        permission = DelayedPermission(remote)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, permission))
        await permission.started.wait()
        remote.close_all()
        await asyncio.sleep(0.05)
        permission.release.set()
        transaction = await sending
    assert transaction.fault is not None
    assert transaction.fault.kind in {FaultKind.CLOSED, FaultKind.RESET}
    assert transaction.recipients[0].disposition is Disposition.NOT_TRIED
    assert not remote.messages


@pytest.mark.parametrize(
    "data", ["354 go ahead", ServerAction.SILENCE], ids=["amid body", "before 354"]
)
async def test_nothing_keeps_running_when_the_sender_is_cancelled(data: Entry) -> None:
    scripted = ScriptedServer({"DATA": ["354 go ahead", data]}, extensions=MODES["pipelined"])
    async with scripted.serving() as remote:
        session = await Connection.open(remote.server())
        await session.send(ENVELOPE, SOURCE, permit)
        permission = DelayedPermission(remote)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, permission))
        await permission.started.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0)
        assert permission.ended
        assert not session.usable
        await asyncio.sleep(0.02)
    assert len(remote.messages) == 1

"""Every phase ends in time, whatever the server does with it."""

import asyncio
import time
from dataclasses import replace

import pytest

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Connection, Disposition, Envelope, FaultKind, Phase, SmtpFault, Timeouts
from tests.integration.smtp.scripted_server import Drip, Entry, ScriptedServer, ServerAction
from tests.integration.smtp.test_sending import AT_EACH_COMMAND, IN_EACH_MODE, MODES, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test", "c@y.test"))
PATIENT = Timeouts()  # for phases in which a busy machine may be slow
LONG = 15.0  # seconds that a phase with a short deadline never takes


def short(command: str, seconds: float = 0.2) -> Timeouts:
    """Return a short deadline for the phase of a command, and patience for all others."""
    names = {"GREETING": "greeting", "AUTH": "auth", "DATA": "data", "BODY": "block", "DOT": "dot"}
    return replace(PATIENT, **{names.get(command, "command"): seconds})


async def permit() -> bool:
    return True


def drip(text: str) -> Drip:
    return Drip(f"{text}\r\n".encode(), 0.05)


SLOW = pytest.mark.parametrize("slow", ["silent", "dripping"])


def entry(slow: str, text: str) -> Entry:
    return ServerAction.SILENCE if slow == "silent" else drip(text)


@SLOW
@pytest.mark.parametrize(
    ("command", "phase"),
    [("GREETING", Phase.GREETING), ("EHLO", Phase.EHLO), ("AUTH", Phase.AUTH)],
)
async def test_an_opening_ends_in_time(command: str, phase: Phase, slow: str) -> None:
    """Protocol items 21 and 88: the time is the phase's, not each byte's."""
    replies = {command: entry(slow, "220 a very long reply indeed")}
    async with ScriptedServer(replies, extensions=("AUTH PLAIN",)).serving() as remote:
        server = remote.server(
            timeouts=short(command), username="ann", secret="x", allow_plaintext_auth=True
        )
        began = time.monotonic()
        with pytest.raises(SmtpFault) as caught:
            await Connection.open(server)
        assert time.monotonic() - began < LONG
    assert (caught.value.phase, caught.value.kind) == (phase, FaultKind.TIMEOUT)
    assert caught.value.reason == Reason(ReasonCode.SERVER_TIMEOUT, seconds=0.2)


@SLOW
@AT_EACH_COMMAND
async def test_a_transaction_ends_in_time(command: str, mode: str, slow: str) -> None:
    """Protocol items 63, 68 and 88; uncertain only after the dot (item 96)."""
    replies = {command: entry(slow, "250 a very long reply indeed")}
    async with ScriptedServer(replies, extensions=MODES[mode]).serving() as remote:
        session = await Connection.open(remote.server(timeouts=short(command)))
        began = time.monotonic()
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        assert time.monotonic() - began < LONG
        assert not session.usable
    assert transaction.fault is not None
    assert (transaction.fault.phase, transaction.fault.kind) == (
        command.lower(),
        FaultKind.TIMEOUT,
    )
    expected = Disposition.UNCERTAIN if command == "DOT" else Disposition.NOT_TRIED
    assert {outcome.disposition for outcome in transaction.recipients} == {expected}


async def test_each_reply_of_a_group_has_its_own_deadline() -> None:
    """RFC 5321 4.5.3.2 gives each RCPT its minutes, in a group as well."""
    replies = {"RCPT": Drip(b"250 ok\r\n", 0.02)}
    recipients = tuple(f"{n}@y.test" for n in range(5))
    async with ScriptedServer(replies, extensions=MODES["pipelined"]).serving() as remote:
        timeouts = short("RCPT", 0.6)
        session = await Connection.open(remote.server(timeouts=timeouts))
        envelope = Envelope(sender="a@x.test", recipients=recipients)
        began = time.monotonic()
        transaction = await session.send(envelope, SOURCE, permit)
        assert time.monotonic() - began > timeouts.command
        await session.quit()
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.ACCEPTED}


@IN_EACH_MODE
async def test_an_unread_body_ends_in_time(extensions: tuple[str, ...]) -> None:
    """Protocol item 67: no progress within a block's time."""
    async with ScriptedServer(
        extensions=extensions, reads_body=False, receive_buffer=65_536
    ).serving() as remote:
        session = await Connection.open(remote.server(timeouts=short("BODY")))
        began = time.monotonic()
        transaction = await session.send(ENVELOPE, b"x" * 12_000_000 + b"\r\n", permit)
        assert time.monotonic() - began < LONG
    assert transaction.fault is not None
    assert (transaction.fault.phase, transaction.fault.kind) == (Phase.BODY, FaultKind.TIMEOUT)
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.NOT_TRIED}
    assert not transaction.dot_sent


@pytest.mark.parametrize("mode", ["pipelined", "single write"])
async def test_a_slow_link_with_progress_has_no_deadline(mode: str) -> None:
    """Protocol item 67: the whole takes longer than any block or the dot may."""
    scripted = ScriptedServer(
        extensions=MODES[mode], body_bytes_per_second=2_500_000, receive_buffer=65_536
    )
    async with scripted.serving() as remote:
        timeouts = replace(PATIENT, block=0.8, dot=0.8)
        session = await Connection.open(remote.server(timeouts=timeouts))
        began = time.monotonic()
        transaction = await session.send(ENVELOPE, b"x" * 5_000_000 + b"\r\n", permit)
        spent = time.monotonic() - began
        await session.quit()
    assert transaction.fault is None
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.ACCEPTED}
    assert spent > timeouts.block + timeouts.dot


@SLOW
async def test_quit_never_takes_long(slow: str) -> None:
    """Protocol item 93."""
    reply = (
        ServerAction.SILENCE
        if slow == "silent"
        else Drip(b"221 2.0.0 a very long goodbye\r\n", 1.0)
    )
    async with ScriptedServer({"QUIT": reply}).serving() as remote:
        timeouts = replace(PATIENT, quit=0.2)
        session = await Connection.open(remote.server(timeouts=timeouts))
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        began = time.monotonic()
        await session.quit()
        assert time.monotonic() - began < LONG
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


async def test_an_idle_session_has_no_deadline() -> None:
    async with ScriptedServer().serving() as remote:
        session = await Connection.open(remote.server(timeouts=short("DOT", 0.5)))
        await session.send(ENVELOPE, SOURCE, permit)
        await asyncio.sleep(1.0)
        assert await session.check_idle()
        transaction = await session.send(ENVELOPE, SOURCE, permit)
        await session.quit()
    assert transaction.fault is None

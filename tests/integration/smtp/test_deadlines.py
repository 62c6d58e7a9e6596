"""Every phase ends in time, whatever the server does with it."""

import asyncio
import time
from dataclasses import replace

import pytest

from outbox.smtp import Disposition, Envelope, FaultKind, Phase, Session, SmtpFault, Timeouts
from tests.integration.smtp.far_end import Act, Drip, Entry, FarEnd
from tests.integration.smtp.test_sending import AT_EACH_COMMAND, COURSES, IN_EACH_COURSE, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test", "c@y.test"))
SHORT = Timeouts(
    greeting=0.2, command=0.2, auth=0.2, data=0.2, block=0.2, dot=0.2, quit=0.2, connect=2.0
)
LONG = 5.0  # what a phase may never take in these tests


async def yes() -> bool:
    return True


def drip(text: str) -> Drip:
    return Drip(f"{text}\r\n".encode(), 0.05)


SLOW = pytest.mark.parametrize("slow", ["silent", "dripping"])


def entry(slow: str, text: str) -> Entry:
    return Act.SILENCE if slow == "silent" else drip(text)


@SLOW
@pytest.mark.parametrize(
    ("command", "phase"),
    [("GREETING", Phase.GREETING), ("EHLO", Phase.EHLO), ("AUTH", Phase.AUTH)],
)
async def test_an_opening_ends_in_time(command: str, phase: Phase, slow: str) -> None:
    """Protocol items 21 and 88: the time is the phase's, not each byte's."""
    replies = {command: entry(slow, "220 a very long answer indeed")}
    async with FarEnd(replies, offers=("AUTH PLAIN",)).serving() as far_end:
        server = far_end.server(
            timeouts=SHORT, username="ann", secret="x", allow_plaintext_auth=True
        )
        began = time.monotonic()
        with pytest.raises(SmtpFault) as caught:
            await Session.open(server)
        assert time.monotonic() - began < LONG
    assert (caught.value.phase, caught.value.kind) == (phase, FaultKind.TIMEOUT)
    assert "0.2 seconds" in caught.value.detail


@SLOW
@AT_EACH_COMMAND
async def test_a_transaction_ends_in_time(command: str, course: str, slow: str) -> None:
    """Protocol items 63, 68 and 88; uncertain only behind the dot (item 96)."""
    replies = {command: entry(slow, "250 a very long answer indeed")}
    async with FarEnd(replies, offers=COURSES[course]).serving() as far_end:
        session = await Session.open(far_end.server(timeouts=SHORT))
        began = time.monotonic()
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        assert time.monotonic() - began < LONG
        assert not session.usable
    assert transaction.fault is not None
    assert (transaction.fault.phase, transaction.fault.kind) == (
        command.lower(),
        FaultKind.TIMEOUT,
    )
    expected = Disposition.UNCERTAIN if command == "DOT" else Disposition.NOT_TRIED
    assert {outcome.disposition for outcome in transaction.recipients} == {expected}


async def test_each_reply_of_a_group_has_a_time_of_its_own() -> None:
    """RFC 5321 4.5.3.2 gives each RCPT its minutes, in a group as well."""
    replies = {"RCPT": Drip(b"250 ok\r\n", 0.02)}
    recipients = tuple(f"{n}@y.test" for n in range(5))
    async with FarEnd(replies, offers=COURSES["pipelined"]).serving() as far_end:
        timeouts = replace(SHORT, command=0.6)
        session = await Session.open(far_end.server(timeouts=timeouts))
        envelope = Envelope(sender="a@x.test", recipients=recipients)
        began = time.monotonic()
        transaction = await session.send(envelope, SOURCE, yes)
        assert time.monotonic() - began > timeouts.command
        await session.quit()
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.ACCEPTED}


@IN_EACH_COURSE
async def test_a_body_nobody_reads_ends_in_time(offers: tuple[str, ...]) -> None:
    """Protocol item 67: no progress within a block's time."""
    async with FarEnd(offers=offers, reads_body=False, receive_buffer=65_536).serving() as far_end:
        session = await Session.open(far_end.server(timeouts=SHORT))
        began = time.monotonic()
        transaction = await session.send(ENVELOPE, b"x" * 12_000_000 + b"\r\n", yes)
        assert time.monotonic() - began < LONG
    assert transaction.fault is not None
    assert (transaction.fault.phase, transaction.fault.kind) == (Phase.BODY, FaultKind.TIMEOUT)
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.NOT_TRIED}
    assert not transaction.dot_sent


@pytest.mark.parametrize("course", ["pipelined", "all at once"])
async def test_a_slow_link_that_moves_has_all_the_time(course: str) -> None:
    """Protocol item 67: the whole takes longer than any block or the dot may."""
    far = FarEnd(offers=COURSES[course], body_bytes_per_second=2_500_000, receive_buffer=65_536)
    async with far.serving() as far_end:
        timeouts = replace(SHORT, block=0.8, dot=0.8)
        session = await Session.open(far_end.server(timeouts=timeouts))
        began = time.monotonic()
        transaction = await session.send(ENVELOPE, b"x" * 5_000_000 + b"\r\n", yes)
        spent = time.monotonic() - began
        await session.quit()
    assert transaction.fault is None
    assert {outcome.disposition for outcome in transaction.recipients} == {Disposition.ACCEPTED}
    assert spent > timeouts.block + timeouts.dot


@SLOW
async def test_parting_is_never_long(slow: str) -> None:
    """Protocol item 93."""
    async with FarEnd({"QUIT": entry(slow, "221 a very long goodbye")}).serving() as far_end:
        session = await Session.open(far_end.server(timeouts=SHORT))
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        began = time.monotonic()
        await session.quit()
        assert time.monotonic() - began < 1.0
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


async def test_an_idle_session_has_no_deadline() -> None:
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server(timeouts=SHORT))
        await session.send(ENVELOPE, SOURCE, yes)
        await asyncio.sleep(0.6)
        assert await session.check_idle()
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert transaction.fault is None

"""The moment before the dot; protocol item 72."""

import asyncio

import pytest

from outbox.smtp import Disposition, Envelope, FaultKind, Session
from tests.integration.smtp.far_end import Act, Entry, FarEnd
from tests.integration.smtp.test_sending import COURSES, IN_EACH_COURSE, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test",))


async def yes() -> bool:
    return True


class Asking:
    """A `before_dot` that notes what the server knew, and answers when it is let."""

    def __init__(self, far_end: FarEnd, answer: bool = True) -> None:
        self.far_end = far_end
        self.answer = answer
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.ended = False
        self.mails_then = -1

    async def __call__(self) -> bool:
        self.started.set()
        try:
            await self.release.wait()
            self.mails_then = len(self.far_end.mails)
            return self.answer
        finally:
            self.ended = True


@IN_EACH_COURSE
async def test_the_end_waits_for_the_answer(offers: tuple[str, ...]) -> None:
    async with FarEnd(offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        asking = Asking(far_end)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, asking))
        await asking.started.wait()
        await asyncio.sleep(0.05)  # time enough for a dot that should not be
        assert not far_end.mails
        asking.release.set()
        transaction = await sending
        await session.quit()
    assert asking.mails_then == 0
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED
    assert far_end.mails == [SOURCE]


@IN_EACH_COURSE
async def test_a_no_drops_the_connection_without_the_end(offers: tuple[str, ...]) -> None:
    async with FarEnd(offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        asking = Asking(far_end, answer=False)
        asking.release.set()
        transaction = await session.send(ENVELOPE, SOURCE, asking)
        assert not session.usable
        await session.quit()
        await asyncio.sleep(0.02)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert transaction.recipients[0].disposition is Disposition.NOT_TRIED
    assert not transaction.dot_sent
    assert not far_end.mails
    assert "QUIT" not in far_end.commands


@IN_EACH_COURSE
async def test_a_yes_that_holds_no_more_is_a_no(offers: tuple[str, ...]) -> None:
    async with FarEnd(offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)  # a proven session asks early
        transaction = await session.send(ENVELOPE, SOURCE, yes, still=lambda: False)
        await session.quit()
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert not transaction.dot_sent
    assert far_end.mails == [SOURCE], "the end of the second left"


async def test_an_exception_is_a_no_and_is_kept_as_the_cause() -> None:
    async def broken() -> bool:
        raise ConnectionError("the database is gone")

    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, SOURCE, broken)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.ABANDONED
    assert isinstance(transaction.fault.__cause__, ConnectionError)
    assert not far_end.mails


async def test_a_long_body_leaves_meanwhile() -> None:
    source = SOURCE + b"one more line\r\n" * 2_000
    async with FarEnd(offers=COURSES["pipelined"]).serving() as far_end:
        session = await Session.open(far_end.server())
        asking = Asking(far_end)
        sending = asyncio.create_task(session.send(ENVELOPE, source, asking))
        await asking.started.wait()
        await far_end.until(lambda: far_end.bytes_in_body >= len(source))
        assert not far_end.mails
        asking.release.set()
        await sending
        await session.quit()


async def test_it_is_seen_to_its_end_when_everybody_was_refused() -> None:
    """Started with the envelope, it would else run on with nobody to hear of it."""
    replies = {"RCPT": ["250 ok", "550 5.1.1 no"]}
    async with FarEnd(replies, offers=COURSES["pipelined"]).serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)
        asking = Asking(far_end)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, asking))
        await asking.started.wait()
        await asyncio.sleep(0.05)
        assert not sending.done()
        asking.release.set()
        transaction = await sending
        assert asking.ended
        assert session.usable
        await session.quit()
    assert transaction.recipients[0].command == "RCPT"
    assert transaction.fault is None


async def test_it_is_asked_beside_the_envelope_only_on_a_proven_session() -> None:
    """A worker killed while a 354 is owed that may never come leaves nothing uncertain."""
    for mails_before, starts in ((0, False), (1, True)):
        data: list[Entry] = [*(["354 go ahead"] * mails_before), Act.SILENCE]
        far = FarEnd({"DATA": data}, offers=COURSES["pipelined"])
        async with far.serving() as far_end:
            session = await Session.open(far_end.server())
            for _ in range(mails_before):
                await session.send(ENVELOPE, SOURCE, yes)
            asking = Asking(far_end)
            asking.release.set()
            sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, asking))
            await far_end.heard("DATA", mails_before + 1)
            assert asking.ended is starts
            sending.cancel()
            await asyncio.wait([sending])


@IN_EACH_COURSE
async def test_a_connection_lost_meanwhile_leaves_nothing_uncertain(
    offers: tuple[str, ...],
) -> None:
    async with FarEnd(offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        asking = Asking(far_end)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, asking))
        await asking.started.wait()
        far_end.hang_up()
        await asyncio.sleep(0.05)
        asking.release.set()
        transaction = await sending
    assert transaction.fault is not None
    assert transaction.fault.kind in {FaultKind.CLOSED, FaultKind.RESET}
    assert transaction.recipients[0].disposition is Disposition.NOT_TRIED
    assert not far_end.mails


@pytest.mark.parametrize("data", ["354 go ahead", Act.SILENCE], ids=["amid body", "before 354"])
async def test_nothing_runs_on_when_the_sender_is_cancelled(data: Entry) -> None:
    far = FarEnd({"DATA": ["354 go ahead", data]}, offers=COURSES["pipelined"])
    async with far.serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)
        asking = Asking(far_end)
        sending = asyncio.create_task(session.send(ENVELOPE, SOURCE, asking))
        await asking.started.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0)
        assert asking.ended
        assert not session.usable
        await asyncio.sleep(0.02)
    assert len(far_end.mails) == 1

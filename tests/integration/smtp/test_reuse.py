"""More than one mail on a connection, and what becomes of one that lies idle."""

import asyncio
import gc
import socket
import weakref

import pytest

from outbox.smtp import (
    Disposition,
    Envelope,
    FaultKind,
    Phase,
    Security,
    Server,
    Session,
    SessionFacts,
    Timeouts,
    Transaction,
    Transcript,
)
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.wire import Wire
from tests.integration.smtp.far_end import Act, Entry, FarEnd, Raw
from tests.integration.smtp.test_sending import COURSES, IN_EACH_COURSE, SOURCE

ENVELOPE = Envelope(sender="a@x.test", recipients=("b@y.test",))
FACTS = SessionFacts("far.test", 25)


async def yes() -> bool:
    return True


async def no_longer_usable(session: Session) -> bool:
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
async def test_a_server_that_leaves_meanwhile_does_no_harm(
    last_words: bytes, kind: FaultKind
) -> None:
    """Protocol item 90: not an attempt, nothing said, nothing uncertain."""
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)
        assert await session.check_idle()
        far_end.hang_up(last_words)
        assert await no_longer_usable(session)
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert is_not_tried(transaction)
    assert transaction.fault is not None
    assert (transaction.fault.phase, transaction.fault.kind) == (Phase.IDLE, kind)
    assert transaction.transcript.dump() == []
    assert session.messages == 1
    assert session.transcript.close is not None
    close = session.transcript.close.as_text()
    assert transaction.fault.detail in close
    assert close.count("421 4.4.2 idle too long") == (kind is FaultKind.SHUTDOWN)


async def test_one_look_at_an_idle_session_is_enough() -> None:
    """Protocol item 90: what lies in the kernel's buffer counts, before the loop has seen it."""
    ours, theirs = socket.socketpair()
    wire = Wire(Protocol(), Timeouts(), Transcript())
    await asyncio.get_running_loop().create_connection(lambda: wire, sock=ours)
    session = Session(Server(host="far.test", port=25, security=Security.NONE), wire, FACTS)
    for verb, reply in ((None, b"220 far.test\r\n"), (Verb.EHLO, b"250 far.test\r\n")):
        if verb is not None:
            wire.write(wire.protocol.command(verb))
        theirs.send(reply)
        await wire.answers()
    usable = [await session.check_idle()]
    theirs.send(b"421 4.4.2 idle too long\r\n")
    usable.append(await session.check_idle())
    theirs.close()
    await session.quit()
    assert usable == [True, False]
    assert wire.transcript.as_text().count("421 4.4.2 idle too long") == 1


async def test_a_session_that_lay_idle_is_trusted_no_further_than_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protocol item 94: gone without a sign, it leaves the mail untried, not uncertain."""
    async with FarEnd({"MAIL": ["250 ok", Act.CLOSE]}).serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)
        monkeypatch.setattr("outbox.smtp.connection._FRESH_FOR", 0.0)
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert is_not_tried(transaction)
    assert not transaction.dot_sent


async def test_half_a_line_heard_while_idle_is_enough_to_leave() -> None:
    """Protocol item 90: a check for pending input before the next MAIL."""
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)
        far_end.say_unasked(b"42")
        assert await no_longer_usable(session)
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert is_not_tried(transaction)
    assert len(far_end.mails) == 1


@pytest.mark.parametrize("course", ["step by step", "pipelined", "chunks"])
async def test_a_first_command_that_fails_leaves_the_mail_untried(course: str) -> None:
    """Protocol item 94: the connection broke unnoticed; the dot was not sent."""
    replies: dict[str, list[Entry]] = {"MAIL": ["250 ok", Act.CLOSE]}
    async with FarEnd(replies, offers=COURSES[course]).serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert is_not_tried(transaction)
    assert not transaction.dot_sent


@pytest.mark.parametrize(
    "goodbye", [Act.CLOSE, Act.RESET, Raw(b"nonsense"), "500 what", "421 bye"], ids=str
)
async def test_a_mail_accepted_stays_accepted_however_the_parting_goes(goodbye: Entry) -> None:
    """Protocol item 92."""
    async with FarEnd({"QUIT": goodbye}).serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
        await session.quit()
    assert transaction.fault is None
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED
    assert not session.usable


@IN_EACH_COURSE
async def test_a_close_right_behind_the_last_reply_takes_nothing_back(
    offers: tuple[str, ...],
) -> None:
    """Protocol item 92."""
    replies = {"DOT": Raw(b"250 2.0.0 Ok: queued as 4FAR12\r\n", Act.CLOSE)}
    async with FarEnd(replies, offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        assert await no_longer_usable(session)
        await session.quit()
    assert transaction.fault is None
    assert transaction.recipients[0].disposition is Disposition.ACCEPTED


async def test_it_obeys_the_number_of_mails_a_server_wants() -> None:
    """Protocol item 60."""
    async with FarEnd(offers=("LIMITS MAILMAX=2",)).serving() as far_end:
        session = await Session.open(far_end.server())
        usable = []
        for _ in range(2):
            await session.send(ENVELOPE, SOURCE, yes)
            usable.append(session.usable)
        assert usable == [True, False]
        transaction = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert is_not_tried(transaction)
    assert transaction.fault is not None
    assert transaction.fault.kind is FaultKind.LOCAL
    assert len(far_end.mails) == 2


@IN_EACH_COURSE
async def test_it_resets_a_refused_transaction_before_the_next(offers: tuple[str, ...]) -> None:
    """Protocol item 91."""
    replies = {"DOT": ["554 5.7.1 spam", "250 ok"]}
    async with FarEnd(replies, offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        refused = await session.send(ENVELOPE, SOURCE, yes)
        assert session.usable
        accepted = await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    assert refused.recipients[0].disposition is Disposition.PERMANENT
    assert accepted.recipients[0].disposition is Disposition.ACCEPTED
    assert far_end.commands.count("RSET") == 1


async def test_nothing_holds_on_to_a_session_that_is_over() -> None:
    """A deadline left behind would keep it in memory for minutes."""
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        await session.send(ENVELOPE, SOURCE, yes)
        await session.quit()
    part = weakref.ref(session.transcript.close)
    del session
    await asyncio.sleep(0)
    gc.collect()
    assert part() is None


async def test_it_knows_when_it_was_last_used() -> None:
    async with FarEnd().serving() as far_end:
        session = await Session.open(far_end.server())
        opened, used = session.opened_at, session.last_used_at
        await asyncio.sleep(0.01)
        await session.send(ENVELOPE, SOURCE, yes)
        assert session.opened_at == opened
        assert session.last_used_at > used
        session.abort()
        assert not session.usable

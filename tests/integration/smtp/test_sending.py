"""Whole mails over a real socket, in each of the courses a transaction can take."""

import pytest

from outbox.smtp import Disposition, Envelope, Session
from tests.integration.smtp.far_end import OFFERS, FarEnd

SOURCE = b"From: a@x.test\r\nSubject: hello\r\n\r\n.one\r\n..two\r\nthree\r\n"

COURSES = {
    "step by step": tuple(o for o in OFFERS if o not in {"PIPELINING", "CHUNKING"}),
    "pipelined": tuple(o for o in OFFERS if o != "CHUNKING"),
    "chunks": tuple(o for o in OFFERS if o != "PIPELINING"),
    "all at once": OFFERS,
}


async def yes() -> bool:
    return True


@pytest.mark.parametrize("offers", COURSES.values(), ids=COURSES)
async def test_it_delivers_byte_for_byte(offers: tuple[str, ...]) -> None:
    async with FarEnd(offers=offers).serving() as far_end:
        session = await Session.open(far_end.server())
        envelope = Envelope(sender="a@x.test", recipients=("b@y.test", "c@y.test"))
        transaction = await session.send(envelope, SOURCE, yes)
        second = await session.send(envelope, SOURCE, yes)
        await session.quit()
    assert far_end.mails == [SOURCE, SOURCE]
    for outcome in transaction.recipients + second.recipients:
        assert outcome.disposition is Disposition.ACCEPTED
        assert outcome.command == "DOT"
    assert transaction.queue_id == "4FAR12"
    assert far_end.commands[-1] == "QUIT"

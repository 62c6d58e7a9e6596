"""Servers whose replies deviate from the RFC, and that a lenient client delivers to."""

import pytest

from outbox.smtp import Connection, Disposition
from tests.integration.smtp.scripted_server import Raw, ScriptedServer
from tests.integration.smtp.test_sending import ENVELOPE, IN_EACH_MODE, SOURCE, permit

SHAPES = {
    "no blank": b"%dOk\r\n",
    "no text": b"%d\r\n",
    "colon": b"%d: Ok\r\n",
    "NUL": b"%d\0Ok \0\r\n",
    "LF": b"%d Ok\n",
    "empty lines": b"%d Ok\r\n\r\n\n",
    "60 KB": b"%d " + b"x" * 60_000 + b"\r\n",
    "a line without a code": b"%d-queued as\r\n  ABCDEF\r\n%d Ok\r\n",
    "another code of the class": b"%d-Ok\r\n%d\r\n",
    "blanks before the enhanced code": b"%d    2.0.0 Ok\r\n",
}


def odd(shape: bytes, code: int) -> Raw:
    return Raw(shape.replace(b"%d", str(code).encode()))


@IN_EACH_MODE
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_a_message_is_delivered_whatever_the_replies_look_like(
    extensions: tuple[str, ...], shape: bytes
) -> None:
    replies = {name: odd(shape, 250) for name in ("MAIL", "RCPT", "DOT")}
    replies |= {"DATA": odd(shape, 354), "GREETING": odd(shape, 220)}
    async with ScriptedServer(replies, extensions=extensions).serving() as remote:
        session = await Connection.open(remote.server())
        for _ in range(2):
            transaction = await session.send(ENVELOPE, SOURCE, permit)
            assert transaction.fault is None
            for outcome in transaction.recipients:
                assert outcome.disposition is Disposition.ACCEPTED
        await session.quit()
    assert len(remote.messages) == 2


@pytest.mark.parametrize(
    "ehlo",
    [
        pytest.param(b"250-x\r\n" + b"250-X-A b\r\n" * 150 + b"250 SIZE 9\r\n", id="150 lines"),
        pytest.param(b"250-x\r\n250-X-A " + b"b" * 9_000 + b"\r\n250 SIZE 9\r\n", id="a long line"),
        pytest.param(b"250-x\r\nHELP\r\n250 SIZE: 9\r\n", id="a line without a code"),
        pytest.param(b"250-x\0\r\n250-\r\n250- size=9\0\n250\r\n", id="NUL, LF and blanks"),
    ],
)
async def test_extensions_are_read_whatever_the_reply_looks_like(ehlo: bytes) -> None:
    async with ScriptedServer({"EHLO": Raw(ehlo)}).serving() as remote:
        session = await Connection.open(remote.server())
        assert "SIZE" in session.facts.extensions
        assert len(session.facts.extensions) <= 101
        await session.quit()

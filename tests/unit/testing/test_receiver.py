"""The receiver behaves the same however its input is split, and survives invalid input."""

import asyncio
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from outbox.testing.capabilities import Capabilities
from outbox.testing.dialogue import Transaction
from outbox.testing.receiver import Receiver

CAPABILITIES = Capabilities(
    extensions=("PIPELINING", "CHUNKING", "SIZE 3000", "8BITMIME", "AUTH PLAIN LOGIN")
)
DIALOGUE = (
    b"EHLO client.example\r\nAUTH LOGIN\r\nbWU=\r\nc2VjcmV0\r\n"
    b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    b"..one\r\n\n.\n..\r\n...\r\ntwo\n.\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 7\r\n.\r\n.\r\n.BDAT 3 LAST\r\n\r\n."
    b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n.\r\n"
    b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n" + b"x\r\n" * 1200 + b".\r\n"
    b"NOOP\r\nQUIT\r\n"
)


class Wire(asyncio.Transport):
    """A transport to nowhere that keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        pass


class Keeper(Receiver):
    """A receiver that keeps its transactions."""

    def __init__(self) -> None:
        super().__init__(CAPABILITIES)
        self.kept: list[Transaction] = []

    def ended(self, transaction: Transaction) -> None:
        self.kept.append(transaction)


def run_dialogue(pieces: list[bytes]) -> tuple[list[bytes], list[Transaction]]:
    async def run() -> Keeper:
        receiver = Keeper()
        receiver.connection_made(Wire())
        for piece in pieces:
            receiver.data_received(piece)
        return receiver

    receiver = asyncio.run(run())
    return cast("Wire", receiver.transport).written.splitlines(), receiver.kept


WHOLE = run_dialogue([DIALOGUE])


def test_a_complete_dialogue_is_replied_to_and_recorded() -> None:
    replies, kept = WHOLE
    codes = [reply[:3].decode() for reply in replies if reply[3:4] == b" "]
    assert codes[:5] == ["220", "250", "334", "334", "235"]
    assert codes[5:9] == ["250", "250", "354", "250"]
    assert codes[9:13] == ["250", "250", "250", "250"]
    assert codes[13:] == ["250", "250", "354", "250", "250", "250", "354", "552", "250", "221"]
    assert [each.source for each in kept[:3]] == [
        b".one\r\n\n.\n..\r\n..\r\ntwo\n.\r\n",
        b".\r\n.\r\n.\r\n.",
        b"",
    ]
    assert [each.accepted for each in kept] == [True, True, True, False]


@given(st.sets(st.integers(1, len(DIALOGUE) - 1), max_size=40))
def test_it_behaves_the_same_however_the_input_is_split(cuts: set[int]) -> None:
    pieces = [DIALOGUE[a:b] for a, b in pairwise([0, *sorted(cuts), len(DIALOGUE)])]
    replies, kept = run_dialogue(pieces)
    assert replies == WHOLE[0]
    assert [each.source for each in kept if each.accepted] == [
        each.source for each in WHOLE[1] if each.accepted
    ]


def test_it_behaves_the_same_on_single_bytes() -> None:
    assert run_dialogue([bytes([byte]) for byte in DIALOGUE])[0] == WHOLE[0]


LINES = st.sampled_from(
    [
        *(b"EHLO a", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA", b".", b"BDAT 5", b"BDAT x"),
        *(b"BDAT 0 LAST", b"BDAT 99999999999 LAST", b"RSET", b"AUTH LOGIN", b"AUTH PLAIN ="),
        *(b"*", b"\xff"),
    ]
)


@given(st.lists(st.one_of(LINES.map(lambda line: line + b"\r\n"), st.binary(max_size=20))))
def test_no_invalid_input_makes_it_fail(pieces: list[bytes]) -> None:
    run_dialogue(pieces)

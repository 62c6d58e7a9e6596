"""A source is stored in fewer bytes and read back byte for byte, whatever it holds."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.db.packing import pack, unpack

LETTER = b"Subject: Minutes\r\nFrom: a@example.org\r\n\r\n" + b"The meeting began at nine. " * 40


@given(st.binary(max_size=3_000).filter(lambda source: not source.startswith(b"\0")))
@example(b"")
@example(b"x")
@example(LETTER)
@example(LETTER * 40)  # too long to be deflated
@example("Subject: 京都\r\n\r\n東天気".encode() * 20)
def test_a_source_is_read_back_byte_for_byte(source: bytes) -> None:
    assert unpack(pack(source)) == source
    assert len(pack(source)) <= len(source)


def test_a_letter_takes_less_room() -> None:
    assert len(pack(LETTER)) < len(LETTER) / 3


def test_what_was_stored_as_it_is_can_be_read() -> None:
    assert unpack(LETTER) == LETTER


@pytest.mark.parametrize(
    "stored",
    [b"\0\3later", pack(LETTER)[:-3], pack(LETTER)[:10], b"\0\1\xff\xff", b"\0"],
    ids=["another form", "cut short", "cut off", "no deflate stream", "no form"],
)
def test_what_cannot_be_read_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="source"):
        unpack(stored)


@pytest.mark.parametrize("source", [b"\0", b"\0\1", b"\0\1" + LETTER, b"\0\2", b"\0" * 100_000])
def test_a_source_that_looks_like_a_stored_form_is_kept(source: bytes) -> None:
    assert unpack(pack(source)) == source

"""The line of a message that a list shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.plain_text import snippet

LINES = {
    "short": ("Hello\r\n\r\nBob,\twell?  ", "Hello Bob, well?"),
    "quotes are left out": ("> old\n>> older\nNew", "New"),
    "nothing but quotes": ("> old", "> old"),
    "the signature is left out": ("Hello\n-- \nAnn, CEO", "Hello"),
    "a rule without a signature": ("Hello\n--\nBob", "Hello -- Bob"),
    "controls and bidi marks": ("a\u202eb\0\x1b[1m\u200bc", "ab[1mc"),
    "emoji stay whole": ("👩‍👧", "👩‍👧"),
    "cut at a word": ("word " * 50, "word " * 23 + "word…"),
    "one long word": ("x" * 300, "x" * 119 + "…"),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("text", "line"), LINES.values(), ids=LINES)
def test_it_shows_the_start_of_a_message(text: str, line: str) -> None:
    """Protocol item 155."""
    assert snippet(text) == line


@given(st.text(), st.integers(min_value=10, max_value=200))
def test_it_is_one_line_and_short(text: str, length: int) -> None:
    line = snippet(text, length)

    assert len(line) <= length
    assert len(line.splitlines()) <= 1

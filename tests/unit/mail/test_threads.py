"""The thread of a message is the hash of the id that started it."""

import pytest

from outbox.mail.threads import THREAD_LENGTH, thread_of

FIRST = thread_of("<1@a>")


@pytest.mark.parametrize(
    ("references", "in_reply_to"),
    [
        ("<1@a>", ""),
        ("<1@a> <2@b>\r\n <3@c>", "<3@c>"),
        ("", "<1@a>"),
        ("1@a 2@b", ""),
        ("", "Your message of Monday <1@a>"),
        ("", "  1@a  "),
    ],
)
def test_a_reply_continues_the_thread(references: str, in_reply_to: str) -> None:
    assert thread_of("<9@z>", references, in_reply_to) == FIRST


def test_a_message_without_ids_has_no_thread() -> None:
    assert thread_of("") == ""
    assert thread_of(" <> ", " ", "") == ""


def test_its_length_fits_the_column() -> None:
    assert len(FIRST) == THREAD_LENGTH
    assert len(thread_of("<" + "é" * 100_000 + "@a>")) == THREAD_LENGTH

"""Subjects, quotations and References of replies and forwards."""

import pytest

from outbox.mail.header_writer import is_message_id
from outbox.mail.mime_writer import render
from outbox.mail.replies import (
    MAX_REFERENCES,
    forward_subject,
    quoted,
    references_of_reply,
    reply_subject,
)
from tests.unit.mail.samples import compose

REPLIES = [
    ("Figures", "Re: Figures"),
    ("", "Re:"),
    ("Re: Figures", "Re: Figures"),
    ("RE : Figures", "RE : Figures"),
    ("re[2]: Figures", "re[2]: Figures"),
    ("AW: Zahlen", "AW: Zahlen"),
    ("回复：数字", "回复：数字"),
    ("Fwd: Figures", "Re: Fwd: Figures"),
    ("Report: Figures", "Re: Report: Figures"),
]


@pytest.mark.parametrize(("subject", "expected"), REPLIES)
def test_a_reply_is_marked_once(subject: str, expected: str) -> None:
    assert reply_subject(subject) == expected


FORWARDS = [
    ("Figures", "Fwd: Figures"),
    ("fw: Figures", "fw: Figures"),
    ("Fwd: Figures", "Fwd: Figures"),
    ("WG: Zahlen", "WG: Zahlen"),
    ("转发: 数字", "转发: 数字"),
    ("Re: Figures", "Fwd: Re: Figures"),
]


@pytest.mark.parametrize(("subject", "forwarded"), FORWARDS)
def test_a_forward_is_marked_once(subject: str, forwarded: str) -> None:
    assert forward_subject(subject) == forwarded


def test_each_line_is_quoted() -> None:
    assert quoted("Hello,\n\n> asked\nfine\n\n") == "> Hello,\n>\n>> asked\n> fine"


def test_nothing_is_quoted_as_one_empty_line() -> None:
    assert quoted("") == ">"


@pytest.mark.parametrize(
    ("message_id", "references", "in_reply_to", "expected"),
    [
        ("<c@x>", "<a@x> <b@x>", "<b@x>", ["<a@x>", "<b@x>", "<c@x>"]),
        ("<c@x>", "<a@x>\r\n\t<b@x>", "", ["<a@x>", "<b@x>", "<c@x>"]),
        ("<c@x>", "", "<b@x>", ["<b@x>", "<c@x>"]),
        ("<c@x>", "", "<b@x> <a@x>", ["<c@x>"]),  # which one is the parent is unknown
        ("<c@x>", "<a@x> <c@x> <a@x>", "", ["<a@x>", "<c@x>"]),
        ("", "<a@x>", "", ["<a@x>"]),
        ("no id", "prose <ö@x> <b\0@x> <a@x>", "", ["<a@x>"]),
        ("", "", "", []),
    ],
)
def test_a_reply_refers_to_its_parent_and_all_before(
    message_id: str, references: str, in_reply_to: str, expected: list[str]
) -> None:
    """Protocol item 15."""
    assert references_of_reply(message_id, references, in_reply_to) == expected


def test_a_long_thread_keeps_its_first_and_its_nearest() -> None:
    """Protocol item 15: the length is capped safely."""
    thread = [f"<{'x' * 80}{number}@example.org>" for number in range(500)]

    kept = references_of_reply("<last@example.org>", " ".join(thread))

    assert kept[0] == thread[0]
    assert kept[-3:] == [*thread[-2:], "<last@example.org>"]
    assert sum(len(known) + 1 for known in kept) <= MAX_REFERENCES
    assert all(map(is_message_id, kept))
    assert max(map(len, render(compose(references=kept)).split(b"\r\n"))) <= 998


def test_one_huge_id_after_another_is_still_bounded() -> None:
    kept = references_of_reply("<last@x>", " ".join(f"<{n}{'x' * 890}@x>" for n in range(9)))

    assert kept[-1] == "<last@x>"
    assert sum(len(known) + 1 for known in kept) <= MAX_REFERENCES

"""Subjects of replies and forwards, and quoted text."""

import pytest

from outbox.mail.quoting import forward_subject, quoted, reply_subject

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


@pytest.mark.parametrize(("subject", "answered"), REPLIES)
def test_a_reply_is_marked_once(subject: str, answered: str) -> None:
    assert reply_subject(subject) == answered


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

"""A message of one text is written without Django's objects, and its bytes are the same."""

from collections.abc import Callable
from email.charset import Charset
from typing import Any

import pytest
from django import VERSION
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.safestring import mark_safe
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.api.django_rendering import render_message, source_of
from outbox.exceptions import InvalidMessageError

FIXED = {"Date": "Tue, 24 Nov 2026 10:00:00 +0000", "Message-ID": "<fixed@example.com>"}
ADDRESSES = st.sampled_from(
    ["a@example.com", "Ann <a@example.com>", "Änne <ä@example.com>", "b@bücher.example", "no", ""]
)
TEXT = st.text(max_size=120) | st.text("ab \n\r\t.ü", max_size=60)
NAMES = st.sampled_from(
    ["X-Note", "From", "from", "To", "Cc", "Reply-To", "Bcc", "Subject", "Sender", "DATE",
     "Message-Id", "Content-Type", "MIME-Version"]
)  # fmt: skip


class ByDjango(EmailMessage):
    """Messages of a class of an app are always built by Django."""


class AlternativesByDjango(EmailMultiAlternatives):
    """The same of the other class."""


def outcome(kind: Callable[..., EmailMessage], **fields: Any) -> bytes | str:
    """Return the bytes, or the error."""
    try:
        return source_of(render_message(kind(**fields)))
    except (InvalidMessageError, ValueError) as error:
        return repr(error)


@given(
    subject=TEXT,
    body=TEXT,
    from_email=ADDRESSES,
    to=st.lists(ADDRESSES, max_size=3),
    cc=st.lists(ADDRESSES, max_size=2),
    reply_to=st.lists(ADDRESSES, max_size=2),
    headers=st.dictionaries(NAMES, TEXT, max_size=3),
)
@example("x" * 69, "x" * 998, "a@b.example", ["a@b.example"], [], [], {})
@example("x" * 70, "x" * 999, "a@b.example", ["a@b.example"], [], [], {})
@example("=?utf-8?q?a?=", "ü" * 499 + "\x85" + "ü" * 499, "a@b.example", [], [], [], {})
@example("a  b ", "\ud800", "a@b.example", [], [], [], {"X-Note": "ü" * 80})
@example(" a", "\0", "a@b.example", ["a@b.example" for _ in range(20)], [], [], {"Bcc": "c@d.e"})
def test_any_message_has_the_bytes_of_django(
    subject: str,
    body: str,
    from_email: str,
    to: list[str],
    cc: list[str],
    reply_to: list[str],
    headers: dict[str, str],
) -> None:
    fields: dict[str, Any] = {
        "subject": subject,
        "body": body,
        "from_email": from_email,
        "to": to,
        "cc": cc,
    }
    fields |= {"reply_to": reply_to, "headers": FIXED | headers}

    assert outcome(EmailMessage, **fields) == outcome(ByDjango, **fields)
    assert outcome(EmailMultiAlternatives, **fields) == outcome(AlternativesByDjango, **fields)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("content_subtype", "html"),
        ("content_subtype", "calendar"),
        ("encoding", "utf-8"),
        ("encoding", "UTF-8"),
        ("encoding", "iso-8859-1"),
        *([("encoding", Charset("utf-8"))] if VERSION < (6, 0) else []),
        ("body", mark_safe("Gr\u00fc\u00dfe")),
    ],
)
def test_any_setting_has_the_bytes_of_django(attribute: str, value: object) -> None:
    ours, theirs = (
        kind("Subject", "Gr\u00fc\u00dfe", "a@b.example", ["c@d.example"], headers=FIXED)
        for kind in (EmailMessage, ByDjango)
    )
    for message in (ours, theirs):
        setattr(message, attribute, value)

    assert source_of(render_message(ours)) == source_of(render_message(theirs))


def test_date_and_message_id_are_those_of_django() -> None:
    fields: dict[str, Any] = {"from_email": "a@b.example", "to": ["c@d.example"]}
    ours, theirs = (render_message(kind(**fields)) for kind in (EmailMessage, ByDjango))

    assert ours.keys() == theirs.keys()
    assert ours["Message-ID"].rpartition("@")[2] == theirs["Message-ID"].rpartition("@")[2]
    assert ours["Date"][:16] == theirs["Date"][:16]


def test_a_method_that_a_project_replaced_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    original = EmailMessage.message

    def signed(self: EmailMessage) -> Any:
        message = original(self)
        message["X-Signature"] = "0123"
        return message

    monkeypatch.setattr(EmailMessage, "message", signed)

    message = EmailMessage("Subject", "Body", "a@b.example", ["c@d.example"])
    assert b"X-Signature: 0123\r\n" in source_of(render_message(message))

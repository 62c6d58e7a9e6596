"""The distinct negative replies to one sender's messages."""

import pytest

from outbox.models import Message, Recipient
from outbox.models.replies import refusals_of

pytestmark = pytest.mark.django_db


def replied(sender: int, code: int | None, enhanced: str = "") -> None:
    Recipient.objects.create(
        message=Message.objects.create(), address="jane@example.com", sender_key=sender,
        reply_code=code, reply_enhanced=enhanced,
    )  # fmt: skip


def test_each_reply_is_listed_once_in_order() -> None:
    for code, enhanced in (
        (550, "5.1.1"),
        (250, "2.0.0"),
        (550, ""),
        (250, "2.0.0"),
        (550, "5.2.2"),
    ):
        replied(1, code, enhanced)

    assert refusals_of(1, "default", 10) == [
        (550, ""),
        (550, "5.1.1"),
        (550, "5.2.2"),
    ]


def test_messages_of_others_and_without_a_reply_are_ignored() -> None:
    replied(1, None)
    replied(2, 550, "5.1.1")

    assert refusals_of(1, "default", 10) == []


def test_the_limit_bounds_the_number_of_replies() -> None:
    for code in (450, 451, 452, 453):
        replied(1, code)

    assert refusals_of(1, "default", 2) == [(450, ""), (451, "")]

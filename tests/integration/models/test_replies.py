"""Which replies a person's mail got is known without reading all of them."""

import pytest

from outbox.models import Message, Recipient
from outbox.models.replies import replies_to

pytestmark = pytest.mark.django_db


def replied(sender: int, code: int | None, enhanced: str = "") -> None:
    Recipient.objects.create(
        message=Message.objects.create(), address="jane@example.com", sender_key=sender,
        reply_code=code, reply_enhanced=enhanced,
    )  # fmt: skip


def test_each_reply_is_named_once_in_order() -> None:
    for code, enhanced in (
        (550, "5.1.1"),
        (250, "2.0.0"),
        (550, ""),
        (250, "2.0.0"),
        (550, "5.2.2"),
    ):
        replied(1, code, enhanced)

    assert replies_to(1, "default", 10) == [
        (250, "2.0.0"),
        (550, ""),
        (550, "5.1.1"),
        (550, "5.2.2"),
    ]


def test_mail_of_others_and_mail_without_a_reply_say_nothing() -> None:
    replied(1, None)
    replied(2, 550, "5.1.1")

    assert replies_to(1, "default", 10) == []


def test_it_stops_where_it_was_told() -> None:
    for code in (250, 251, 252, 253):
        replied(1, code)

    assert replies_to(1, "default", 2) == [(250, ""), (251, "")]

"""Anymail's attributes of a message are honoured, refused or without meaning here; none is lost."""

import datetime as dt
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import override_settings
from django.utils.translation import gettext_lazy

from outbox.exceptions import InvalidMessageError
from outbox.models import Message, Status
from tests.integration.backend.conftest import by_outbox

pytestmark = pytest.mark.usefixtures("app_account")

UNSET = type("UNSET", (), {})  # what Anymail's own class of messages has where nothing was set


@pytest.mark.parametrize(
    ("given", "sender"),
    [
        pytest.param("bounces@example.com", "bounces@example.com", id="an address"),
        pytest.param("", "", id="the null sender"),
    ],
)
def test_it_uses_an_envelope_sender_as_anymail_does(given: str, sender: str) -> None:
    message = EmailMessage(to=["a@example.com"], from_email="shop@example.com")
    message.envelope_sender = given  # type: ignore[attr-defined]  # Anymail's attribute

    message.send()

    assert by_outbox().sender == sender


def test_tags_and_metadata_of_the_message_are_kept() -> None:
    message: Any = EmailMessage(to=["a@example.com"])
    message.tags = ["order"]
    message.metadata = {"order": "42"}

    message.send()

    kept = Message.objects.get()
    assert (kept.tags, kept.metadata) == (["order"], {"order": "42"})


@override_settings(TIME_ZONE="Asia/Shanghai")
@pytest.mark.parametrize(
    ("given", "leaves_at"),
    [
        pytest.param(dt.datetime(2030, 1, 2, 3, 4, tzinfo=dt.UTC), "2030-01-02 03:04", id="aware"),
        pytest.param(dt.datetime(2030, 1, 2, 11, 4), "2030-01-02 03:04", id="naive"),  # noqa: DTZ001
        pytest.param(dt.date(2030, 1, 2), "2030-01-01 16:00", id="a day"),
        pytest.param(1893553440, "2030-01-02 03:04", id="a timestamp"),
    ],
)
def test_it_leaves_at_the_time_the_message_asks_for(given: Any, leaves_at: str) -> None:
    message: Any = EmailMessage(to=["a@example.com"])
    message.send_at = given

    message.send()

    kept = Message.objects.get()
    assert kept.status == Status.SCHEDULED
    assert f"{kept.send_at:%Y-%m-%d %H:%M}" == leaves_at


def test_a_time_that_is_none_is_refused() -> None:
    message: Any = EmailMessage(to=["a@example.com"])
    message.send_at = "tomorrow"

    with pytest.raises(InvalidMessageError, match="send_at must be a time, not str"):
        message.send()


def test_a_lazy_text_among_them_is_kept_as_it_reads_now() -> None:
    message: Any = EmailMessage(to=["a@example.com"])
    message.tags = [gettext_lazy("Order")]
    message.metadata = {"kind": gettext_lazy("Order")}

    message.send()

    kept = Message.objects.get()
    assert (kept.tags, kept.metadata) == (["Order"], {"kind": "Order"})


def test_a_message_of_anymail_s_own_class_may_set_none() -> None:
    message: Any = EmailMessage(to=["a@example.com"], from_email="shop@example.com")
    for name in ("tags", "metadata", "send_at", "envelope_sender", "merge_data", "template_id"):
        setattr(message, name, UNSET)

    message.send()

    assert by_outbox().sender == "shop@example.com"
    assert Message.objects.get().status == Status.QUEUED


@pytest.mark.parametrize("value", [{"a@example.com": {"name": "Ann"}}, {}], ids=["some", "none"])
@pytest.mark.parametrize("name", ["merge_data", "merge_headers", "merge_metadata"])
def test_merge_attributes_are_refused(name: str, value: object) -> None:
    message = EmailMessage(to=["a@example.com", "b@example.com"])
    setattr(message, name, value)

    with pytest.raises(InvalidMessageError, match="send_many") as refused:
        message.send()

    assert refused.value.field == name
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"), [("template_id", "welcome"), ("merge_global_data", {"month": "May"})]
)
def test_what_a_provider_was_to_fill_in_is_not_sent_unfilled(name: str, value: object) -> None:
    message = EmailMessage(to=["a@example.com"])
    setattr(message, name, value)

    with pytest.raises(InvalidMessageError, match=name):
        message.send()


def test_what_only_a_provider_could_count_is_passed_over() -> None:
    message: Any = EmailMessage(to=["a@example.com"])
    message.track_opens = message.track_clicks = True
    message.esp_extra = {"ip_pool": "news"}

    assert message.send() == 1

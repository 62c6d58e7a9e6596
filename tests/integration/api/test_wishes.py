"""What an app may ask for a mail beside its words, and where the answer stands."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from outbox import api
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.models import Message, Recipient, Status
from tests.integration.api.reading import read

pytestmark = pytest.mark.usefixtures("shop")

NOW = timezone.now()
TOMORROW = NOW + dt.timedelta(days=1)


def send(**wishes: Any) -> api.Handle:
    return api.send(to="ann@example.com", subject="Hello", text="Hello", **wishes)


def recipient(handle: api.Handle) -> Recipient:
    return Recipient.objects.get(message=handle.pk)


def test_a_scheduled_mail_waits_for_its_time_and_says_it() -> None:
    handle = send(send_at=TOMORROW)

    assert handle.status() == Status.SCHEDULED
    assert recipient(handle).next_attempt_at == TOMORROW
    assert read(handle)["Date"].datetime == TOMORROW.replace(microsecond=0)


def test_without_a_wish_it_may_wait_for_the_queue_lifetime() -> None:
    message = send().message()

    assert message.queued_at is not None
    lifetime = dt.timedelta(seconds=get_conf().queue_lifetime)
    assert message.expires_at == message.queued_at + lifetime


@pytest.mark.parametrize(
    ("wish", "expires_at"),
    [
        pytest.param({"expires_at": TOMORROW}, TOMORROW, id="at a time"),
        pytest.param(
            {"send_at": TOMORROW, "expires_after": dt.timedelta(hours=1)},
            TOMORROW + dt.timedelta(hours=1),
            id="some time after it may leave",
        ),
    ],
)
def test_it_expires(wish: dict[str, Any], expires_at: dt.datetime) -> None:
    handle = send(**wish)

    assert handle.message().expires_at == recipient(handle).expires_at == expires_at


@pytest.mark.parametrize(
    ("wish", "urgency", "told"),
    [
        pytest.param({}, 3, "3", id="neither"),
        pytest.param({"priority": 1}, 1, "1", id="a priority decides both"),
        pytest.param({"lane": api.Lane.BULK}, 5, "3", id="a lane decides the queue alone"),
        pytest.param({"lane": "urgent", "priority": 5}, 1, "5", id="each decides its own"),
    ],
)
def test_a_lane_orders_the_queue_and_a_priority_tells_the_reader(
    wish: dict[str, Any], urgency: int, told: str
) -> None:
    handle = send(**wish)

    assert recipient(handle).priority == urgency
    assert read(handle)["X-Priority"] == told


def test_tags_and_metadata_are_kept() -> None:
    message = send(tags=["welcome", "trial"], metadata={"order": 7, "paid": True}).message()

    assert message.tags == ["welcome", "trial"]
    assert message.metadata == {"order": 7, "paid": True}


def test_mail_is_found_by_what_it_is_about(ann: User) -> None:
    about_ann = send(related=ann)
    send(related=Group.objects.create(pk=ann.pk, name="another model, the same key"))
    send()

    assert list(Message.objects.related_to(ann)) == [about_ann.message()]
    assert about_ann.message().related == ann


def test_a_policy_for_uncertain_answers_is_kept() -> None:
    assert send(on_uncertain="hold").message().on_uncertain == "hold"


@pytest.mark.parametrize(
    ("field", "wish"),
    [
        pytest.param("priority", {"priority": 0}, id="no priority"),
        pytest.param("lane", {"lane": "fast"}, id="no lane"),
        pytest.param("send_at", {"send_at": dt.datetime(2030, 1, 1)}, id="a time of no zone"),  # noqa: DTZ001  # that is the mistake
        pytest.param("expires_at", {"expires_at": NOW}, id="expired already"),
        pytest.param(
            "expires_at", {"send_at": TOMORROW, "expires_at": TOMORROW}, id="before it may leave"
        ),
        pytest.param("tags", {"tags": "welcome"}, id="one text is no list"),
        pytest.param("metadata", {"metadata": {"at": NOW}}, id="a time is no JSON"),
        pytest.param("metadata", {"metadata": {"x": float("nan")}}, id="nor is NaN"),
        pytest.param("related", {"related": Group(name="unsaved")}, id="an unsaved object"),
        pytest.param("idempotency_key", {"idempotency_key": ""}, id="an empty key"),
        pytest.param("idempotency_key", {"idempotency_key": "x" * 256}, id="a long key"),
        pytest.param("on_uncertain", {"on_uncertain": "panic"}, id="no policy"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_named(field: str, wish: dict[str, Any]) -> None:
    with pytest.raises(InvalidMailError) as raised:
        send(**wish)

    assert raised.value.field == field
    assert not Message.objects.exists()

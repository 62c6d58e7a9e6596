"""The options of send(), and where each is stored."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from outbox import api
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.models import Message, Recipient, Status
from tests.integration.api.reading import read

pytestmark = pytest.mark.usefixtures("shop")

NOW = timezone.now()
TOMORROW = NOW + dt.timedelta(days=1)


def send(**options: Any) -> api.Handle:
    return api.send(to="ann@example.com", subject="Hello", text="Hello", **options)


def recipient(handle: api.Handle) -> Recipient:
    return Recipient.objects.get(message=handle.pk)


def test_a_scheduled_mail_waits_for_its_time_and_says_it() -> None:
    handle = send(send_at=TOMORROW)

    assert handle.status() == Status.SCHEDULED
    assert recipient(handle).next_attempt_at == TOMORROW
    assert read(handle)["Date"].datetime == TOMORROW.replace(microsecond=0)


def test_a_time_that_has_passed_means_now() -> None:
    long_ago = NOW - dt.timedelta(days=30)

    handle = send(send_at=long_ago)

    message = handle.message()
    assert handle.status() == Status.QUEUED
    assert message.expires_at is not None
    assert message.expires_at > NOW  # it would otherwise expire at once, unsent
    assert read(handle)["Date"].datetime >= NOW.replace(microsecond=0)


def test_recipients_see_the_name_that_was_given() -> None:
    assert read(send(from_name="Zoë of the shop"))["From"] == "Zoë of the shop <shop@example.com>"
    assert read(send(from_name=None))["From"] == "The Shop <shop@example.com>"
    assert read(send(from_name=""))["From"] == "shop@example.com"
    assert send(from_name="Zoë").message().from_header == "Zoë <shop@example.com>"


def test_bounces_go_to_the_envelope_sender() -> None:
    given = [send(envelope_sender=one) for one in ("bounces+7@example.com", "", None)]

    assert [handle.message().envelope_sender for handle in given] == [
        "bounces+7@example.com",
        "",
        "shop@example.com",
    ]
    assert {read(handle)["From"] for handle in given} == {"The Shop <shop@example.com>"}


@pytest.mark.parametrize(
    ("given", "in_reply_to", "thread"),
    [
        pytest.param({"in_reply_to": "<1@a.example>"}, "<1@a.example>", "<1@a.example>", id="one"),
        pytest.param({"in_reply_to": "1@a.example"}, "<1@a.example>", "<1@a.example>", id="bare"),
        pytest.param(
            {"in_reply_to": "<2@a.example>", "references": ["1@a.example", "<2@a.example>"]},
            "<2@a.example>",
            "<1@a.example> <2@a.example>",
            id="a thread as a list",
        ),
        pytest.param(
            {"references": "<1@a.example>\t<2@a.example>"},
            None,
            "<1@a.example> <2@a.example>",
            id="a thread as a header has it",
        ),
    ],
)
def test_a_reply_joins_its_thread(
    given: dict[str, Any], in_reply_to: str | None, thread: str
) -> None:
    handle = send(**given)

    assert read(handle)["In-Reply-To"] == in_reply_to
    assert read(handle)["References"] == thread
    assert handle.message().in_reply_to == (in_reply_to or "").strip("<>")


def test_a_delivery_report_is_requested() -> None:
    assert send(wants_report=True).message().wants_report
    assert not send().message().wants_report


def test_by_default_it_expires_after_the_queue_lifetime() -> None:
    message = send().message()

    assert message.queued_at is not None
    lifetime = dt.timedelta(seconds=get_conf().queue_lifetime)
    assert message.expires_at == message.queued_at + lifetime


@pytest.mark.parametrize(
    ("options", "expires_at"),
    [
        pytest.param({"expires_at": TOMORROW}, TOMORROW, id="at a time"),
        pytest.param(
            {"send_at": TOMORROW, "expires_after": dt.timedelta(hours=1)},
            TOMORROW + dt.timedelta(hours=1),
            id="some time after it may leave",
        ),
    ],
)
def test_it_expires(options: dict[str, Any], expires_at: dt.datetime) -> None:
    handle = send(**options)

    assert handle.message().expires_at == recipient(handle).expires_at == expires_at


@pytest.mark.parametrize(
    ("options", "place", "header"),
    [
        pytest.param({}, 3, (None, "3"), id="neither"),
        pytest.param({"importance": "high"}, 1, ("high", "1"), id="importance decides both"),
        pytest.param({"priority": api.Priority.BULK}, 5, (None, "3"), id="only a priority"),
        pytest.param({"priority": "urgent", "importance": "low"}, 1, ("low", "5"), id="both"),
    ],
)
def test_priority_orders_the_queue_and_importance_is_written_into_the_header(
    options: dict[str, Any], place: int, header: tuple[str | None, str]
) -> None:
    handle = send(**options)

    assert recipient(handle).priority == place
    assert (read(handle)["Importance"], read(handle)["X-Priority"]) == header


def test_a_number_as_priority_is_rejected_with_the_name_of_the_option_for_x_priority() -> None:
    with pytest.raises(InvalidMessageError, match="importance"):
        send(priority=3)


def test_tags_and_metadata_are_kept() -> None:
    message = send(tags=["welcome", "trial"], metadata={"order": 7, "paid": True}).message()

    assert message.tags == ["welcome", "trial"]
    assert message.metadata == {"order": 7, "paid": True}


def test_mail_is_found_by_what_it_is_about(ann: User) -> None:
    about_ann = send(related=ann)
    name = "another model, the same key"
    send(related=Group.objects.get_or_create(pk=ann.pk, defaults={"name": name})[0])
    send()

    assert list(Message.objects.related_to(ann)) == [about_ann.message()]
    assert about_ann.message().related == ann


def test_a_policy_for_uncertain_deliveries_is_stored() -> None:
    assert send(on_uncertain="hold").message().on_uncertain == "hold"


@pytest.mark.parametrize(
    ("field", "options"),
    [
        pytest.param("importance", {"importance": "urgent"}, id="unknown importance"),
        pytest.param("priority", {"priority": "fast"}, id="unknown priority"),
        pytest.param("send_at", {"send_at": dt.datetime(2030, 1, 1)}, id="a time of no zone"),  # noqa: DTZ001  # that is the mistake
        pytest.param("expires_at", {"expires_at": NOW}, id="expired already"),
        pytest.param(
            "expires_at", {"send_at": TOMORROW, "expires_at": TOMORROW}, id="before it may leave"
        ),
        pytest.param("tags", {"tags": "welcome"}, id="one string instead of a list"),
        pytest.param("metadata", {"metadata": {"at": NOW}}, id="a datetime in JSON"),
        pytest.param("metadata", {"metadata": {"x": float("nan")}}, id="NaN in JSON"),
        pytest.param("related", {"related": Group(name="unsaved")}, id="an unsaved object"),
        pytest.param("idempotency_key", {"idempotency_key": ""}, id="an empty key"),
        pytest.param("idempotency_key", {"idempotency_key": "x" * 256}, id="a long key"),
        pytest.param("on_uncertain", {"on_uncertain": "panic"}, id="no policy"),
        pytest.param("from_name", {"from_name": "a\r\nBcc: eve@example.com"}, id="inject"),
        pytest.param("envelope_sender", {"envelope_sender": "bounces"}, id="no domain"),
        pytest.param("envelope_sender", {"envelope_sender": "a@b.example c"}, id="no address"),
        pytest.param("in_reply_to", {"in_reply_to": "<1@a> <2@a>"}, id="two Message-IDs"),
        pytest.param("in_reply_to", {"in_reply_to": "<a b>"}, id="a Message-ID with a space"),
        pytest.param("references", {"references": ["<1@a>\r\nX: y"]}, id="a line break"),
        pytest.param("wants_report", {"wants_report": "yes"}, id="neither true nor false"),
        pytest.param("expires_after", {"expires_after": dt.timedelta()}, id="no time at all"),
        pytest.param(
            "expires_after",
            {"expires_after": dt.timedelta(hours=1), "expires_at": TOMORROW},
            id="two ways to expire",
        ),
    ],
)
def test_a_wrong_option_is_named(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        send(**options)

    assert raised.value.field == field
    assert not Message.objects.exists()

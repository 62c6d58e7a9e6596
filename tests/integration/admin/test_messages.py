"""Staff browse every mail, filter and search, and change nothing but by retry and cancel."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox.admin import readonly
from outbox.models import Account, Attempt, Event, EventKind, Message, Recipient, Source, State
from tests.integration.admin.conftest import queue

LIST = "/admin/outbox/message/"


def page(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_page_shows_recipients_attempts_and_events(staff: Client, tried: Message) -> None:
    Event.objects.create(
        message=tried, kind=EventKind.RETRIED, why="Jane asked", at=tried.created_at
    )

    shown = page(staff, f"{LIST}{tried.pk}/change/")

    assert "550 5.1.1 &lt;b&gt;no such user" in shown
    assert "mail.example.com:587" in shown
    assert "Jane asked" in shown
    assert "Subject: Invoice" in shown


def test_a_page_offers_nothing_to_save(staff: Client, tried: Message) -> None:
    shown = page(staff, f"{LIST}{tried.pk}/change/")

    assert 'name="_save"' not in shown
    assert "deletelink" not in shown


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_nobody_adds_or_deletes(path: str, staff: Client, tried: Message) -> None:
    assert staff.get(LIST + path.format(pk=tried.pk)).status_code == 403


def test_a_page_of_ten_thousand_recipients_shows_the_first(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly, "ROWS_INLINE", 2)
    message = queue(account, *(f"r{number}@example.com" for number in range(5)))

    shown = page(staff, f"{LIST}{message.pk}/change/")

    assert "r1@example.com" in shown
    assert "r2@example.com" not in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"status__exact": "queued"}, ["Two", "One"], id="status"),
        pytest.param({"status__exact": "sent"}, [], id="status of none"),
        pytest.param({"folder__exact": "outbox"}, ["Two", "One"], id="folder"),
        pytest.param({"recipient_state": "failed"}, ["One"], id="state of a recipient"),
        pytest.param({"recipient_state": "queued"}, ["Two", "One"], id="state of another"),
        pytest.param({"q": "a@example.com"}, ["One"], id="whole address"),
        pytest.param({"q": "a@example"}, ["One"], id="part of an address"),
        pytest.param({"q": "two"}, ["Two"], id="part of a subject"),
        pytest.param({"q": "  "}, ["Two", "One"], id="blank"),
        pytest.param({"q": "nobody@example.com"}, [], id="unknown address"),
    ],
)
def test_a_list_is_narrowed_by(
    query: dict[str, str], found: list[str], staff: Client, account: Account
) -> None:
    queue(account, "a@example.com", "b@example.com", subject="One")
    queue(account, "c@example.com", subject="Two")
    Recipient.objects.filter(address="a@example.com").update(state=State.FAILED)

    response: Any = staff.get(LIST, query)

    assert [message.subject for message in response.context["cl"].result_list] == found


def test_a_list_costs_the_same_for_one_and_for_many(staff: Client, account: Account) -> None:
    queue(account, "a@example.com")
    with CaptureQueriesContext(
        connection,
    ) as one:
        page(staff, LIST, q="example")
    for _ in range(9):
        queue(account, "a@example.com")
    with CaptureQueriesContext(connection) as ten:
        page(staff, LIST, q="example")

    assert len(ten) == len(one)


def test_a_list_counts_no_table_and_loads_no_body(staff: Client, account: Account) -> None:
    queue(account, "a@example.com")

    with CaptureQueriesContext(connection) as queries:
        page(staff, LIST, recipient_state="queued", q="example")

    for query in queries.captured_queries:
        assert "COUNT(" not in query["sql"]
        assert "outbox_source" not in query["sql"]


def test_a_list_goes_on_over_pages(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly.ReadOnlyAdmin, "list_per_page", 2)
    for number in range(3):
        queue(account, "a@example.com", subject=f"Mail {number}")

    response: Any = staff.get(LIST, {"p": "2"})

    assert [message.subject for message in response.context["cl"].result_list] == ["Mail 0"]


# --- actions ----------------------------------------------------------------------------------


def act(client: Client, action: str, *chosen: Message) -> str:
    form = {"action": action, "_selected_action": [message.pk for message in chosen]}
    return client.post(LIST, form, follow=True).content.decode()


def test_retry_queues_what_failed_and_says_so(staff: Client, tried: Message) -> None:
    told = act(staff, "retry", tried)

    assert "1 recipient is due again now." in told
    states = Recipient.objects.order_by("address").values_list("state", flat=True)
    assert list(states) == [State.QUEUED, State.QUEUED]
    event = Event.objects.get(kind=EventKind.RETRIED)
    assert (str(event.actor), event.why) == ("staff", "retried in the admin")


def test_retry_says_when_there_was_nothing_to_do(staff: Client, account: Account) -> None:
    assert "Nothing was retried" in act(staff, "retry", queue(account, "a@example.com"))


def test_cancel_stops_what_waits_and_counts_all_chosen(
    staff: Client, tried: Message, account: Account
) -> None:
    told = act(staff, "cancel", tried, queue(account, "a@example.com", "b@example.com"))

    assert "3 recipients were cancelled and get nothing." in told
    assert Recipient.objects.filter(state=State.CANCELLED).count() == 3


def test_cancel_tells_the_truth_when_it_came_too_late(staff: Client, tried: Message) -> None:
    attempt = Attempt.objects.get()
    attempt.dot_marked_at = tried.created_at
    attempt.save()
    Recipient.objects.filter(state=State.QUEUED).update(state=State.SENDING, attempt=attempt)

    told = act(staff, "cancel", tried)

    assert "Nothing was stopped" in told
    assert "It was too late for 1 recipient: a worker had the mail already." in told


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_who_may_only_look_is_offered_no_action(
    action: str, onlooker: Client, tried: Message
) -> None:
    assert "jane@example.com" in page(onlooker, LIST)
    before = list(Recipient.objects.values_list("state", flat=True))

    act(onlooker, action, tried)

    assert list(Recipient.objects.values_list("state", flat=True)) == before


def test_a_mail_whose_file_cannot_be_read_has_a_page(staff: Client, tried: Message) -> None:
    Source.objects.filter(message=tried).update(data=None, file="sources/gone.eml")

    answer = staff.get(f"{LIST}{tried.pk}/change/")

    assert "No such file" in answer.content.decode()

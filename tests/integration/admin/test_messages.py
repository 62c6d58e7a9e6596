"""Staff browse every mail, filter and search, and change nothing but by retry and cancel."""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox.admin import readonly
from outbox.api.bulk_actions import run_bulk_operations
from outbox.models import (
    Account,
    BulkOperation,
    Event,
    EventKind,
    Message,
    Recipient,
    Source,
    State,
)
from outbox.models.rollup import roll_up
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
        pytest.param({"q": "A@EXAMPLE.com"}, ["One"], id="whole address in another case"),
        pytest.param({"q": "A@Example"}, ["One"], id="part of an address in another case"),
        pytest.param({"folder__exact": "failed"}, ["One"], id="failed and still in the outbox"),
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
    roll_up(list(Message.objects.values_list("pk", flat=True)), timezone.now(), "default")

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


def ask(client: Client, action: str, *chosen: Message, **query: str) -> str:
    """Choose an action; return the page that asks about it."""
    form: dict[str, Any] = {
        "action": action,
        "_selected_action": [message.pk for message in chosen],
    }
    if query:
        form["select_across"] = "1"
    return client.post(f"{LIST}?{urlencode(query)}", form, follow=True).content.decode()


def do(client: Client, action: str, *chosen: Message, why: str = "", **query: str) -> BulkOperation:
    """Choose an action and confirm it; return what became of it."""
    ask(client, action, *chosen, **query)
    operation = BulkOperation.objects.latest("pk")
    client.post(f"/admin/outbox/bulkoperation/{operation.pk}/confirm/", {"why": why})
    run_bulk_operations("default")
    operation.refresh_from_db()
    return operation


def states() -> dict[str, str]:
    return dict(Recipient.objects.values_list("address", "state"))


def test_retry_asks_first_and_counts_recipients_by_state(staff: Client, tried: Message) -> None:
    Recipient.objects.filter(state=State.QUEUED).update(state=State.CANCELLED)
    before = states()

    asked = ask(staff, "retry", tried)

    assert "Retry 1 message?" in asked
    assert "1 message, 1 recipient: 1 failed." in asked
    assert "1 of them was refused for good and will probably be refused again:" in asked
    assert "jane@example.com" in asked
    assert "550 5.1.1 &lt;b&gt;no such user" in asked
    assert "Nothing is sent to cancelled recipients." in asked
    run_bulk_operations("default")
    assert states() == before  # nobody has confirmed it


def test_retry_leaves_cancelled_recipients_alone(staff: Client, account: Account) -> None:
    message = queue(account, "a@example.com", "b@example.com", "c@example.com")
    for address, state in (("a", State.FAILED), ("b", State.CANCELLED), ("c", State.EXPIRED)):
        Recipient.objects.filter(address=f"{address}@example.com").update(state=state)

    operation = do(staff, "retry", message, why="Asked to")

    assert states() == {
        "a@example.com": State.QUEUED,
        "b@example.com": State.CANCELLED,
        "c@example.com": State.QUEUED,
    }
    assert (operation.done_count, operation.changed_count, operation.skipped_count) == (1, 2, 0)
    event = Event.objects.filter(kind=EventKind.RETRIED).first()
    assert event is not None
    assert (str(event.actor), event.why) == ("staff", "Asked to")


def test_there_is_nothing_to_confirm_where_no_recipient_can_change(
    staff: Client, account: Account
) -> None:
    asked = ask(staff, "retry", queue(account, "a@example.com"))

    assert "No recipient of these messages is in a state that allows this." in asked
    assert 'type="submit" value' not in asked.partition("Retry 1 message?")[2]


def test_cancel_asks_first_and_cancels_what_was_counted(
    staff: Client, tried: Message, account: Account
) -> None:
    other = queue(account, "a@example.com", "b@example.com")
    assert "2 messages, 3 recipients: 3 queued." in ask(staff, "cancel", tried, other)

    operation = do(staff, "cancel", tried, other)

    assert Recipient.objects.filter(state=State.CANCELLED).count() == 3
    assert operation.finished_at is not None


def test_an_action_across_pages_takes_exactly_what_was_counted(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly.ReadOnlyAdmin, "list_per_page", 2)
    monkeypatch.setattr(readonly, "ROWS_COUNTED", 3)
    chosen = [queue(account, f"a{number}@example.com", subject="Chosen") for number in range(5)]
    queue(account, "other@example.com", subject="Other")
    asked = ask(staff, "cancel", chosen[0], q="chosen")
    assert "Cancel 5 messages?" in asked
    queue(account, "late@example.com", subject="Chosen")  # after the count
    operation = BulkOperation.objects.get()
    assert (operation.count, operation.selection) == (5, "q=chosen")
    assert operation.highest_id == chosen[-1].pk

    staff.post(f"/admin/outbox/bulkoperation/{operation.pk}/confirm/", {})
    run_bulk_operations("default")

    assert states()["late@example.com"] == states()["other@example.com"] == State.QUEUED
    cancelled = Recipient.objects.filter(state=State.CANCELLED).values_list("message_id", flat=True)
    assert set(cancelled) == {message.pk for message in chosen}


def test_a_list_that_is_not_counted_to_its_end_says_so(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly.ReadOnlyAdmin, "list_per_page", 2)
    for number in range(4):
        queue(account, f"a{number}@example.com")
    assert "4 messages" in page(staff, LIST)
    monkeypatch.setattr(readonly, "ROWS_COUNTED", 3)

    shown = page(staff, LIST)

    assert "more than 3 messages" in shown
    assert "Select all more than 3 messages" in shown
    assert "All more than 3 selected" in shown


def test_another_person_cannot_confirm(staff: Client, tried: Message) -> None:
    ask(staff, "retry", tried)
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    address = f"/admin/outbox/bulkoperation/{BulkOperation.objects.get().pk}/confirm/"

    assert other.post(address, {}).status_code == 404
    assert other.get(address).status_code == 404
    assert BulkOperation.objects.get().confirmed_at is None


def test_an_operation_is_confirmed_once(staff: Client, tried: Message) -> None:
    operation = do(staff, "retry", tried)
    address = f"/admin/outbox/bulkoperation/{operation.pk}/"
    assert staff.post(f"{address}confirm/", {"why": "again"})["Location"] == f"{address}change/"
    operation.refresh_from_db()
    assert operation.why == ""
    assert "finished" in page(staff, f"{address}change/")
    assert "Retry" in page(staff, "/admin/outbox/bulkoperation/")


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_who_may_only_look_is_offered_no_action(
    action: str, onlooker: Client, tried: Message
) -> None:
    assert "jane@example.com" in page(onlooker, LIST)
    before = list(Recipient.objects.values_list("state", flat=True))

    ask(onlooker, action, tried)

    assert not BulkOperation.objects.exists()
    assert list(Recipient.objects.values_list("state", flat=True)) == before


def test_a_mail_whose_file_cannot_be_read_has_a_page(staff: Client, tried: Message) -> None:
    Source.objects.filter(message=tried).update(data=None, file="sources/gone.eml")

    answer = staff.get(f"{LIST}{tried.pk}/change/")

    assert "No such file" in answer.content.decode()

"""Staff view, filter and search all messages, and change them only by actions."""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

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
from outbox.models.search import index_new
from tests.integration.admin.conftest import queue
from tests.states import set_state

pytestmark = pytest.mark.every_database

LIST = "/admin/outbox/message/"


def page(client: Client, path: str, **query: str) -> str:
    response = client.get(path, query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_page_shows_recipients_attempts_and_events(staff: Client, tried: Message) -> None:
    Event.objects.create(
        message=tried, kind=EventKind.RETRIED, why="Jane asked", at=tried.created_at
    )

    shown = page(staff, f"{LIST}{tried.pk}/change/", content="raw")

    assert "<b>550</b> <bdi>5.1.1 &lt;b&gt;no such user" in shown
    assert "mail.example.com:587" in shown
    assert "Jane asked" in shown
    assert "Subject: Invoice" in shown


def test_a_page_cannot_be_saved(staff: Client, tried: Message) -> None:
    shown = page(staff, f"{LIST}{tried.pk}/change/")

    assert 'name="_save"' not in shown
    assert "deletelink" not in shown


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_messages_cannot_be_added_or_deleted(path: str, staff: Client, tried: Message) -> None:
    assert staff.get(LIST + path.format(pk=tried.pk)).status_code == 403


# --- actions ----------------------------------------------------------------------------------


def ask(client: Client, action: str, *chosen: Message, **query: str) -> str:
    """Choose an action and return the question page."""
    form: dict[str, Any] = {
        "action": action,
        "_selected_action": [message.pk for message in chosen],
    }
    if query:
        form["select_across"] = "1"
    return client.post(f"{LIST}?{urlencode(query)}", form, follow=True).content.decode()


def do(
    client: Client, action: str, *chosen: Message, why: str = "Asked to", **query: str
) -> BulkOperation:
    """Choose an action, confirm it and return the operation."""
    ask(client, action, *chosen, **query)
    operation = BulkOperation.objects.latest("pk")
    client.post(f"/admin/outbox/bulkoperation/{operation.pk}/confirm/", {"why": why})
    run_bulk_operations("default")
    operation.refresh_from_db()
    return operation


def states() -> dict[str, str]:
    return dict(Recipient.objects.values_list("address", "state"))


def test_retry_asks_first_and_counts_recipients_by_state(staff: Client, tried: Message) -> None:
    set_state(Recipient.objects.filter(state=State.QUEUED), State.CANCELLED)
    before = states()

    asked = ask(staff, "retry", tried)

    assert "Retry delivery?" in asked
    assert "1 message, 1 recipient: 1 failed." in asked
    assert "1 recipient was rejected permanently and will probably be rejected again:" in asked
    assert "jane@example.com" in asked
    assert "550 5.1.1 &lt;b&gt;no such user" in asked
    assert "only if you select them" not in asked  # this page offers no recipients
    run_bulk_operations("default")
    assert states() == before  # not confirmed


def test_retry_skips_cancelled_recipients(staff: Client, account: Account) -> None:
    message = queue(account, "a@example.com", "b@example.com", "c@example.com")
    for address, state in (("a", State.FAILED), ("b", State.CANCELLED), ("c", State.EXPIRED)):
        set_state(Recipient.objects.filter(address=f"{address}@example.com"), state)

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


def test_a_bulk_operation_is_named_by_the_label_of_its_action(
    staff: Client, account: Account
) -> None:
    operation = do(staff, "cancel", queue(account, "a@example.com"))
    shown = page(staff, f"/admin/outbox/bulkoperation/{operation.pk}/change/")
    assert "<h2>Cancel delivery: 1 message</h2>" in shown


def test_an_impossible_action_cannot_be_confirmed(staff: Client, account: Account) -> None:
    asked = ask(staff, "retry", queue(account, "a@example.com"))

    assert "There are none." in asked
    assert 'type="submit" value' not in asked.partition("Retry delivery?")[2]


def test_cancel_asks_first_and_cancels_what_was_counted(
    staff: Client, tried: Message, account: Account
) -> None:
    other = queue(account, "a@example.com", "b@example.com")
    assert "2 messages, 3 recipients: 3 queued." in ask(staff, "cancel", tried, other)

    operation = do(staff, "cancel", tried, other)

    assert Recipient.objects.filter(state=State.CANCELLED).count() == 3
    assert operation.finished_at is not None


def test_an_action_across_pages_changes_exactly_the_counted_messages(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly.ReadOnlyAdmin, "list_per_page", 2)
    chosen = [queue(account, f"a{number}@example.com", subject="Chosen") for number in range(5)]
    queue(account, "other@example.com", subject="Other")
    index_new("default", 10)
    asked = ask(staff, "cancel", chosen[0], q="chosen")
    assert "5 messages, 5 recipients: 5 queued." in asked
    queue(account, "late@example.com", subject="Chosen")  # after the count
    operation = BulkOperation.objects.get()
    assert (operation.count, operation.selection) == (5, "q=chosen")
    assert operation.highest_id == chosen[-1].pk

    staff.post(f"/admin/outbox/bulkoperation/{operation.pk}/confirm/", {"why": "Asked to"})
    run_bulk_operations("default")

    assert states()["late@example.com"] == states()["other@example.com"] == State.QUEUED
    cancelled = Recipient.objects.filter(state=State.CANCELLED).values_list("message_id", flat=True)
    assert set(cancelled) == {message.pk for message in chosen}


def test_another_user_cannot_confirm(staff: Client, tried: Message) -> None:
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
    assert operation.why == "Asked to"
    assert "<b>Finished.</b>" in page(staff, f"{address}change/")
    assert "Retry delivery" in page(staff, "/admin/outbox/bulkoperation/")


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_a_viewer_is_offered_no_action(action: str, onlooker: Client, tried: Message) -> None:
    assert "jane<wbr>@example.com" in page(onlooker, LIST)
    before = list(Recipient.objects.values_list("state", flat=True))

    ask(onlooker, action, tried)

    assert not BulkOperation.objects.exists()
    assert list(Recipient.objects.values_list("state", flat=True)) == before


def test_a_message_whose_file_is_missing_has_a_page(staff: Client, tried: Message) -> None:
    Source.objects.filter(message=tried).update(data=None, file="sources/gone.eml")

    shown = page(staff, f"{LIST}{tried.pk}/change/", content="raw")

    assert "The stored source of this message is missing." in shown

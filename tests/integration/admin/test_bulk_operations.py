"""Bulk operations over a filter in the admin: selection, question, progress, permissions."""

import re
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from outbox import api
from outbox.api.bulk_actions import run_bulk_operations
from outbox.models import (
    Account,
    AuditAction,
    AuditEntry,
    BulkOperation,
    Message,
    Recipient,
    State,
    Suppression,
)
from outbox.models.rollup import roll_up
from outbox.models.search import index_new
from tests.integration.admin.conftest import queue
from tests.states import set_state

pytestmark = pytest.mark.every_database

LIST = "/admin/outbox/message/"


@pytest.fixture
def failed(account: Account) -> list[Message]:
    """Three failed messages, beside one that waits."""
    made = [queue(account, f"a{number}@example.com", subject="Offer") for number in range(3)]
    queue(account, "waiting@example.org", subject="Other")
    set_state(
        Recipient.objects.filter(message__in=made),
        State.FAILED,
        reply_code=550,
        reply_enhanced="5.1.1",
        reply_text="5.1.1 no such user",
    )
    roll_up([message.pk for message in made], timezone.now(), "default")
    index_new("default", 10)
    return made


def member(*permissions: str) -> Client:
    """Return a client of staff with these permissions, for every account."""
    user = User.objects.create_user("-".join(permissions), is_staff=True)
    names = {*permissions, "view_all_accounts"}
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, action: str, **query: str) -> HttpResponse:
    """Choose an action for all that match, without any row."""
    form = {"action": action, "select_across": "1", "index": "0"}
    return client.post(f"{LIST}?{urlencode(query)}", form, follow=True)  # type: ignore[return-value]


def page_of(operation: BulkOperation, name: str) -> str:
    return f"/admin/outbox/bulkoperation/{operation.pk}/{name}/"


def begin(client: Client, action: str = "retry", **query: str) -> BulkOperation:
    ask(client, action, **query)
    operation = BulkOperation.objects.latest("pk")
    response = client.post(page_of(operation, "confirm"), {"why": "Asked to"})
    assert response.status_code == 302
    return operation


def take(operation: BulkOperation, permission: str) -> None:
    """Remove a permission of the user who requested an operation."""
    assert operation.actor is not None
    operation.actor.user_permissions.remove(*Permission.objects.filter(codename=permission))


@pytest.mark.system
def test_the_list_offers_all_that_match(staff: Client, failed: list[Message]) -> None:
    assert 'name="select_across" value="1"' in staff.get(LIST).content.decode()


def test_the_question_shows_the_filter_the_counts_and_ten_messages(
    staff: Client, failed: list[Message]
) -> None:
    page = ask(staff, "retry", code="5.1", domain="example.com").content.decode()
    assert "3 messages, 3 recipients: 3 failed." in page
    assert "reply code: 5.1, domain of a recipient: example.com" in page
    assert [f'{LIST}{message.pk}/change/"' in page for message in failed] == [True] * 3
    assert f'href="{LIST}?code=5.1&amp;domain=example.com"' in page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "all messages"),
        ({"state": "failed"}, "state: failed"),
        ({"q": "offer", "state": "failures"}, "search: offer, state: with a failed recipient"),
        ({"since": "2020-01-01"}, "From: 2020-01-01"),
        ({"account": "{account}"}, "account: shop"),
        ({"origin": "backend"}, "origin: sent by an app through Django"),
        ({"provider": "smtp.qq.com"}, "provider: "),
        ({"reply": "-1"}, "server reply: -1"),
        ({"tag": "news"}, "tag: news"),
    ],
)
def test_the_page_has_the_filter_in_words(
    staff: Client, failed: list[Message], account: Account, query: dict[str, str], words: str
) -> None:
    Account.objects.filter(pk=account.pk).update(name="shop")
    given = {name: value.format(account=account.pk) for name, value in query.items()}
    ask(staff, "retry", **given)
    page = staff.get(page_of(BulkOperation.objects.get(), "change")).content.decode()
    assert f"<bdi>{words}" in page


def test_a_wrong_filter_selects_nothing(staff: Client, failed: list[Message]) -> None:
    page = ask(staff, "retry", code="nonsense").content.decode()
    assert "There are none." in page
    assert BulkOperation.objects.get().count == 0
    address = page_of(BulkOperation.objects.get(), "confirm")
    assert staff.post(address, {"why": ""}).status_code == 200
    assert BulkOperation.objects.get().confirmed_at is None


def test_an_operation_begins_with_a_reason_only(staff: Client, failed: list[Message]) -> None:
    ask(staff, "retry", state="failed")
    address = page_of(BulkOperation.objects.get(), "confirm")
    page = staff.post(address, {"why": " "}).content.decode()
    assert "This field is required." in page
    assert BulkOperation.objects.get().confirmed_at is None
    assert staff.post(address, {"why": "Asked to"}).status_code == 302


def test_the_question_counts_suppressed_recipients(staff: Client, failed: list[Message]) -> None:
    first = Recipient.objects.filter(message=failed[0]).values_list("address", flat=True)[0]
    api.suppress(first.upper())
    ask(staff, "retry", state="failed")
    page = staff.get(page_of(BulkOperation.objects.get(), "confirm")).content.decode()
    count = Recipient.objects.filter(message__in=failed, address=first, state="failed").count()
    assert BulkOperation.objects.get().suppressed_count == count > 0
    assert "on a suppression list and will be held." in page


def test_progress_and_skips_are_shown(staff: Client, failed: list[Message]) -> None:
    operation = begin(staff, state="failed")
    gone = failed[0].pk
    failed[0].delete()
    page = staff.get(page_of(operation, "change")).content.decode()
    assert f'hx-get="{page_of(operation, "live")}"' in page
    assert "Waiting for a worker." in page
    run_bulk_operations("default")
    live = staff.get(page_of(operation, "live")).content.decode()
    assert "Changed: 2 messages (2 recipients). 1 message skipped." in live
    assert "Deleted in the meantime." in live
    assert f"<li>{gone}: Deleted in the meantime.</li>" in live
    assert "hx-get" not in live
    assert "Finished at: <time" in live
    listed = staff.get("/admin/outbox/bulkoperation/").content.decode()
    assert "Finished." in listed


def test_an_operation_is_cancelled_after_a_question(staff: Client, failed: list[Message]) -> None:
    operation = begin(staff, state="failed")
    address = page_of(operation, "cancel")
    assert "remains changed" in staff.get(address).content.decode()
    assert BulkOperation.objects.get().cancelled_at is None
    staff.post(address)
    run_bulk_operations("default")
    assert Recipient.objects.filter(state=State.FAILED).count() == 3
    page = staff.post(address, follow=True).content.decode()
    assert "The operation had already ended." in page
    assert "Cancelled." in page
    actions = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert list(actions)[-2:] == [AuditAction.BULK_ACTION, AuditAction.BULK_ACTION_CANCELLED]


def test_suppress_needs_its_own_permission(failed: list[Message]) -> None:
    operator = member("view_message", "change_message")
    assert '<option value="suppress">' not in operator.get(LIST).content.decode()
    ask(operator, "suppress", state="failed")
    assert not BulkOperation.objects.exists()
    both = member("view_message", "change_message", "add_suppression")
    assert '<option value="suppress">Suppress addresses</option>' in both.get(LIST).content.decode()
    operation = begin(both, "suppress", state="failed")
    run_bulk_operations("default")
    assert Suppression.objects.count() == 3
    take(operation, "add_suppression")
    assert both.post(page_of(operation, "cancel")).status_code == 403


def test_a_question_cannot_be_confirmed_without_the_permission(failed: list[Message]) -> None:
    operator = member("view_message", "change_message")
    ask(operator, "retry", state="failed")
    operation = BulkOperation.objects.get()
    take(operation, "change_message")
    assert operator.post(page_of(operation, "confirm"), {"why": ""}).status_code == 403
    assert BulkOperation.objects.get().confirmed_at is None


def test_an_operator_sees_the_own_operation_without_the_list(failed: list[Message]) -> None:
    operator = member("view_message", "change_message")
    operation = begin(operator, state="failed")
    assert operator.get(page_of(operation, "change")).status_code == 200
    assert operator.get(page_of(operation, "live")).status_code == 200
    assert operator.get("/admin/outbox/bulkoperation/").status_code == 403


def test_others_need_permissions(staff: Client, failed: list[Message]) -> None:
    operation = begin(staff, state="failed")
    viewer = member("view_message", "view_bulkoperation")
    page = viewer.get(page_of(operation, "change")).content.decode()
    assert not re.search(rf'href="{page_of(operation, "cancel")}"', page)
    assert viewer.post(page_of(operation, "cancel")).status_code == 403
    stranger = member("view_message")
    assert stranger.get(page_of(operation, "live")).status_code == 403
    assert stranger.get(page_of(operation, "change")).status_code == 403
    assert Client().get(page_of(operation, "live"))["HX-Refresh"] == "true"
    assert BulkOperation.objects.get().cancelled_at is None


@pytest.mark.parametrize("selected", [False, True])
def test_an_operation_changes_nothing_after_its_author_has_lost_the_permission(
    failed: list[Message], selected: bool
) -> None:
    operator = member("view_message", "change_message")
    if selected:
        rows = [str(message.pk) for message in failed]
        data = {"action": "retry", "_selected_action": rows}
        operator.post(LIST, data)
        operation = BulkOperation.objects.get()
        operator.post(page_of(operation, "confirm"), {"why": "Asked to"})
    else:
        operation = begin(operator, state="failed")
    take(operation, "change_message")
    run_bulk_operations("default")
    done = BulkOperation.objects.get()
    assert (done.done_count, done.skips) == (0, {"unmatched": len(failed)})

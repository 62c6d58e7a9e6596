"""An action on a list that is too long to be changed at once: a worker performs it."""

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.messages import get_messages
from django.http import HttpResponse, QueryDict
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.api.bulk_actions import propose, run_bulk_operations
from outbox.api.message_actions import RECIPIENT_ACTIONS
from outbox.delivery.sweep import index_new_messages
from outbox.models import (
    Account,
    AuditAction,
    AuditEntry,
    BulkOperation,
    BulkPage,
    Event,
    Message,
    Status,
)
from outbox.models.search import index_new
from outbox.web.folders import bulk, operations
from outbox.web.reauthentication import FIELD
from outbox.web.recent_sign_in import AUTHENTICATED_AT
from tests.integration.web.conftest import signed_in, staff_member

pytestmark = pytest.mark.every_database


@pytest.fixture(autouse=True)
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)


@pytest.fixture
def messages(anna: User, account: Account) -> list[Message]:
    """Five queued messages of Anna."""
    made = [queue(anna, account, f"Mail {number}") for number in range(5)]
    index_new("default", 100)
    return made


def queue(owner: User | None, account: Account, subject: str) -> Message:
    to = "jane@example.com"
    handle = api.send(account=account, owner=owner, to=to, subject=subject, text="Hello")
    return handle.message()


def ask(client: Client, action: str = "hold", **query: str) -> str:
    fields = {"ask": "1", "all": "1", **query}
    response = client.post(reverse("outbox:bulk", args=[action]), fields)
    assert response.status_code == 200
    return response.content.decode()


def confirm(client: Client, page: str, action: str = "hold", **fields: str) -> HttpResponse:
    found = re.search(r'name="operation" value="(\d+)"', page)
    assert found is not None
    address = reverse("outbox:bulk", args=[action])
    return client.post(address, {"operation": found[1], **fields})  # type: ignore[return-value]


def statuses() -> list[str]:
    return list(Message.objects.order_by("pk").values_list("status", flat=True))


@pytest.mark.parametrize("where", [{"folder": "outbox"}, {"q": "subject:mail"}])
def test_a_worker_changes_the_messages_of_the_question(
    as_anna: Client, anna: User, account: Account, messages: list[Message], where: dict[str, str]
) -> None:
    page = ask(as_anna, **where)
    assert "5 messages, 5 recipients: 5 queued." in page
    assert statuses() == [Status.QUEUED] * 5
    late = queue(anna, account, "Mail, too late")
    api.cancel(messages[1])

    response = confirm(as_anna, page, why="Wrong list")

    operation = BulkOperation.objects.get()
    assert response["Location"] == reverse("outbox:operation", args=[operation.pk])
    assert "Waiting for a worker." in as_anna.get(response["Location"]).content.decode()
    run_bulk_operations("default")
    assert statuses() == [
        *[Status.HELD, Status.CANCELLED, Status.HELD, Status.HELD, Status.HELD],
        Status.QUEUED,
    ]
    live = as_anna.get(reverse("outbox:operation-live", args=[operation.pk])).content.decode()
    assert "Finished." in live
    assert "Changed: 4 messages (4 recipients). 1 message skipped." in live
    assert "hx-get" not in live, "a finished operation is still polled"
    assert Message.objects.get(pk=late.pk).status == Status.QUEUED
    events = Event.objects.filter(kind="held")
    assert set(events.values_list("actor", "why")) == {(anna.pk, "Wrong list")}


@pytest.mark.parametrize("where", [{"folder": "outbox"}, {"q": "subject:mail"}])
def test_an_address_that_is_opened_stores_nothing(
    as_anna: Client, messages: list[Message], where: dict[str, str]
) -> None:
    address = reverse("outbox:bulk", args=["hold"])
    page = as_anna.get(address, {"all": "1", "back": "/list/", **where}).content.decode()
    assert not BulkOperation.objects.exists()
    assert not BulkPage.objects.exists()

    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert fields.pop("csrfmiddlewaretoken")
    assert fields == {"ask": "1", "all": "1", "back": "/list/", **where}
    asked = as_anna.post(address, fields).content.decode()
    assert "5 messages, 5 recipients: 5 queued." in asked
    operation = BulkOperation.objects.get()
    name, value = next(iter(where.items()))
    assert QueryDict(operation.selection).dict() == {"all": "1", name: value}


def test_the_list_posts_its_selection(as_anna: Client, messages: list[Message]) -> None:
    page = as_anna.get(reverse("outbox:folder", args=["outbox"])).content.decode()
    bar = page[page.index('<form id="bulk"') :]
    assert 'method="post"' in bar[: bar.index(">")]
    assert 'name="ask" value="1"' in bar
    assert f'hx-post="{reverse("outbox:bulk", args=["hold"])}"' in bar


def test_a_question_replaces_an_earlier_one(as_anna: Client, messages: list[Message]) -> None:
    first = ask(as_anna, folder="outbox")
    ask(as_anna, folder="outbox")
    assert BulkOperation.objects.count() == 1
    assert confirm(as_anna, first).status_code == 404


def test_an_action_confirms_its_own_question_only(as_anna: Client, messages: list[Message]) -> None:
    page = ask(as_anna, "hold", folder="outbox")
    assert confirm(as_anna, page, "cancel").status_code == 404
    assert BulkOperation.objects.get().confirmed_at is None


def test_a_search_is_limited(
    as_anna: Client, messages: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "SEARCHED_MAX", 3)
    page = ask(as_anna, q="subject:mail")
    assert "this applies to the newest 3" in page
    assert BulkOperation.objects.get().count == 3


def test_it_is_cancelled(as_anna: Client, messages: list[Message]) -> None:
    confirm(as_anna, ask(as_anna, folder="outbox"))
    operation = BulkOperation.objects.get()
    address = reverse("outbox:operation-cancel", args=[operation.pk])
    assert as_anna.get(address).status_code == 405
    for text in ("The operation is cancelled.", "The operation had already ended."):
        response = as_anna.post(address)
        assert [str(one) for one in get_messages(response.wsgi_request)][-1] == text
    run_bulk_operations("default")
    assert statuses() == [Status.QUEUED] * 5
    assert not BulkPage.objects.exists()
    entries = AuditEntry.objects.order_by("pk").values_list("action", "actor_name")
    assert list(entries)[-2:] == [
        (AuditAction.BULK_ACTION, "anna"),
        (AuditAction.BULK_ACTION_CANCELLED, "anna"),
    ]


def test_others_neither_see_nor_change_it(
    as_anna: Client, as_ben: Client, messages: list[Message]
) -> None:
    page = ask(as_anna, folder="outbox")
    assert confirm(as_ben, page).status_code == 404
    confirm(as_anna, page)
    key = BulkOperation.objects.get().pk
    assert as_ben.get(reverse("outbox:operation", args=[key])).status_code == 404
    assert as_ben.get(reverse("outbox:operation-live", args=[key])).status_code == 404
    assert as_ben.post(reverse("outbox:operation-cancel", args=[key])).status_code == 404
    assert BulkOperation.objects.get().cancelled_at is None


def test_messages_of_others_are_not_in_the_set(
    as_ben: Client, ben: User, account: Account, messages: list[Message]
) -> None:
    own = [queue(ben, account, f"Mail of Ben {number}") for number in range(3)]
    confirm(as_ben, ask(as_ben, folder="outbox"))
    run_bulk_operations("default")
    held = Message.objects.filter(status=Status.HELD).values_list("pk", flat=True)
    assert set(held) <= {message.pk for message in own}
    assert BulkOperation.objects.get().count == 3


def test_staff_act_on_all_messages_of_apps(account: Account, messages: list[Message]) -> None:
    made = [queue(None, account, f"Reset {number}") for number in range(3)]
    staff = staff_member("view_message", "change_message")
    staff.set_password("correct horse battery")
    staff.save()
    client = signed_in(staff)
    page = ask(client, apps="1", folder="outbox")
    assert "3 messages, 3 recipients: 3 queued." in page
    session = client.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    assert confirm(client, page).status_code == 403
    password = {FIELD: "correct horse battery"}
    unexplained = confirm(client, page, **password)
    assert unexplained.status_code == 422
    assert "This field is required." in unexplained.content.decode()
    assert BulkOperation.objects.get().confirmed_at is None
    assert confirm(client, page, why="Wrong list", **password).status_code == 302
    run_bulk_operations("default")
    held = Message.objects.filter(status=Status.HELD).values_list("pk", flat=True)
    assert set(held) == {message.pk for message in made}


def test_staff_without_the_permission_do_not(account: Account) -> None:
    for number in range(3):
        queue(None, account, f"Reset {number}")
    client = signed_in(staff_member("view_message"))
    address = reverse("outbox:bulk", args=["hold"])
    response = client.post(address, {"ask": "1", "all": "1", "apps": "1", "folder": "outbox"})
    assert response.status_code == 403
    assert not BulkOperation.objects.exists()


def test_staff_act_on_messages_of_the_accounts_that_they_see(account: Account) -> None:
    """Not on those of an account whose team they do not belong to."""
    queue(None, account, "Of another team")
    team = Group.objects.create(name="Shop team")
    shop = Account.objects.create(name="shop", from_address="s@example.com", host="mail.example")
    shop.staff_groups.add(team)
    seen = [queue(None, shop, f"Reset {number}") for number in range(3)]
    index_new_messages("default")
    staff = staff_member("view_message", "change_message")
    staff.user_permissions.remove(Permission.objects.get(codename="view_all_accounts"))
    staff.groups.add(team)
    client = signed_in(staff)
    page = ask(client, apps="1", folder="outbox")
    assert "3 messages, 3 recipients: 3 queued." in page
    team.user_set.clear()
    confirm(client, page, why="Wrong list")
    run_bulk_operations("default")
    assert not Message.objects.filter(status=Status.HELD).exists(), "no longer of the team"
    assert BulkOperation.objects.get().skips == {"unmatched": len(seen)}


def test_a_question_of_the_admin_is_not_confirmed_without_the_password(
    account: Account, messages: list[Message]
) -> None:
    staff = staff_member("view_message", "change_message")
    operation = propose(
        RECIPIENT_ACTIONS["hold"], actor=staff, message_ids=[messages[0].pk], using="default"
    )
    client = signed_in(staff)
    session = client.session
    session[AUTHENTICATED_AT] -= 3600
    session.save()
    address = reverse("outbox:bulk", args=["hold"])
    assert client.post(address, {"operation": operation.pk, "why": ""}).status_code == 403
    staff.user_permissions.clear()
    session[AUTHENTICATED_AT] += 3600
    session.save()
    assert client.post(address, {"operation": operation.pk, "why": ""}).status_code == 403
    assert BulkOperation.objects.get().confirmed_at is None

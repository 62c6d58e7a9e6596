"""Received messages in the admin: only with permission, and reading them is recorded."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from outbox.models import Account, AuditAction, AuditEntry, InboundMessage, Message
from tests.integration.web.conftest import signed_in, staff_member
from tests.received import add_many, letter, receive

LIST = reverse("admin:outbox_inboundmessage_changelist")


@pytest.fixture
def account(db: None) -> Account:
    owner = User.objects.create_user("anna")
    return Account.objects.create(
        owner=owner, name="Work", from_address="anna@example.com", host="mail.example.com"
    )


@pytest.fixture
def lunch(account: Account) -> InboundMessage:
    assert account.owner is not None
    return receive(account.owner, letter("Lunch", "A secret text"), account)


def addresses(message: InboundMessage) -> list[str]:
    page = reverse("admin:outbox_inboundmessage_change", args=[message.pk])
    name = "admin:outbox_inboundmessage_{}".format
    return [
        f"{page}?content=text",
        reverse(name("source"), args=[message.pk]),
        reverse(name("part"), args=[message.pk, "1"]),
    ]


def readings() -> int:
    return AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ).count()


def test_the_view_permission_shows_no_content(lunch: InboundMessage) -> None:
    client = signed_in(staff_member("view_message"))
    assert "Lunch" in client.get(LIST).content.decode()
    page, *files = addresses(lunch)
    shown = client.get(page).content.decode()
    assert "Lunch" in shown
    assert "A secret text" not in shown
    assert {client.get(file).status_code for file in files} == {403}
    assert readings() == 0


def test_the_reading_permission_shows_the_content_and_is_recorded(lunch: InboundMessage) -> None:
    client = signed_in(staff_member("view_message", "read_source"))
    page, *files = addresses(lunch)
    assert "A secret text" not in client.get(page.partition("?")[0]).content.decode()
    assert readings() == 0
    for number, address in enumerate([page, *files], start=1):
        response = client.get(address)
        assert b"A secret text" in response.content
        assert readings() == number
    entry = AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ).latest("pk")
    assert (entry.actor_name, entry.target_key) == ("staff", str(lunch.pk))
    lunch.refresh_from_db()
    assert not lunch.is_read  # the owner has not read it


def test_others_see_nothing(lunch: InboundMessage) -> None:
    for client in (signed_in(staff_member()), signed_in(User.objects.create_user("carl"))):
        for address in (LIST, *addresses(lunch)):
            assert client.get(address).status_code in {302, 403}
    assert readings() == 0


def test_staff_see_the_accounts_of_their_groups_only(lunch: InboundMessage) -> None:
    client = signed_in(staff_member("view_message", "read_source", name="limited"))
    limited = User.objects.get(username="limited")
    limited.user_permissions.set(limited.user_permissions.exclude(codename="view_all_accounts"))
    assert "Lunch" not in client.get(LIST).content.decode()
    for address in addresses(lunch)[1:]:
        assert client.get(address).status_code == 404


def test_the_original_is_shown_only_to_staff_who_see_its_account(
    account: Account, lunch: InboundMessage
) -> None:
    other = Account.objects.create(name="Other", from_address="o@example.com", host="h")
    original = Message.objects.create(account=other, subject="Board meeting", status="sent")
    InboundMessage.objects.update(replies_to=original)
    page = reverse("admin:outbox_inboundmessage_change", args=[lunch.pk])
    client = signed_in(staff_member("view_message"))
    assert "Board meeting" in client.get(page).content.decode()
    limited = staff_member("view_message", name="limited")
    limited.user_permissions.set(limited.user_permissions.exclude(codename="view_all_accounts"))
    group = Group.objects.create(name="Work")
    account.staff_groups.add(group)
    limited.groups.add(group)
    shown = signed_in(User.objects.get(pk=limited.pk)).get(page).content.decode()
    assert "Lunch" in shown
    assert "Board meeting" not in shown


def test_the_list_is_paged_by_time(account: Account) -> None:
    assert account.owner is not None
    add_many(account.owner, 60, account=account)
    client = signed_in(staff_member("view_message"))
    first = client.get(LIST).context["cl"]
    assert [one.subject for one in first.result_list][:2] == ["Message 0", "Message 1"]
    second = client.get(LIST + first.older_url).context["cl"]
    assert len({one.pk for one in (*first.result_list, *second.result_list)}) == 60


def test_the_html_is_in_a_frame_without_remote_pictures(account: Account) -> None:
    assert account.owner is not None
    message = receive(
        account.owner,
        "From: a@b.example\nContent-Type: text/html\n\n"
        '<script>x()</script><img src="https://t.example/p.gif"><p>Hi</p>',
        account,
    )
    client = signed_in(staff_member("view_message", "read_source"))
    url = reverse("admin:outbox_inboundmessage_change", args=[message.pk])
    page = client.get(url, {"content": "preview"}).content.decode()
    address = next(part for part in page.split('"') if "/preview/" in part)
    shown = Client().get(address).content.decode()
    assert "<p>Hi</p>" in shown
    assert "t.example" not in shown
    assert "script" not in shown

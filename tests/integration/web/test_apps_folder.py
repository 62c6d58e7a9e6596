"""The folder Apps and the message page for staff: what they see, and what they may do."""

from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from outbox import api
from outbox.mail.mime_writer import AttachmentPart
from outbox.models import Account, Folder, Message, State, Status
from outbox.models.access import READ_SOURCE
from outbox.web.folders.pagination import PAGE_SIZE
from tests.integration.web.conftest import preview_seen_by, signed_in, staff_member

pytestmark = pytest.mark.django_db
APPS = reverse("outbox:apps")
SECRET = "reset-token-4711"
VIEW, CHANGE = "view_message", "change_message"


@pytest.fixture
def reset(account: Account) -> Message:
    """A message of an app with a link that only its recipient may know."""
    handle = api.send(
        to="jane@example.com",
        subject="Reset your password",
        text=f"https://shop.example.com/{SECRET}",
        html=f"<p><a href='https://shop.example.com/{SECRET}'>Reset</a></p>",
        attachments=[
            AttachmentPart(name="codes.txt", content_type="text/plain", data=SECRET.encode())
        ],
        account=account,
    )
    return handle.message()


@pytest.fixture
def superuser(db: None) -> User:
    return User.objects.create_superuser("root")


def subjects(client: Client, **query: str) -> list[str]:
    return [row.message.subject for row in client.get(APPS, query).context["list"].rows]


def of_apps(count: int, folder: Folder = Folder.SENT) -> list[Message]:
    return Message.objects.bulk_create(
        Message(
            subject=f"Message {n}",
            status=Status.SENT,
            folder=folder,
            has_failure=folder == Folder.FAILED,
        )
        for n in range(count)
    )


@pytest.mark.usefixtures("mail", "draft", "reset")
def test_apps_lists_only_messages_without_an_owner() -> None:
    client = signed_in(staff_member(VIEW))
    assert subjects(client) == ["Reset your password"]
    assert subjects(client, folder="outbox") == ["Reset your password"]
    assert subjects(client, folder="failed") == []
    assert client.get(APPS, {"folder": "drafts"}).status_code == 404


def test_apps_are_paged_without_gap_over_all_folders() -> None:
    staff = signed_in(staff_member(VIEW))
    for folder in (Folder.SENT, Folder.FAILED, Folder.SENT, Folder.CANCELLED):
        of_apps(30, folder)
    first = staff.get(APPS)
    second = staff.get(APPS, {"before": first.context["list"].slice.older})
    third = staff.get(APPS, {"before": second.context["list"].slice.older})
    pages = [
        [row.message.pk for row in page.context["list"].rows] for page in (first, second, third)
    ]
    assert list(map(len, pages)) == [PAGE_SIZE, PAGE_SIZE, 20]
    newest = list(Message.objects.order_by("-listed_at", "-pk").values_list("pk", flat=True))
    assert [*pages[0], *pages[1], *pages[2]] == newest
    back = staff.get(APPS, {"after": third.context["list"].slice.newer})
    assert [row.message.pk for row in back.context["list"].rows] == pages[1]


def test_apps_uses_the_index_of_the_lists() -> None:
    client = signed_in(staff_member(VIEW))
    of_apps(3)
    with CaptureQueriesContext(connection) as queries:
        client.get(APPS, {"folder": "sent"})
    (listed,) = [
        q["sql"] for q in queries if "snippet" in q["sql"] and "outbox_message" in q["sql"]
    ]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {listed}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {listed}")
        plan = " ".join(str(row) for row in cursor.fetchall())
    assert "outbox_message_list" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_rows_of_apps_are_sent_again_only_when_they_changed(reset: Message) -> None:
    staff = signed_in(staff_member(VIEW))
    seen = staff.get(APPS).context["list"].fingerprint
    rows = reverse("outbox:apps-rows")
    assert staff.get(rows, {"seen": seen}).status_code == 204
    api.cancel(reset)
    assert "Reset your password" in staff.get(rows, {"seen": seen}).content.decode()


def test_only_staff_with_permission_have_the_folder_apps(anna: User) -> None:
    home = reverse("outbox:list")
    assert APPS not in signed_in(anna).get(home).content.decode()
    assert APPS not in signed_in(staff_member()).get(home).content.decode()
    assert APPS in signed_in(staff_member(VIEW, name="viewer")).get(home).content.decode()


# --- content ------------------------------------------------------------------------------------


def every_page(message: Message, part: str = "2") -> list[str]:
    """Return each address at which something of the message can be read."""
    pages = [APPS, reverse("outbox:apps-rows"), reverse("outbox:search") + "?q=Reset"]
    pages += [reverse(f"outbox:{name}", args=[message.pk]) for name in (
        "message", "live", "source", "transcript", "record", "cancel", "retry", "hold",
    )]  # fmt: skip
    tabs = ("preview", "text", "html", "headers", "raw", "parts", "checks", "changes")
    pages += [reverse("outbox:content", args=[message.pk, tab]) for tab in tabs]
    pages += [reverse("outbox:message", args=[message.pk]) + f"?show={tab}" for tab in tabs]
    pages += [reverse("outbox:part", args=[message.pk, part])]
    admin = f"/admin/outbox/message/{message.pk}/change/"
    return [*pages, admin, f"{admin}?content=text", "/admin/outbox/message/"]


@pytest.mark.parametrize("words", [SECRET, "Reset", "to:jane@example.com", ""])
def test_a_search_finds_only_the_users_own_messages(words: str, reset: Message, anna: User) -> None:
    client = signed_in(staff_member(VIEW, READ_SOURCE))
    for owner in (None, anna):
        Message.objects.update(owner=owner)
        assert client.get(reverse("outbox:search"), {"q": words}).context["list"].rows == []


@pytest.mark.parametrize("owned", [False, True], ids=["of an app", "of another person"])
def test_no_page_shows_content_without_the_permission(
    owned: bool, reset: Message, anna: User
) -> None:
    if owned:
        Message.objects.update(owner=anna)
    client = signed_in(staff_member(VIEW, CHANGE))
    for page in every_page(reset):
        assert SECRET not in client.get(page).content.decode(), page
    shown = client.get(reverse("outbox:message", args=[reset.pk])).content.decode()
    assert "Reset your password" in shown
    name = Permission.objects.get(codename=READ_SOURCE).name
    assert f"you need the permission “{name}”" in unescape(shown)


def test_content_is_shown_with_the_permission(reset: Message) -> None:
    client = signed_in(staff_member(VIEW, READ_SOURCE))
    shown = [page for page in every_page(reset) if SECRET in client.get(page).content.decode()]
    named = {page.removeprefix(f"/messages/{reset.pk}/") for page in shown}
    assert {"source/", "content/text/", "content/html/", "?show=text"} <= named
    assert f"/admin/outbox/message/{reset.pk}/change/?content=text" in named
    assert APPS not in named  # a list records no reading


def test_the_owner_needs_no_permission_even_as_staff(reset: Message) -> None:
    staff = staff_member()
    Message.objects.update(owner=staff)
    assert signed_in(staff).get(reverse("outbox:source", args=[reset.pk])).status_code == 200


def test_a_preview_ends_with_the_permission(reset: Message) -> None:
    staff = staff_member(VIEW, READ_SOURCE)
    address = preview_seen_by(signed_in(staff), reset)
    assert SECRET in Client().get(address).content.decode()
    staff.user_permissions.remove(staff.user_permissions.get(codename=READ_SOURCE))
    refused = Client().get(address)
    assert refused.status_code == 403
    assert SECRET not in refused.content.decode()


def test_staff_see_no_draft_of_another_user(draft: Message, mail: Message, anna: User) -> None:
    client = signed_in(staff_member(VIEW, READ_SOURCE, CHANGE))
    api.reply_to_message(mail, api.DraftKind.COPY, actor=anna)
    assert client.get(reverse("outbox:message", args=[draft.pk])).status_code == 404
    copy = Message.objects.get(made_from=mail)
    for page in (
        reverse("outbox:message", args=[mail.pk]),
        reverse("outbox:content", args=[mail.pk, "changes"]),
    ):
        assert reverse("outbox:draft", args=[copy.pk]) not in client.get(page).content.decode()


# --- actions --------------------------------------------------------------------------------------


def test_buttons_are_shown_to_permitted_users(reset: Message) -> None:
    page = reverse("outbox:message", args=[reset.pk])
    only_view = signed_in(staff_member(VIEW)).get(page).content.decode()
    may_change = signed_in(staff_member(VIEW, CHANGE, name="changer")).get(page).content.decode()
    for name in ("action-cancel", "action-hold"):
        assert name not in only_view
        assert name in may_change
    for owners in ('value="reply"', 'value="copy"', "action-undo"):
        assert owners not in may_change


def test_staff_who_may_change_cancel_a_message_of_an_app(reset: Message) -> None:
    client = signed_in(staff_member(VIEW, CHANGE))
    client.post(reverse("outbox:cancel", args=[reset.pk]), {"why": "sent by mistake"})
    assert reset.recipients.get().state == State.CANCELLED
    event = reset.events.get(actor__isnull=False)
    assert (str(event.actor), event.why) == ("staff", "sent by mistake")


def test_staff_act_on_many_messages_of_apps(reset: Message, mail: Message) -> None:
    client = signed_in(staff_member(VIEW, CHANGE))
    address = reverse("outbox:bulk", args=["cancel"])
    asked = client.get(address, {"apps": "1", "all": "1"})
    assert asked.context["keys"] == str(reset.pk)
    client.post(address, {"messages": asked.context["keys"], "why": "sent by mistake"})
    assert reset.recipients.get().state == State.CANCELLED
    assert not mail.recipients.filter(state=State.CANCELLED).exists()


def test_staff_with_view_permission_change_nothing(reset: Message, mail: Message) -> None:
    client = signed_in(staff_member(VIEW, READ_SOURCE))
    address = reverse("outbox:bulk", args=["cancel"])
    assert client.get(address, {"apps": "1", "all": "1"}).context["keys"] == ""
    client.post(address, {"messages": f"{reset.pk},{mail.pk}"})
    assert reset.recipients.get().state == State.QUEUED
    assert 'name="m"' not in client.get(APPS).content.decode()


# --- ways between the pages -----------------------------------------------------------------------


def test_the_admin_and_the_message_page_link_to_each_other(reset: Message) -> None:
    client = signed_in(staff_member(VIEW))
    page = reverse("outbox:message", args=[reset.pk])
    admin = f"/admin/outbox/message/{reset.pk}/change/"
    assert f'href="{admin}"' in client.get(page).content.decode()
    assert f'href="{page}"' in client.get(admin).content.decode()


def test_a_draft_has_no_link_to_a_message_page(draft: Message, superuser: User) -> None:
    page = signed_in(superuser).get(f"/admin/outbox/message/{draft.pk}/change/")
    assert reverse("outbox:message", args=[draft.pk]) not in page.content.decode()


def test_first_steps_do_not_hide_messages_of_apps(superuser: User, anna: User) -> None:
    home, notice = reverse("outbox:list"), "Messages that apps send are in the folder Apps."
    assert notice not in signed_in(superuser).get(home).content.decode()
    of_apps(1)
    shown = signed_in(superuser).get(home).content.decode()
    assert "Send your first message in three steps" in shown
    assert notice in shown
    assert notice not in signed_in(anna).get(home).content.decode()

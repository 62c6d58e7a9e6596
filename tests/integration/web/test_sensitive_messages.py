"""No page shows the content of a sensitive message. Readings of others' messages are recorded."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from outbox import api
from outbox.mail.parts import outline
from outbox.models import (
    COPIES,
    Account,
    Attachment,
    Draft,
    Message,
    Recipient,
    Source,
    State,
)
from outbox.models.audit import AuditAction, AuditEntry
from outbox.models.search import index_messages
from outbox.web.folders.message_list import APPS
from signin.resets import send_requested
from tests.email_backend import use_backend
from tests.integration.web.conftest import preview_seen_by, signed_in, staff_member
from tests.planted import CODES, forms, queue_planted
from tests.states import set_state

READERS: dict[str, Callable[[], User]] = {
    "owner": lambda: User.objects.get(username="anna"),
    "staff who may read": lambda: staff_member("view_message", "read_source"),
    "superuser": lambda: User.objects.create_superuser("root"),
}


@pytest.fixture
def planted(account: Account, anna: User) -> Message:
    """A sensitive message of Anna's, as an app queues it for her."""
    message = queue_planted(account, owner=anna)
    index_messages([message.pk], "default")
    return message


def pages(message: Message, client: Client) -> Iterator[str]:
    """Yield every address that could show some of the message."""
    pk = message.pk
    yield reverse("outbox:list")
    yield from (reverse("outbox:folder", args=[one]) for one in ("outbox", "failed", "sent"))
    yield from (reverse("outbox:rows", args=[one]) for one in ("outbox", "failed", "sent"))
    yield reverse(f"outbox:{APPS}")
    yield from (f"{reverse('outbox:search')}?q={code}" for code in CODES.values())
    yield from (reverse(f"outbox:{name}", args=[pk]) for name in ("message", "live"))
    for tab in ("preview", "text", "html", "headers", "raw", "parts", "checks", "changes"):
        yield reverse("outbox:content", args=[pk, tab])
        yield f"{reverse('outbox:message', args=[pk])}?show={tab}"
    yield from (reverse(f"outbox:{one}", args=[pk]) for one in ("source", "transcript", "record"))
    yield from (reverse("outbox:part", args=[pk, path]) for path in ("1", "1.1", "1.1.1", "1.2"))
    yield reverse("outbox:original-picture", args=[pk]) + "?cid=1"
    yield preview_seen_by(client, message)
    yield from (
        f"{reverse('outbox:compose')}?from={pk}&as={kind}"
        for kind in ("reply", "forward", "copy", "resend")
    )
    yield reverse("admin:outbox_message_changelist")
    yield from (f"{reverse('admin:outbox_message_changelist')}?q={c}" for c in CODES.values())
    yield reverse("admin:outbox_message_change", args=[pk])
    yield reverse("admin:outbox_recipient_changelist")


@pytest.mark.system
@pytest.mark.django_db
@pytest.mark.parametrize("reader", READERS)
def test_no_page_shows_the_content(reader: str, planted: Message) -> None:
    assert outline(planted.source.read()).children
    client = signed_in(READERS[reader]())
    asked = {code.encode() for code in CODES.values()}
    for address in pages(planted, client):
        response = client.get(address)
        shown = b"".join(response) if response.streaming else response.content
        if "?q=" in address:  # the page repeats what was asked
            code = address.rpartition("=")[2].encode()
            shown = shown.replace(code, b"")
            assert b"(sensitive message)" not in shown, address
        found = [code for code in asked if any(form in shown for form in forms(code.decode()))]
        assert not found, (address, response.status_code)
        assert response.status_code != 500, address


@pytest.mark.django_db
def test_the_pages_say_that_a_message_is_sensitive(planted: Message, as_anna: Client) -> None:
    page = as_anna.get(reverse("outbox:message", args=[planted.pk])).content.decode()
    assert "(sensitive message)" in page
    assert "No page shows its content, and it is erased when its delivery ends." in page
    assert 'value="reply"' not in page
    assert 'value="copy"' not in page
    listed = as_anna.get(reverse("outbox:list")).content.decode()
    assert "(sensitive message)" in listed
    Source.objects.all().delete()
    page = as_anna.get(reverse("outbox:message", args=[planted.pk])).content.decode()
    assert "Its content was erased when its delivery ended." in page


@pytest.mark.django_db
@pytest.mark.parametrize(("state", "action"), [(State.FAILED, "retry"), (State.UNCERTAIN, "retry")])
def test_an_action_that_needs_the_content_is_disabled_and_says_why(
    state: State, action: str, planted: Message, as_anna: Client
) -> None:
    set_state(Recipient.objects.filter(message=planted), state)
    button = f'id="action-{action}" class="button" type="button" disabled'
    address = reverse("outbox:message", args=[planted.pk])
    assert button not in as_anna.get(address).content.decode()
    Source.objects.all().delete()
    page = as_anna.get(address).content.decode()
    assert button in page
    assert "It cannot be sent again." in page
    assert 'id="action-resend"' not in page
    question = reverse(f"outbox:{action}", args=[planted.pk])
    assert "It cannot be sent again." in as_anna.get(question).content.decode()
    recipient = Recipient.objects.get(message=planted)
    response = as_anna.post(question, {"recipients": [recipient.pk]})
    assert "It cannot be sent again." in response.content.decode()
    recipient.refresh_from_db()
    assert recipient.state == state


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["reply", "forward", "copy", "resend"])
def test_nothing_is_made_from_a_sensitive_message(
    kind: str, planted: Message, as_anna: Client
) -> None:
    address = reverse("outbox:reply", args=[planted.pk])
    assert as_anna.post(address, {"as": kind}).status_code == 404
    data = {"from": str(planted.pk), "as": kind, "text": "x", "to": "a@example.org"}
    as_anna.post(reverse("outbox:compose"), data)  # what was typed is kept
    draft = Draft.objects.get()
    assert (draft.text, draft.html, draft.message.subject) == ("x", "", "")
    assert not Attachment.objects.exists()


@pytest.mark.django_db
def test_each_reading_of_another_s_message_is_recorded(mail: Message, as_anna: Client) -> None:
    staff = staff_member("view_message", "read_source")
    client = signed_in(staff)
    addresses = [
        reverse("outbox:message", args=[mail.pk]),
        reverse("outbox:content", args=[mail.pk, "text"]),
        reverse("outbox:source", args=[mail.pk]),
        reverse("outbox:part", args=[mail.pk, "1"]),
        reverse("admin:outbox_message_change", args=[mail.pk]) + "?content=text",
    ]
    for number, address in enumerate(addresses, 1):
        assert client.get(address).status_code == 200
        assert as_anna.get(address).status_code in {200, 302}  # her own are not recorded
        entries = AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ)
        assert entries.count() == number, address
        latest = entries.latest("pk")
        assert (latest.actor_name, latest.target_key) == ("staff", str(mail.pk))


@pytest.mark.django_db
def test_seeing_a_message_without_its_content_is_not_a_reading(mail: Message) -> None:
    client = signed_in(staff_member("view_message"))
    assert client.get(reverse("outbox:message", args=[mail.pk])).status_code == 200
    assert client.get(reverse("admin:outbox_message_change", args=[mail.pk])).status_code == 200
    assert not AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ).exists()


@pytest.mark.django_db
def test_the_list_of_apps_messages_shows_no_content(account: Account) -> None:
    """Even to staff who may read it, because a list records no reading."""
    api.send(to="a@example.com", subject="Hi", text="the beginning", account=account)
    client = signed_in(staff_member("view_message", "read_source"))
    assert b"the beginning" not in client.get(reverse("outbox:apps")).content


@pytest.mark.django_db
def test_the_site_s_own_password_reset_is_sensitive(
    account: Account, anna: User, settings: LazySettings
) -> None:
    use_backend(settings)
    Account.objects.update(is_app_default=True, owner=None)
    anna.email = "anna@example.com"
    anna.set_password("something long")
    anna.save()
    Client().post(reverse("password_reset"), {"email": "anna@example.com"})
    assert send_requested() == 1
    assert Message.objects.get().is_sensitive


@pytest.mark.django_db
def test_staff_of_some_accounts_see_no_linked_message_of_another(
    mail: Message, as_anna: Client
) -> None:
    """Anna copies her message and sends the copy with another account."""
    another = Account.objects.create(
        owner=mail.owner, name="hr", from_address="hr@example.com", host="mail.example.com"
    )
    assert mail.owner is not None
    fields = api.DraftFields(
        account=another,
        to="jane@example.com",
        subject="Only for Human Resources",
        text="Secret",
    )
    copy = api.save_draft(mail.owner, fields)
    Draft.objects.filter(pk=copy.pk).update(made_as=next(iter(COPIES)))
    Message.objects.filter(pk=copy.pk).update(made_from=mail)
    api.send_draft(Message.objects.get(pk=copy.pk), actor=mail.owner)
    address = reverse("outbox:message", args=[mail.pk])
    assert "Only for Human" in as_anna.get(address).content.decode()
    team = Group.objects.create(name="Team")
    assert mail.account is not None
    mail.account.staff_groups.add(team)
    staff = staff_member("view_message", "read_source")
    staff.user_permissions.remove(Permission.objects.get(codename="view_all_accounts"))
    staff.groups.add(team)
    client = signed_in(staff)
    for tab in ("", "?show=changes", f"?show=changes&with={copy.pk}"):
        page = client.get(address + tab)
        assert page.status_code == 200
        assert "Human Resources" not in page.content.decode(), tab
        assert "Secret" not in page.content.decode(), tab
    staff.user_permissions.add(Permission.objects.get(codename="view_all_accounts"))
    page = signed_in(staff).get(f"{address}?show=changes")
    assert "Human Resources" in page.content.decode()
    read = AuditEntry.objects.filter(action=AuditAction.MESSAGE_READ)
    assert {str(mail.pk), str(copy.pk)} <= set(read.values_list("target_key", flat=True))

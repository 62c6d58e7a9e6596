"""Access to every address of the pages: owner, sharer, staff, stranger and anonymous.

A message belongs to its writer alone; an account may be shared, but only its owner changes it. What
a user cannot see is not found: 404. Staff with the view permission see every message; what they may
not do with it is forbidden: 403.
"""

from dataclasses import dataclass, field
from http import HTTPStatus

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils.html import escape

from outbox import api
from outbox.models import (
    Account,
    BulkOperation,
    Contact,
    DomainCheck,
    InboundMessage,
    InboundReport,
    Message,
    Preferences,
    Recipient,
    ReplyReminder,
    State,
    Suppression,
    Template,
)
from tests.integration.web.conftest import signed_in, staff_member
from tests.received import receive
from tests.states import set_state


@dataclass(frozen=True)
class Address:
    """An address by name, and the status of a GET for each kind of user.

    Others are sharer and stranger, staff without permission, and a permission without staff.
    """

    name: str
    of: tuple[str, ...] = ()
    owner: int = 200
    others: int = 404
    staff: dict[str, int] = field(default_factory=dict)  # by permissions; as others where missing


STAFF = {  # what each of them has been given, beside being staff
    "view": ("view_message",),
    "read": ("view_message", "read_source"),
    "change": ("view_message", "change_message"),
    "change only": ("change_message",),  # which implies to view, as in the admin
}
SEEN = dict.fromkeys(STAFF, 200)
READ = dict.fromkeys(STAFF, 403) | {"read": 200}
CHANGED = dict.fromkeys(STAFF, 403) | {"change": 200, "change only": 200}

ADDRESSES = [
    Address("apps", owner=404, staff=SEEN),
    Address("apps-rows", owner=404, staff=SEEN),
    Address("list", others=200),
    Address("folder", ("folder",), others=200),
    Address("rows", ("folder",), others=200),
    Address("dismiss-failures", owner=405, others=405),
    Address("failed-by-reply", others=200),
    Address("search", others=200),
    Address("search-rows", others=200),
    Address("compose", others=200),
    Address("draft", ("draft",)),
    Address("discard", ("draft",)),
    Address("compose-save", owner=405, others=405),
    Address("compose-template", others=200),
    Address("draft-save", ("draft",), owner=405, others=405),
    Address("draft-attachments", ("draft",), owner=405, others=405),
    Address("picture", ("draft", "picture")),
    Address("undo", ("mail",), owner=405, others=405),
    Address("contacts", others=200),
    Address("suggest", others=200),
    Address("contact-add", others=200),
    Address("contact", ("contact",)),
    Address("contact-delete", ("contact",), owner=405, others=405),
    Address("preferences", others=200),
    Address("shortcuts", others=200),
    Address("reauthenticate", others=200),
    Address("templates", others=200),
    Address("template-add", others=200),
    Address("template-preview", owner=405, others=405),
    Address("template", ("template",)),
    Address("template-delete", ("template",), owner=405, others=405),
    Address("message", ("mail",), staff=SEEN),
    Address("live", ("mail",), staff=SEEN),
    Address("content", ("mail", "tab"), staff=READ),
    Address("reply", ("mail",), owner=405, others=405),
    Address("original-picture", ("mail",), owner=404),  # it has no pictures
    Address("send-now", ("mail",), owner=405, others=405),
    Address("change-time", ("mail",)),
    Address("edit", ("mail",), owner=405, others=405),
    Address("bulk", ("action",), others=200),
    Address("operation", ("operation",)),
    Address("operation-live", ("operation",)),
    Address("operation-cancel", ("operation",), owner=405, others=405),
    Address("cancel", ("mail",), staff=CHANGED),
    Address("retry", ("mail",), staff=CHANGED),
    Address("mark-sent", ("mail",), staff=CHANGED),
    Address("retry-uncertain", ("mail",), staff=CHANGED),
    Address("retry-failed", ("mail",), staff=CHANGED),
    Address("hold", ("mail",), staff=CHANGED),
    Address("release", ("mail",), staff=CHANGED),
    Address("source", ("mail",), staff=READ),
    Address("transcript", ("mail",), staff=SEEN),
    Address("record", ("mail",), staff=SEEN),
    Address("part", ("mail", "part"), staff=READ),
    Address("attachment", ("draft", "attachment")),
    Address("accounts", others=200),
    Address("account-add", others=200),
    Address("account-settings", owner=405, others=405),
    Address("account-add-test", owner=405, others=405),
    Address("account", ("account",)),
    Address("account-test", ("account",), owner=405, others=405),
    Address("account-test-saved", ("account",), owner=405, others=405),
    Address("account-retry", ("account",), owner=405, others=405),
    Address("account-mailbox", ("account",)),
    Address("account-mailbox-test", ("account",), owner=405, others=405),
    Address("account-mailbox-fetch", ("account",), owner=405, others=405),
    Address("account-mailbox-remove", ("account",), owner=405, others=405),
    Address("account-accept", ("account",), owner=405, others=405),
    Address("account-decline", ("account",), owner=405, others=405),
    Address("account-delete", ("account",)),
    Address("oauth-start", owner=405, others=405),
    Address("oauth-return", owner=302, others=302),  # without a request that was started here
    Address("oauth-disconnect", ("account",), owner=405, others=405),
    Address("account-domain", ("account",)),
    Address("account-domain-check", ("account",), owner=405, others=405),
    Address("account-suppressions", ("account",)),
    Address("account-suppression-remove", ("account", "suppression"), owner=405, others=405),
    Address("suppress", ("mail", "recipient"), staff=dict.fromkeys(STAFF, 403)),
    Address("inbox", others=200),
    Address("received-folder", ("box",), others=200),
    Address("received-rows", ("box",), others=200),
    Address("received-bulk", ("change",), owner=405, others=405),
    # Staff read received messages of others in the admin only.
    Address("received", ("received",)),
    Address("received-content", ("received", "tab")),
    Address("received-pictures", ("received",), owner=405, others=405),
    Address("received-source", ("received",)),
    Address("received-part", ("received", "part")),
    Address("received-picture", ("received",), owner=404),  # it has no pictures
    Address("received-reply", ("received",), owner=405, others=405),
    Address("remind", ("mail",), owner=405, others=405),
    Address("forget-reminder", ("mail",), owner=405, others=405),
    Address(
        "correct-report", ("mail", "report"), owner=405, others=405,
        staff=dict.fromkeys(STAFF, 405),
    ),
]  # fmt: skip

FOR_ALL = {"htmx"}  # a script, the same for every user
# For users with a share, and for the user of a connection test. They have tests of their own.
FOR_INVITED = {"account-leave", "account-test-result"}
SIGNED = {"sns"}  # its requests are from a provider; it has tests of its own
FOR_RECIPIENTS = {"unsubscribe"}  # its token counts; it has tests of its own
# Asked for by a frame without a session; they have tests of their own.
WITH_PERMIT = {"preview", "received-preview", "received-pictures-preview"}

WITH_FILE = (
    "From: jane@example.org\nSubject: Figures\nContent-Type: multipart/mixed; boundary=b\n\n"
    "--b\nContent-Type: text/plain\n\nHello\n"
    "--b\nContent-Type: text/csv; name=a.csv\n\n1;2\n--b--\n"
)


@pytest.fixture
def known(mail: Message, draft: Message, account: Account) -> dict[str, object]:
    attachment = draft.attachments.get()
    picture = api.attach(draft, "dot.png", "image/png", b"\x89PNG", content_id="dot@outbox.invalid")
    contact = Contact.objects.get(owner=mail.owner, address="jane@example.com")
    rejected = mail.recipients.order_by("pk")[0]
    reply = {"reply_code": 550, "reply_enhanced": "5.1.1", "reply_text": "5.1.1 No such user"}
    set_state(mail.recipients.filter(pk=rejected.pk), State.FAILED, **reply)
    operation = BulkOperation.objects.create(
        action="hold", actor=mail.owner, count=1, confirmed_at=mail.queued_at
    )
    return {
        "mail": mail.pk,
        "operation": operation.pk,
        "draft": draft.pk,
        "account": account.pk,
        "attachment": attachment.pk,
        "picture": picture.pk,
        "contact": contact.pk,
        "recipient": rejected.pk,
        "report": InboundReport.objects.create(
            recipient=rejected, kind="bounce", at=mail.created_at
        ).pk,
        "suppression": api.suppress("joe@example.org", account=account).pk,
        "template": Template.objects.create(owner=mail.owner, name="Offer").pk,
        "folder": "sent",
        "action": "cancel",
        "tab": "headers",
        "part": "1.2",
        "box": "inbox",
        "change": "trash",
        "received": receive(account.owner, WITH_FILE, account).pk,
    }


def _reverse(address: Address, known: dict[str, object]) -> str:
    return reverse(f"outbox:{address.name}", args=[known[key] for key in address.of])


def _opened(client: Client, known: dict[str, object]) -> dict[str, int]:
    """Return the status of a GET of each address."""
    return {address.name: client.get(_reverse(address, known)).status_code for address in ADDRESSES}


@pytest.mark.system
def test_the_owner_opens_each_address(known: dict[str, object], anna: User) -> None:
    wanted = {address.name: address.owner for address in ADDRESSES}
    assert _opened(signed_in(anna), known) == wanted


@pytest.mark.parametrize("other", ["ben", "carl"])
def test_a_sharer_and_a_stranger_open_no_page_of_the_owner(
    other: str, known: dict[str, object], ben: User, carl: User
) -> None:
    wanted = {address.name: address.others for address in ADDRESSES}
    assert _opened(signed_in({"ben": ben, "carl": carl}[other]), known) == wanted


@pytest.mark.system
@pytest.mark.parametrize("permissions", STAFF)
def test_staff_open_what_their_permissions_allow(
    permissions: str, known: dict[str, object]
) -> None:
    client = signed_in(staff_member(*STAFF[permissions]))
    wanted = {address.name: address.staff.get(permissions, address.others) for address in ADDRESSES}
    assert _opened(client, known) == wanted


def test_staff_without_permission_open_nothing(known: dict[str, object]) -> None:
    wanted = {address.name: address.others for address in ADDRESSES}
    assert _opened(signed_in(staff_member()), known) == wanted


def test_a_permission_without_staff_opens_nothing(known: dict[str, object]) -> None:
    person = staff_member("view_message", "read_source", "change_message", name="person")
    User.objects.filter(pk=person.pk).update(is_staff=False)
    wanted = {address.name: address.others for address in ADDRESSES}
    assert _opened(signed_in(person), known) == wanted


@pytest.mark.system
@pytest.mark.parametrize("permissions", STAFF)
def test_a_message_of_an_app_is_as_that_of_another_person_to_staff(
    permissions: str, known: dict[str, object], mail: Message
) -> None:
    Message.objects.filter(pk=mail.pk).update(owner=None)
    client = signed_in(staff_member(*STAFF[permissions]))
    wanted = {address.name: address.staff.get(permissions, address.others) for address in ADDRESSES}
    assert _opened(client, known) == wanted


def test_a_message_of_an_app_is_not_found_by_the_person_who_wrote_the_others(
    known: dict[str, object], mail: Message, anna: User
) -> None:
    Message.objects.filter(pk=mail.pk).update(owner=None)
    opened = _opened(signed_in(anna), known)
    own = {address.name for address in ADDRESSES if "mail" in address.of and address.owner != 405}
    assert {opened[name] for name in own} == {404}


def test_anonymous_users_are_redirected_to_the_login(known: dict[str, object]) -> None:
    for address in ADDRESSES:
        url = _reverse(address, known)
        response = Client().get(url)
        assert response.status_code == 302, url
        assert response["Location"] == f"{reverse('login')}?next={url}"


POSTED = (
    "operation-cancel", "retry-failed",
    "draft", "draft-save", "draft-attachments", "discard", "undo", "reply", "cancel", "retry",
    "mark-sent", "retry-uncertain", "hold", "release", "account", "account-test", "account-mailbox",
    "account-domain-check",
    "account-mailbox-test", "account-mailbox-fetch", "account-mailbox-remove", "contact",
    "contact-delete", "account-suppressions", "account-suppression-remove", "suppress",
    "received-pictures", "received-reply", "remind", "forget-reminder",
    "correct-report",
)  # fmt: skip


@pytest.mark.parametrize("name", POSTED)
def test_a_post_from_others_changes_nothing(
    name: str, known: dict[str, object], ben: User, carl: User
) -> None:
    before = stored()
    address = next(address for address in ADDRESSES if address.name == name)
    for other in (ben, carl):
        assert signed_in(other).post(_reverse(address, known)).status_code == 404
    assert stored() == before


@pytest.mark.parametrize("name", POSTED)
def test_a_post_of_staff_who_may_not_change_changes_nothing(
    name: str, known: dict[str, object]
) -> None:
    before = stored()
    address = next(address for address in ADDRESSES if address.name == name)
    client = signed_in(staff_member("view_message", "read_source"))
    assert client.post(_reverse(address, known)).status_code == (403 if address.staff else 404)
    assert stored() == before


# What a question asks for in its form; the page of an action gets no other field.
FIELDS = {"why": "checked", "username": "dora", "text": "bye", "name": "New", "days": "3"}
ASKING = (
    *POSTED, "account-add", "account-delete", "bulk", "change-time", "compose", "contact-add",
    "contact-delete", "dismiss-failures", "edit", "oauth-disconnect", "account-retry",
    "account-test-saved", "preferences", "received-bulk", "retry", "send-now", "template",
    "template-add", "template-delete",
)  # fmt: skip


def test_a_get_changes_nothing(known: dict[str, object], anna: User) -> None:
    """Also with the fields of the form: another site can link to any address."""
    before, client = stored(), signed_in(anna)
    fields = FIELDS | {"recipients": str(known["recipient"]), "message": str(known["mail"])}
    changed = []
    for address in ADDRESSES:
        if address.name in ASKING:
            with transaction.atomic():
                client.get(_reverse(address, known), fields)
                if stored() != before:
                    changed.append(address.name)
                transaction.set_rollback(True)
    assert changed == []


def stored() -> list[object]:
    """Return all rows of messages, accounts, contacts, templates and recipients."""
    return [row.__dict__ | {"_state": None} for row in (
        *Message.objects.order_by("pk"), *Account.objects.order_by("pk"), *Contact.objects.all(),
        *Recipient.objects.order_by("pk"), *Suppression.objects.all(),
        *BulkOperation.objects.all(), *InboundMessage.objects.all(), *ReplyReminder.objects.all(),
        *DomainCheck.objects.all(), *Template.objects.all(), *InboundReport.objects.all(),
        *Preferences.objects.all(),
    )]  # fmt: skip


def test_the_table_above_knows_every_address() -> None:
    assert {address.name for address in ADDRESSES} == _names(
        "outbox"
    ) - FOR_ALL - FOR_INVITED - WITH_PERMIT - SIGNED - FOR_RECIPIENTS


def _names(namespace: str) -> set[str]:
    found = next(
        resolver
        for resolver in get_resolver().url_patterns
        if isinstance(resolver, URLResolver) and resolver.namespace == namespace
    )
    return set(_below(found))


def _below(resolver: URLResolver) -> list[str]:
    names: list[str] = []
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            names.append(entry.name or "")
        else:
            names += _below(entry)
    return names


def test_a_sharer_may_choose_the_account_and_a_stranger_may_not(
    account: Account, ben: User, carl: User
) -> None:
    option = escape(account.sender)
    assert option in signed_in(ben).get(reverse("outbox:compose")).content.decode()
    assert option not in signed_in(carl).get(reverse("outbox:compose")).content.decode()


def test_lists_show_the_user_s_own_messages_only(mail: Message, anna: User, ben: User) -> None:
    assert b"Figures" in signed_in(anna).get(reverse("outbox:list")).content
    assert b"Figures" not in signed_in(ben).get(reverse("outbox:list")).content


def test_a_poll_of_a_lost_session_loads_the_whole_page_again(mail: Message) -> None:
    response = Client().get(reverse("outbox:live", args=[mail.pk]), HTTP_HX_REQUEST="true")
    assert response["HX-Refresh"] == "true"
    assert response.content == b""


def test_signing_out_is_a_post(as_anna: Client) -> None:
    assert as_anna.get(reverse("logout")).status_code == 405
    assert as_anna.post(reverse("logout")).status_code == 302
    assert as_anna.get(reverse("outbox:list")).status_code == 302


@pytest.mark.system
def test_no_browser_stores_a_page(known: dict[str, object], anna: User) -> None:
    """Otherwise the back button shows messages after the user has signed out."""
    client = signed_in(anna)
    for address in ADDRESSES:
        if address.owner == HTTPStatus.OK:
            response = client.get(_reverse(address, known))
            assert response["Cache-Control"] == "no-store, private", address.name

"""Who may open what: every address of the pages, for owner, sharer, staff, stranger and anonymous.

A message belongs to its writer alone; an account may be shared, but only its owner changes it. What
a user cannot see is not found: 404. Staff with the view permission see every message; what they may
not do with it is forbidden: 403.
"""

from dataclasses import dataclass, field

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils.html import escape

from outbox import api
from outbox.models import Account, Contact, Message, Recipient, Template
from tests.integration.web.conftest import signed_in, staff_member


@dataclass(frozen=True)
class Address:
    """An address by name, and what a GET of it answers to each kind of user.

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
    Address("failures-seen", owner=405, others=405),
    Address("replies", others=200),
    Address("search", others=200),
    Address("search-rows", others=200),
    Address("compose", others=200),
    Address("draft", ("draft",)),
    Address("discard", ("draft",)),
    Address("compose-save", owner=405, others=405),
    Address("compose-template", others=200),
    Address("draft-save", ("draft",), owner=405, others=405),
    Address("draft-files", ("draft",), owner=405, others=405),
    Address("picture", ("draft", "picture")),
    Address("undo", ("mail",), owner=405, others=405),
    Address("contacts", others=200),
    Address("suggest", others=200),
    Address("contact-add", others=200),
    Address("contact", ("contact",)),
    Address("contact-forget", ("contact",), owner=405, others=405),
    Address("preferences", others=200),
    Address("shortcuts", others=200),
    Address("templates", others=200),
    Address("template-add", others=200),
    Address("template-try", owner=405, others=405),
    Address("template", ("template",)),
    Address("template-remove", ("template",), owner=405, others=405),
    Address("message", ("mail",), staff=SEEN),
    Address("live", ("mail",), staff=SEEN),
    Address("content", ("mail", "tab"), staff=READ),
    Address("answer", ("mail",), owner=405, others=405),
    Address("original-picture", ("mail",), owner=404),  # it has no pictures
    Address("send-now", ("mail",), owner=405, others=405),
    Address("change-time", ("mail",)),
    Address("edit-scheduled", ("mail",), owner=405, others=405),
    Address("bulk", ("act",), others=200),
    Address("cancel", ("mail",), staff=CHANGED),
    Address("retry", ("mail",), staff=CHANGED),
    Address("settle", ("mail",), staff=CHANGED),
    Address("hold", ("mail",), staff=CHANGED),
    Address("release", ("mail",), staff=CHANGED),
    Address("source", ("mail",), staff=READ),
    Address("transcript", ("mail",), staff=SEEN),
    Address("record", ("mail",), staff=SEEN),
    Address("part", ("mail", "part"), staff=READ),
    Address("attachment", ("draft", "attachment")),
    Address("accounts", others=200),
    Address("account-add", others=200),
    Address("account-add-test", owner=405, others=405),
    Address("account", ("account",)),
    Address("account-test", ("account",), owner=405, others=405),
    Address("account-test-saved", ("account",), owner=405, others=405),
    Address("account-retry", ("account",), owner=405, others=405),
    Address("account-remove", ("account",)),
]

FOR_ALL = {"htmx"}  # a script, the same for everybody
WITH_PERMIT = {"preview"}  # asked for by a frame without a session; it has a test of its own


@pytest.fixture
def known(mail: Message, draft: Message, account: Account) -> dict[str, object]:
    attachment = draft.attachments.get()
    picture = api.attach(draft, "dot.png", "image/png", b"\x89PNG", content_id="dot@outbox.invalid")
    contact = Contact.objects.get(owner=mail.owner, address="jane@example.com")
    return {
        "mail": mail.pk,
        "draft": draft.pk,
        "account": account.pk,
        "attachment": attachment.pk,
        "picture": picture.pk,
        "contact": contact.pk,
        "template": Template.objects.create(owner=mail.owner, name="Offer").pk,
        "folder": "sent",
        "act": "cancel",
        "tab": "headers",
        "part": "1.2",
    }


def _reverse(address: Address, known: dict[str, object]) -> str:
    return reverse(f"outbox:{address.name}", args=[known[key] for key in address.of])


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)
def test_each_address_answers_whom_it_should(
    address: Address, known: dict[str, object], anna: User, ben: User, carl: User
) -> None:
    url = _reverse(address, known)
    assert signed_in(anna).get(url).status_code == address.owner
    assert signed_in(ben).get(url).status_code == address.others
    assert signed_in(carl).get(url).status_code == address.others


@pytest.mark.parametrize("permissions", STAFF)
@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)
def test_staff_open_what_their_permissions_allow(
    address: Address, permissions: str, known: dict[str, object]
) -> None:
    client = signed_in(staff_member(*STAFF[permissions]))
    wanted = address.staff.get(permissions, address.others)
    assert client.get(_reverse(address, known)).status_code == wanted


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)
def test_staff_without_permission_and_permission_without_staff_open_nothing(
    address: Address, known: dict[str, object]
) -> None:
    url = _reverse(address, known)
    assert signed_in(staff_member()).get(url).status_code == address.others
    person = staff_member("view_message", "read_source", "change_message", name="person")
    User.objects.filter(pk=person.pk).update(is_staff=False)
    assert signed_in(person).get(url).status_code == address.others


@pytest.mark.parametrize("permissions", STAFF)
@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)
def test_a_message_of_an_app_is_as_that_of_another_person_to_staff(
    address: Address, permissions: str, known: dict[str, object], mail: Message, anna: User
) -> None:
    Message.objects.filter(pk=mail.pk).update(owner=None)
    client = signed_in(staff_member(*STAFF[permissions]))
    wanted = address.staff.get(permissions, address.others)
    assert client.get(_reverse(address, known)).status_code == wanted
    if "mail" in address.of and address.owner != 405:
        assert signed_in(anna).get(_reverse(address, known)).status_code == 404


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.name)
def test_nobody_sees_anything_before_signing_in(address: Address, known: dict[str, object]) -> None:
    url = _reverse(address, known)
    answer = Client().get(url)
    assert answer.status_code == 302
    assert answer["Location"] == f"{reverse('login')}?next={url}"


POSTED = (
    "draft", "draft-save", "draft-files", "discard", "undo", "answer", "cancel", "retry", "settle",
    "hold", "release", "account", "account-test", "contact", "contact-forget",
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


def stored() -> list[object]:
    """Everything the tables of mails, accounts and contacts hold."""
    return [row.__dict__ | {"_state": None} for row in (
        *Message.objects.order_by("pk"), *Account.objects.order_by("pk"), *Contact.objects.all(),
        *Recipient.objects.order_by("pk"),
    )]  # fmt: skip


def test_the_table_above_knows_every_address() -> None:
    assert {address.name for address in ADDRESSES} == _names("outbox") - FOR_ALL - WITH_PERMIT


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


def test_lists_show_ones_own_mail_only(mail: Message, anna: User, ben: User) -> None:
    assert b"Figures" in signed_in(anna).get(reverse("outbox:list")).content
    assert b"Figures" not in signed_in(ben).get(reverse("outbox:list")).content


def test_a_poll_of_a_lost_session_loads_the_whole_page_again(mail: Message) -> None:
    answer = Client().get(reverse("outbox:live", args=[mail.pk]), HTTP_HX_REQUEST="true")
    assert answer["HX-Refresh"] == "true"
    assert answer.content == b""


def test_signing_out_is_a_post(as_anna: Client) -> None:
    assert as_anna.get(reverse("logout")).status_code == 405
    assert as_anna.post(reverse("logout")).status_code == 302
    assert as_anna.get(reverse("outbox:list")).status_code == 302

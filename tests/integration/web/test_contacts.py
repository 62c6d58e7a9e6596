"""The address book: kept by hand, remembered from sent message, offered while one types."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.mail.addresses import parse_address
from outbox.models import Account, Contact, Message, State
from outbox.web.contacts.views import PAGE_SIZE
from tests.integration.web.conftest import typed
from tests.states import set_state

pytestmark = pytest.mark.every_database

CONTACTS = reverse("outbox:contacts")


def offered(client: Client, words: str) -> list[str]:
    response = client.get(reverse("outbox:suggest"), {"q": words}).json()
    return [contact["entry"] for contact in response["contacts"]]


def keep(client: Client, address: str, name: str = "") -> None:
    response = client.post(reverse("outbox:contact-add"), {"address": address, "name": name})
    assert response.status_code == 302


def test_recipients_are_remembered_and_suggested(as_anna: Client, account: Account) -> None:
    fields = typed(
        account,
        to="Jane Doe <jane@example.com>",
        bcc='"Müller, Léon" <leon@example.net>',
        send="1",
    )
    as_anna.post(reverse("outbox:compose"), fields)
    assert offered(as_anna, "jan") == ["Jane Doe <jane@example.com>"]
    assert offered(as_anna, "müll") == ['"Müller, Léon" <leon@example.net>']
    assert offered(as_anna, "example") == offered(as_anna, "EXAMPLE")
    assert not Contact.objects.filter(is_kept=True).exists()


def test_the_recipients_of_a_draft_are_not_remembered(as_anna: Client, account: Account) -> None:
    as_anna.post(reverse("outbox:compose"), typed(account, save="1"))
    assert offered(as_anna, "jane") == []


def test_the_latest_recipient_is_suggested_first(
    as_anna: Client, anna: User, mail: Message, account: Account
) -> None:
    keep(as_anna, "jane.other@example.com")
    assert offered(as_anna, "jane") == ["jane@example.com", "jane.other@example.com"]
    as_anna.post(reverse("outbox:compose"), typed(account, to="jane.other@example.com", send="1"))
    assert offered(as_anna, "jane") == ["jane.other@example.com", "jane@example.com"]


@pytest.mark.usefixtures("mail")
def test_another_user_s_contacts_are_not_suggested(as_ben: Client) -> None:
    assert offered(as_ben, "jane") == []
    assert b"jane@example.com" not in as_ben.get(CONTACTS).content


@pytest.mark.parametrize("words", ["", "  ", "%", "_", "x" * 5000, "\x00"])
@pytest.mark.usefixtures("mail")
def test_odd_words_find_no_contact(as_anna: Client, words: str) -> None:
    assert offered(as_anna, words) == []


def test_a_contact_is_kept_found_changed_and_removed(as_anna: Client) -> None:
    keep(as_anna, "Jane Doe <jane@EXAMPLE.com>")
    page = as_anna.get(CONTACTS, {"q": "doe"}).content.decode()
    assert "Jane Doe" in page
    contact = Contact.objects.get()
    assert (contact.address, contact.is_kept) == ("jane@EXAMPLE.com", True)
    as_anna.post(
        reverse("outbox:contact", args=[contact.pk]),
        {"address": "jane@example.com", "name": "Jane Roe"},
    )
    assert offered(as_anna, "roe") == ["Jane Roe <jane@example.com>"]
    as_anna.post(reverse("outbox:contact-delete", args=[contact.pk]))
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("jane@", "has no domain"),
        ("", "required"),
        ("jane@example.com, joe@example.com", "more than one"),
        ("jane@example.com", "already"),
    ],
)
def test_an_invalid_contact_is_reported_at_its_field(
    as_anna: Client, address: str, said: str
) -> None:
    keep(as_anna, "jane@example.com")
    response = as_anna.post(reverse("outbox:contact-add"), {"address": address, "name": "J"})
    assert response.status_code == 422
    assert said in str(response.context["form"].errors["address"])
    assert Contact.objects.count() == 1


@pytest.mark.usefixtures("mail")
def test_a_remembered_contact_can_be_kept_and_stays_one(as_anna: Client) -> None:
    remembered = Contact.objects.get(address="jane@example.com")
    keep(as_anna, "jane@example.com", "Jane")
    kept = Contact.objects.get(key="jane@example.com")
    assert (kept.is_kept, kept.name, kept.used_at) == (True, "Jane", remembered.used_at)


def test_writing_to_a_kept_contact_leaves_its_name(as_anna: Client, account: Account) -> None:
    keep(as_anna, "jane@example.com", "Jane")
    as_anna.post(reverse("outbox:compose"), typed(account, to="J <jane@example.com>", send="1"))
    contact = Contact.objects.get()
    assert (contact.name, contact.is_kept) == ("Jane", True)
    assert contact.used_at is not None


def test_a_long_book_comes_in_pages_by_name(as_anna: Client, anna: User) -> None:
    addresses = [parse_address(f"p{number:03d}@example.com") for number in range(PAGE_SIZE + 3)]
    Contact.objects.bulk_create(Contact.of(anna.pk, address) for address in reversed(addresses))
    first = as_anna.get(CONTACTS).context
    second = as_anna.get(CONTACTS, {"after": first["after"]}).context
    shown = [contact.address for contact, _last in (*first["contacts"], *second["contacts"])]
    assert shown == [address.spec for address in addresses]
    assert second["after"] is None


def test_markup_in_a_name_is_text(as_anna: Client) -> None:
    keep(as_anna, "x@example.com", "<script>alert(1)</script>")
    page = as_anna.get(CONTACTS).content.decode()
    assert "<script>alert" not in page


def warnings(client: Client, words: str) -> list[str]:
    response = client.get(reverse("outbox:suggest"), {"q": words}).json()
    return [contact["warning"] for contact in response["contacts"]]


def test_a_refused_address_is_offered_with_the_reply(as_anna: Client, mail: Message) -> None:
    assert warnings(as_anna, "jane") == [""]
    set_state(
        mail.recipients.filter(address="jane@example.com"),
        State.FAILED,
        reply_code=550,
        reply_text="5.1.1 no \x1bsuch user",
    )
    [warning] = warnings(as_anna, "jane")
    assert warning == "The latest message failed: 550 5.1.1 no ⟨1B⟩such user"
    page = as_anna.get(CONTACTS).content.decode()
    assert "latest message failed" in page
    assert "550 5.1.1 no ⟨1B⟩such user" in page


def test_the_book_says_what_became_of_the_last_message(as_anna: Client, mail: Message) -> None:
    assert "latest message not sent yet" in as_anna.get(CONTACTS).content.decode()
    set_state(mail.recipients, State.SENT, final_at=timezone.now())
    page = as_anna.get(CONTACTS).content.decode()
    assert "latest message <time" in page
    assert "latest message failed" not in page


def test_a_cancelled_message_counts_as_none(as_anna: Client, mail: Message) -> None:
    api.cancel(mail)
    page = as_anna.get(CONTACTS).content.decode()
    assert "Added automatically" in page
    assert "last message" not in page


def test_a_failure_of_another_user_s_message_causes_no_warning(
    as_ben: Client, ben: User, mail: Message
) -> None:
    keep(as_ben, "JANE@example.com")
    set_state(mail.recipients, State.FAILED, reply_code=550)
    assert warnings(as_ben, "jane") == [""]


def test_an_address_is_the_same_in_any_case(as_anna: Client, mail: Message) -> None:
    keep(as_anna, "JANE@Example.com")
    set_state(mail.recipients, State.FAILED, reply_code=550, reply_text="no")
    assert "The latest message failed: 550 no" in warnings(as_anna, "jane")

"""The address book: kept by hand, remembered from sent mail, offered while one types."""

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

CONTACTS = reverse("outbox:contacts")


def offered(client: Client, words: str) -> list[str]:
    answer = client.get(reverse("outbox:suggest"), {"q": words}).json()
    return [contact["entry"] for contact in answer["contacts"]]


def keep(client: Client, address: str, name: str = "") -> None:
    answer = client.post(reverse("outbox:contact-add"), {"address": address, "name": name})
    assert answer.status_code == 302


def test_whoever_was_written_to_is_remembered_and_offered(
    as_anna: Client, account: Account
) -> None:
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


def test_a_draft_remembers_nobody(as_anna: Client, account: Account) -> None:
    as_anna.post(reverse("outbox:compose"), typed(account, save="1"))
    assert offered(as_anna, "jane") == []


def test_whom_one_wrote_to_last_comes_first(
    as_anna: Client, anna: User, mail: Message, account: Account
) -> None:
    keep(as_anna, "jane.other@example.com")
    assert offered(as_anna, "jane") == ["jane@example.com", "jane.other@example.com"]
    as_anna.post(reverse("outbox:compose"), typed(account, to="jane.other@example.com", send="1"))
    assert offered(as_anna, "jane") == ["jane.other@example.com", "jane@example.com"]


@pytest.mark.usefixtures("mail")
def test_nobody_is_offered_another_s_contacts(as_ben: Client) -> None:
    assert offered(as_ben, "jane") == []
    assert b"jane@example.com" not in as_ben.get(CONTACTS).content


@pytest.mark.parametrize("words", ["", "  ", "%", "_", "x" * 5000, "\x00"])
@pytest.mark.usefixtures("mail")
def test_odd_words_find_nobody(as_anna: Client, words: str) -> None:
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
    as_anna.post(reverse("outbox:contact-forget", args=[contact.pk]))
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
def test_what_is_no_new_contact_is_told_at_its_field(
    as_anna: Client, address: str, said: str
) -> None:
    keep(as_anna, "jane@example.com")
    answer = as_anna.post(reverse("outbox:contact-add"), {"address": address, "name": "J"})
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors["address"])
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
    answer = client.get(reverse("outbox:suggest"), {"q": words}).json()
    return [contact["warning"] for contact in answer["contacts"]]


def test_a_refused_address_is_offered_with_the_reply(as_anna: Client, mail: Message) -> None:
    assert warnings(as_anna, "jane") == [""]
    mail.recipients.filter(address="jane@example.com").update(
        state=State.FAILED, reply_code=550, reply_text="5.1.1 no \x1bsuch user"
    )
    [warning] = warnings(as_anna, "jane")
    assert warning == "Last message not delivered: 550 5.1.1 no ⟨1B⟩such user"
    page = as_anna.get(CONTACTS).content.decode()
    assert "last message not delivered" in page
    assert "550 5.1.1 no ⟨1B⟩such user" in page


def test_the_book_says_what_became_of_the_last_message(as_anna: Client, mail: Message) -> None:
    assert "last message not delivered yet" in as_anna.get(CONTACTS).content.decode()
    mail.recipients.update(state=State.SENT, settled_at=timezone.now())
    page = as_anna.get(CONTACTS).content.decode()
    assert "last message <time" in page
    assert "not delivered" not in page


def test_a_cancelled_message_counts_as_none(as_anna: Client, mail: Message) -> None:
    api.cancel(mail)
    page = as_anna.get(CONTACTS).content.decode()
    assert "Added automatically" in page
    assert "last message" not in page


def test_another_person_s_refusal_is_not_told(as_ben: Client, ben: User, mail: Message) -> None:
    keep(as_ben, "JANE@example.com")
    mail.recipients.update(state=State.FAILED, reply_code=550)
    assert warnings(as_ben, "jane") == [""]


def test_an_address_is_the_same_in_any_case(as_anna: Client, mail: Message) -> None:
    keep(as_anna, "JANE@Example.com")
    mail.recipients.update(state=State.FAILED, reply_code=550, reply_text="no")
    assert "Last message not delivered: 550 no" in warnings(as_anna, "jane")

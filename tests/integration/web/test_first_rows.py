"""Two requests store the first row of a user, or the same unique name, at the same time."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from outbox.models import Contact, Preferences, Template
from signin.models import Authenticator, RecoveryCode
from signin.second_factor import RECOVERY_CODES, propose, renew_recovery_codes
from tests.integration.races import ONE_WRITER, committed_before
from tests.integration.web.conftest import signed_in

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.every_database,
    ONE_WRITER,
]
SECOND_FACTOR = "/accounts/security/second-factor/"


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root", password="correct horse battery")


@pytest.fixture
def client(root: User) -> Client:
    return signed_in(root)


def test_the_preferences_of_both_requests_are_saved(client: Client, root: User) -> None:
    def other() -> None:
        Preferences.objects.create(pk=root.pk, invitation_email=True, writes_rich=True)

    fields = {"theme": "dark", "page_size": "50", "failure_digest": "daily"}
    with committed_before('INSERT INTO "outbox_preferences"', other):
        assert client.post("/preferences/", fields).status_code == 302
    stored = Preferences.objects.get()
    assert (stored.theme, stored.page_size, stored.failure_digest) == ("dark", 50, "daily")


def test_both_pages_show_the_same_second_factor(client: Client, root: User) -> None:
    def other() -> None:
        propose(User.objects.get(pk=root.pk))

    with committed_before('INSERT INTO "signin_authenticator"', other):
        assert client.get(SECOND_FACTOR).status_code == 200
    assert Authenticator.objects.get().key in client.get(SECOND_FACTOR).content.decode()


def test_an_unreadable_key_is_replaced_once(root: User) -> None:
    propose(root)
    Authenticator.objects.update(key_encrypted="bound:unreadable")

    keys = []

    def other() -> None:
        keys.append(propose(User.objects.get(pk=root.pk)).key)

    with committed_before('UPDATE "signin_authenticator"', other):
        keys.append(propose(root).key)
    assert keys == 2 * [Authenticator.objects.get().key]


def test_recovery_codes_that_are_renewed_twice_are_those_of_one_request(root: User) -> None:
    propose(root)

    def other() -> None:
        renew_recovery_codes(User.objects.get(pk=root.pk))

    with committed_before('INSERT INTO "signin_recoverycode"', other):
        renew_recovery_codes(User.objects.get(pk=root.pk))
    assert RecoveryCode.objects.count() == RECOVERY_CODES


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_contact_is_saved_once(client: Client, root: User, is_kept: bool) -> None:
    """The other request saved it as well, or sent a message to it, which adds it."""
    typed = {"name": "Jane", "address": "jane@example.com"}

    def other() -> None:
        if is_kept:
            assert signed_in(root).post("/contacts/add/", typed).status_code == 302
        else:
            Contact.objects.create(
                owner_id=root.pk, address="jane@example.com", key="jane@example.com", sort_key=""
            )

    with committed_before('INSERT INTO "outbox_contact"', other):
        response = client.post("/contacts/add/", typed)
    assert response.status_code == (422 if is_kept else 302)
    if is_kept:
        assert b"You already have a contact with this address." in response.content
    assert Contact.objects.get().is_kept


def test_a_template_is_saved_once(client: Client, root: User) -> None:
    fields = {"name": "Offer", "subject": "x", "text": "x", "html": ""}

    def other() -> None:
        assert signed_in(root).post("/templates/add/", fields).status_code == 302

    with committed_before('INSERT INTO "outbox_template"', other):
        response = client.post("/templates/add/", fields)
    assert response.status_code == 422
    assert b"You already have a template with this name." in response.content
    assert Template.objects.count() == 1


def test_the_admin_shows_the_error_of_a_row_that_was_just_added(client: Client) -> None:
    def other() -> None:
        Template.objects.create(name="Welcome", text="first")

    fields = {"name": "Welcome", "subject": "x", "text": "second", "html": ""}
    with committed_before('INSERT INTO "outbox_template"', other):
        response = client.post("/admin/outbox/template/add/", fields)
    assert response.status_code == 200
    assert b"errornote" in response.content
    assert Template.objects.get().text == "first"

"""Trust is a field of an account. An account of a deleted user is disabled."""

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from outbox import api
from outbox.delivery.server import server_for
from outbox.exceptions import NoAccountError
from outbox.models import Account
from tests.shares import share

pytestmark = pytest.mark.django_db
METADATA_SERVICE = "169.254.169.254"


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def account(alice: User) -> Account:
    made = Account(owner=alice, name="Work", from_address="alice@example.com", username="alice")
    made.host = "mail.example.com"
    made.secret = "swordfish"
    made.is_trusted = True
    made.save()
    share(made, User.objects.create_user("bob"))
    made.groups.add(Group.objects.create(name="Sales"))
    return made


def test_only_a_trusted_account_reaches_the_private_network(
    account: Account, settings: LazySettings
) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ALLOW_PRIVATE_HOSTS": False}
    account.is_trusted = False
    account.save()
    assert not server_for(account).allow_address(METADATA_SERVICE)
    Account.objects.update(owner=None)
    account.refresh_from_db()
    assert not server_for(account).allow_address(METADATA_SERVICE)
    Account.objects.update(is_trusted=True)
    account.refresh_from_db()
    assert server_for(account).allow_address(METADATA_SERVICE)


@pytest.mark.parametrize("way", ["one", "many"])
def test_deleting_a_user_disables_the_account_and_erases_its_password(
    way: str, account: Account, alice: User
) -> None:
    bob = User.objects.get(username="bob")
    assert list(Account.objects.usable_by(bob)) == [account]
    if way == "one":
        alice.delete()
    else:
        User.objects.filter(pk=alice.pk).delete()
    account.refresh_from_db()
    assert (account.owner, account.is_active, account.secret_encrypted) == (None, False, "")
    assert not account.is_trusted
    assert not account.users.exists()
    assert not account.groups.exists()
    assert not Account.objects.usable_by(bob).exists()


def test_a_raw_deletion_that_skips_this_is_rejected(account: Account, alice: User) -> None:
    def delete() -> None:
        with transaction.atomic():
            User.objects.filter(pk=alice.pk)._raw_delete("default")
            connection.check_constraints()

    with pytest.raises(IntegrityError):
        delete()


def test_apps_never_send_with_the_account_of_a_user(account: Account) -> None:
    with pytest.raises(NoAccountError):
        api.default_account()
    with pytest.raises(NoAccountError):
        api.send(to="ann@example.org", subject="Reset", text="link")
    Account.objects.update(owner=None)
    assert api.default_account() == account
    Account.objects.update(is_active=False)
    with pytest.raises(NoAccountError):
        api.default_account()


def test_an_account_of_a_user_cannot_become_the_default(account: Account) -> None:
    account.is_app_default = True
    with pytest.raises(ValidationError, match="Remove the owner"):
        account.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        account.save()

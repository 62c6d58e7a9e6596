"""The first steps of a new user: account, test, first message. Afterwards they are hidden."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Message
from outbox.web.first_steps import FirstSteps
from tests.integration.web.conftest import signed_in

TITLE = "Send your first message in three steps"
HOME = reverse("outbox:list")


def home(client: Client) -> str:
    return client.get(HOME).content.decode()


def test_the_first_step_is_an_account(as_anna: Client) -> None:
    page = home(as_anna)
    assert TITLE in page
    assert f'class="button primary" href="{reverse("outbox:account-add")}"' in page


def test_the_second_step_is_the_test(anna: User, account: Account) -> None:
    page = home(signed_in(anna))
    assert f'hx-post="{reverse("outbox:account-test-saved", args=[account.pk])}"' in page
    assert "anna%40example.com" in page


def test_the_last_step_is_the_first_message(anna: User, account: Account) -> None:
    Account.objects.update(tested_at=timezone.now())
    start = FirstSteps.of(anna)
    assert start is not None
    assert start.step == 3
    assert "Connection tested" in home(signed_in(anna))


def test_a_shared_account_needs_no_test(account: Account, ben: User) -> None:
    start = FirstSteps.of(ben)
    assert start is not None
    assert start.step == 3
    page = home(signed_in(ben))
    assert "Another person set up this account for you." in page
    assert reverse("outbox:account", args=[account.pk]) not in page


def test_a_tested_account_is_preferred(anna: User, account: Account) -> None:
    tested = Account.objects.create(
        owner=anna, name="Zeta", host="mail.example.org", tested_at=timezone.now()
    )
    start = FirstSteps.of(anna)
    assert start is not None
    assert start.account == tested


def test_a_draft_does_not_end_the_first_steps(anna: User, draft: Message) -> None:
    assert TITLE in home(signed_in(anna))
    api.send_draft(draft, actor=anna)
    assert FirstSteps.of(anna) is None


@pytest.mark.usefixtures("mail")
def test_the_steps_end_with_the_first_message(as_anna: Client) -> None:
    assert TITLE not in home(as_anna)


def test_other_folders_keep_their_own_texts(as_anna: Client) -> None:
    assert TITLE not in as_anna.get(reverse("outbox:folder", args=["sent"])).content.decode()

"""Signatures, which the composer contains for each account that a user may use."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from outbox.models import Account, Preferences
from tests.integration.web.conftest import account, anna, as_anna, as_ben, ben
from tests.integration.web.test_accounts import described

__all__ = ["account", "anna", "as_anna", "as_ben", "ben"]

LONG = "x" * 10_001
SAID = "It has 10,001 characters. The limit is 10,000."


@pytest.mark.parametrize("page", ["/accounts/add/", "/accounts/{}/"])
def test_the_signature_of_an_account(
    as_anna: Client, as_ben: Client, account: Account, page: str
) -> None:
    response = as_anna.post(page.format(account.pk), described(signature=LONG))
    assert response.status_code == 422
    assert SAID in response.content.decode()
    assert not Account.objects.exclude(signature="").exists()
    assert len(as_ben.get("/compose/").content) < 100_000


def test_the_signature_of_a_user(as_anna: Client, anna: User) -> None:
    response = as_anna.post("/preferences/", {"signature": LONG})
    assert SAID in response.content.decode()
    assert not Preferences.objects.filter(user=anna).exclude(signature="").exists()

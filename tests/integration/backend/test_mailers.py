"""Django 6.1's MAILERS: the backend is one line of settings there too, and warns of nothing."""

from typing import Any

import django
import pytest
from django.conf import LazySettings
from django.core import mail

from outbox.models import Account, Message
from tests.integration.backend.conftest import BACKEND

pytestmark = pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS is new in Django 6.1")


def configure(settings: LazySettings, **options: Any) -> None:
    mailers = {"default": {"BACKEND": BACKEND}, "bulk": {"BACKEND": BACKEND, "OPTIONS": options}}
    settings.MAILERS = mailers


def mailer(alias: str) -> Any:
    return mail.mailers[alias]  # type: ignore[attr-defined, unused-ignore]


def test_a_mailer_knows_its_alias(settings: LazySettings) -> None:
    configure(settings)

    assert (mailer("default").alias, mailer("bulk").alias) == ("default", "bulk")


def test_send_names_a_mailer_and_that_its_account(
    settings: LazySettings, app_account: Account
) -> None:
    bulk = Account.objects.create(name="bulk", from_address="b@example.com", host="localhost")
    configure(settings, account="bulk")
    message: Any = mail.EmailMessage(to=["a@example.com"])

    assert message.send() == 1
    assert message.send(using="bulk") == 1

    accounts = Message.objects.order_by("pk").values_list("account", flat=True)
    assert list(accounts) == [app_account.pk, bulk.pk]


@pytest.mark.parametrize("value", [True, False])
def test_fail_silently_is_an_option_of_it(value: bool, settings: LazySettings) -> None:
    configure(settings, fail_silently=value)

    assert mailer("bulk").fail_silently is value


def test_a_database_to_wait_for_is_an_option_of_it(settings: LazySettings) -> None:
    configure(settings, using="other")

    assert mailer("bulk").using == "other"


def test_an_unknown_option_raises_as_djangos_own_do(settings: LazySettings) -> None:
    configure(settings, acount="bulk")

    with pytest.raises(Exception, match="Unknown options 'acount'") as raised:
        mailer("bulk")
    assert type(raised.value).__name__ == "InvalidMailer"

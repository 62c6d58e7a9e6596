"""Sending inside a transaction of a database other than the outbox's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage
from django.db import connections, transaction

from outbox.backend import EmailBackend
from outbox.models import Account, Message

OTHER = "other"
MAIL = EmailMessage(to=["a@example.com"])

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _other_database(tmp_path: Path, app_account: Account) -> Iterator[None]:
    described = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "other.sqlite3")}
    databases = connections.configure_settings({**connections.settings, OTHER: described})
    connections.settings = databases
    connections[OTHER].connect()  # by hand: Django's test case knows the site's databases only
    yield
    connections[OTHER].close()
    del connections[OTHER]
    del databases[OTHER]


def queued() -> int:
    return Message.objects.count()


@pytest.mark.parametrize("choice", ["", "queue"], ids=["by default", "when chosen"])
def test_it_is_queued_at_once(choice: str, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ON_OTHER_DATABASE": choice}

    with transaction.atomic(using=OTHER):
        EmailBackend().send_messages([MAIL])
        assert queued() == 1
        transaction.set_rollback(True, using=OTHER)

    assert queued() == 1


def test_with_the_setting_wait_it_waits_for_that_commit(settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ON_OTHER_DATABASE": "wait"}

    with transaction.atomic(using=OTHER):
        assert EmailBackend().send_messages([MAIL]) == 1
        assert queued() == 0

    assert queued() == 1


@pytest.mark.parametrize("rolled_back", ["default", OTHER])
def test_one_rollback_of_two_is_enough(rolled_back: str, settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ON_OTHER_DATABASE": "wait"}

    with transaction.atomic(using=OTHER), transaction.atomic():
        EmailBackend().send_messages([MAIL])
        transaction.set_rollback(True, using=rolled_back)

    assert queued() == 0


def test_without_a_transaction_there_is_nothing_to_wait_for(settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ON_OTHER_DATABASE": "wait"}

    EmailBackend().send_messages([MAIL])

    assert queued() == 1


def test_an_option_names_the_database_to_wait_for() -> None:
    with transaction.atomic(using=OTHER):
        EmailBackend(using=OTHER).send_messages([MAIL])
        assert queued() == 0
        transaction.set_rollback(True, using=OTHER)

    assert queued() == 0


def test_naming_the_outboxs_own_database_joins_its_transaction() -> None:
    with transaction.atomic():
        EmailBackend(using="default").send_messages([MAIL])
        assert queued() == 1


def test_a_bad_mail_raises_before_the_wait() -> None:
    with transaction.atomic(using=OTHER), pytest.raises(ValueError, match="Invalid address"):
        EmailBackend(using=OTHER).send_messages([EmailMessage(to=["bob@"])])

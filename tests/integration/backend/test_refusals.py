"""What cannot be sent raises in the caller's stack, before anything is queued."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.mail import EmailMessage, send_mail
from django.db import DatabaseError, connection

from outbox.backend import EmailBackend
from outbox.exceptions import InvalidMessageError, NoAccountError
from outbox.models import Account, Message


@pytest.fixture
def nothing_queued(app_account: Account) -> Iterator[None]:
    yield
    assert not Message.objects.exists()


BAD_MAIL: dict[str, dict[str, Any]] = {
    "a line break in the subject": {"subject": "Hello\nBcc: x@example.com"},
    "a carriage return in the subject": {"subject": "Hello\rBcc: x@example.com"},
    "a line break in From": {"from_email": "a@example.com\nBcc: x@example.com"},
    "a line break in To": {"to": ["a@example.com\r\nRCPT TO:<x@example.com>"]},
    "a line break in a header": {"headers": {"X-App": "a\nBcc: x@example.com"}},
    "a line break in a header's name": {"headers": {"X-App: a\r\nBcc": "x@example.com"}},
    "a NUL in a header": {"headers": {"X-App": "a\0b"}},
    "a NUL in the text": {"body": "a\0b"},
    "no @ but a blank": {"to": ["not an address"]},
    "two @": {"to": ["to@other.com@example.com"]},
    "an address as a name without quotes": {"to": ["to@other.com <to@example.com>"]},
    "two addresses in one": {"to": ["a@example.com, b@example.com"]},
    "nothing before the @": {"bcc": ["@example.com"]},
    "nothing after the @": {"bcc": ["to@"]},
    "a local part outside ASCII": {"to": ["nø@example.com"]},
    "a bad sender": {"from_email": "a@b@c"},
    "a URI as a recipient": {"to": ["mailto:a@example.com"]},
    "a colon in a name without quotes": {"from_email": "Jane: Roe <a@example.com>"},
    "a group as a recipient": {"cc": ["Team: a@example.com;"]},
    "a comma in a name without quotes": {"to": ["Roe, Jane <a@example.com>"]},
    "two addresses apart by a space": {"to": ["a@example.com b@example.com"]},
    "full-width punctuation": {"to": ["王＜a@example.com＞"]},
    "a dot at the end of an address": {"to": ["a@example.com."]},
    "a NUL in an address": {"to": ["a\0@example.com"]},
}


@pytest.mark.parametrize("name", BAD_MAIL)
@pytest.mark.usefixtures("nothing_queued")
def test_it_refuses(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # Django raises its own kinds of it
        EmailMessage(**{"to": ["a@example.com"], **BAD_MAIL[name]}).send()


@pytest.mark.usefixtures("nothing_queued")
def test_it_names_the_field_of_an_invalid_address() -> None:
    with pytest.raises(InvalidMessageError, match="Invalid address 'bob@'") as raised:
        EmailMessage(to=["a@example.com"], cc=["bob@"]).send()

    assert raised.value.field == "cc"


@pytest.mark.usefixtures("nothing_queued")
def test_one_invalid_message_stops_the_whole_call() -> None:
    good = EmailMessage(to=["a@example.com"])
    bad = EmailMessage("two\nlines", to=["a@example.com"])

    with pytest.raises(ValueError, match=r"newlines|linefeed"):
        EmailBackend().send_messages([good, bad, good])


@pytest.mark.usefixtures("nothing_queued")
def test_fail_silently_does_not_hide_a_bad_mail() -> None:
    with pytest.raises(InvalidMessageError):
        EmailBackend(fail_silently=True).send_messages([EmailMessage(to=["bob@"])])


def test_without_an_account_it_says_so(db: None) -> None:
    with pytest.raises(NoAccountError):
        send_mail("Subject", "Text", None, ["a@example.com"])


@pytest.mark.usefixtures("nothing_queued")
@pytest.mark.parametrize("account", ["missing", 0], ids=["by name", "by id"])
def test_an_unknown_account_is_named(account: str | int) -> None:
    with pytest.raises(NoAccountError, match=repr(account)):
        EmailBackend(account=account).send_messages([EmailMessage(to=["a@example.com"])])


def test_a_name_that_two_accounts_have_is_refused(app_account: Account) -> None:
    Account.objects.create(name=app_account.name, from_address="b@example.com", host="localhost")

    with pytest.raises(NoAccountError, match="more than one"):
        EmailBackend(account=app_account.name).send_messages([EmailMessage(to=["a@example.com"])])


@pytest.fixture
def broken_database(app_account: Account) -> Iterator[None]:
    """A database that lacks a table, as after an incomplete restore: no message can be stored."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE outbox_source RENAME TO outbox_source_gone")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE outbox_source_gone RENAME TO outbox_source")


@pytest.mark.usefixtures("broken_database")
def test_a_database_that_takes_nothing_raises() -> None:
    with pytest.raises(DatabaseError):
        EmailBackend().send_messages([EmailMessage(to=["a@example.com"])])


@pytest.mark.usefixtures("broken_database")
def test_fail_silently_hides_a_database_that_takes_nothing() -> None:
    backend = EmailBackend(fail_silently=True)

    assert backend.send_messages([EmailMessage(to=["a@example.com"])]) == 0
    assert Account.objects.count() == 1  # the caller's transaction goes on

"""Mail sent through Django is rows in the caller's transaction, and counted truthfully."""

import django
import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage, mail_admins, send_mail, send_mass_mail
from django.db import transaction

from outbox.backend import EmailBackend
from outbox.models import Account, Message, Origin, Status


def test_send_mail_queues_and_returns_one(app_account: Account) -> None:
    assert send_mail("Subject", "Text", "a@example.com", ["b@example.com"]) == 1

    message = Message.objects.get()
    assert (message.status, message.origin) == (Status.QUEUED, Origin.BACKEND)
    assert message.account == app_account
    assert (message.subject, message.to_summary) == ("Subject", "b@example.com")


def test_a_rollback_removes_the_message(app_account: Account) -> None:
    with transaction.atomic():
        send_mail("Subject", "Text", None, ["b@example.com"])
        transaction.set_rollback(True)

    assert not Message.objects.exists()


def test_it_counts_the_messages_that_have_a_recipient(app_account: Account) -> None:
    addressed = EmailMessage(to=["a@example.com"])
    unaddressed = EmailMessage(to=[])

    assert EmailBackend().send_messages([addressed, unaddressed, addressed]) == 2
    assert Message.objects.count() == 2


@pytest.mark.parametrize("none", [[], (), iter(())], ids=["list", "tuple", "iterator"])
def test_nothing_to_send_needs_no_account(none: list[EmailMessage], db: None) -> None:
    assert EmailBackend().send_messages(none) == 0


def test_many_go_in_one_call(app_account: Account) -> None:
    rows = [(f"Subject {number}", "Text", None, ["a@example.com"]) for number in range(3)]

    assert send_mass_mail(rows) == 3
    assert list(Message.objects.values_list("subject", flat=True)) == [row[0] for row in rows]


def test_mail_to_the_admins_leaves_by_the_hosts_own_user(
    app_account: Account, settings: LazySettings
) -> None:
    admin = "admin@example.com"
    settings.ADMINS = [admin] if django.VERSION >= (6,) else [("Admin", admin)]
    settings.SERVER_EMAIL = "root"

    mail_admins("Broken", "Text")

    assert Message.objects.get().envelope_sender == "root"


@pytest.mark.parametrize("by", ["name", "pk"])
def test_an_account_may_be_chosen(by: str, app_account: Account) -> None:
    other = Account.objects.create(name="other", from_address="o@example.com", host="localhost")

    EmailBackend(account=getattr(other, by)).send_messages([EmailMessage(to=["a@example.com"])])

    assert Message.objects.get().account == other


def test_it_opens_closes_and_serves_as_a_context_manager(app_account: Account) -> None:
    with EmailBackend() as backend:
        assert backend.send_messages([EmailMessage(to=["a@example.com"])]) == 1


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="Django 6.1 deprecates these arguments")
def test_it_takes_what_django_passes_to_any_backend(app_account: Account) -> None:
    message = ("Subject", "Text", "a@example.com", ["b@example.com"])

    assert send_mail(*message, fail_silently=True, auth_user="u", auth_password="p") == 1

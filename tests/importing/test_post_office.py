"""outbox_import against the real django-post_office: its rows, made and sent by its own code."""

import datetime as dt
import email
import email.policy
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.management import CommandError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from post_office import mail
from post_office.models import PRIORITY, STATUS, Email, EmailTemplate, Log

from outbox import api
from outbox.models import Account, Message, State, Status
from tests.importing.backends import REFUSES_ALL, TAKES_ALL, post_office_sends_by
from tests.importing.conftest import Import, another_process

pytestmark = pytest.mark.django_db


def queue(**values: Any) -> Email:
    given: dict[str, Any] = {"recipients": ["bob@example.net"], "sender": "Shop <shop@example.com>"}
    given |= {"subject": "Hi {{ name }}", "message": "Hello", "context": {"name": "Bob"}}
    return mail.send(**given | values)


def parsed(message: Message) -> Any:
    return email.message_from_bytes(message.source.read(), policy=email.policy.default)


def test_the_queue_is_imported(outbox_import: Import) -> None:
    queue(cc=["carol@example.net"], bcc=["dan@example.net"], headers={"X-Order": "7"})

    assert "1 imported" in outbox_import("post_office")

    message = Message.objects.get()
    assert message.status == Status.QUEUED
    assert message.subject == "Hi Bob"
    assert parsed(message)["X-Order"] == "7"
    assert list(message.recipients.values_list("address", "role", "state")) == [
        ("bob@example.net", "to", "queued"),
        ("carol@example.net", "cc", "queued"),
        ("dan@example.net", "bcc", "queued"),
    ]


def test_its_own_sender_finds_nothing_afterwards(outbox_import: Import) -> None:
    row = queue()
    outbox_import("post_office")

    assert list(mail.get_queued()) == []
    assert mail.send_queued() == (0, 0, 0)
    log = Log.objects.get(email=row)
    assert log.message == f"Taken over by the outbox as message {Message.objects.get().pk}."


def test_it_is_taken_over_once(outbox_import: Import) -> None:
    queue()
    outbox_import("post_office")

    assert "0 of its history copied" in outbox_import("post_office")
    assert Message.objects.count() == 1


def test_a_run_that_was_cut_off_is_gone_on_with(outbox_import: Import) -> None:
    row = queue()
    outbox_import("post_office")
    Email.objects.filter(pk=row.pk).update(status=STATUS.queued)  # as in another database

    outbox_import("post_office")

    assert Message.objects.count() == 1
    assert list(mail.get_queued()) == []


def test_html_and_attachments_come_along(outbox_import: Import) -> None:
    queue(html_message="<p>Hello</p>", attachments={"offer.txt": ContentFile(b"cheap")})

    outbox_import("post_office")

    whole = parsed(Message.objects.get())
    assert whole.get_body(("html",)).get_content().strip() == "<p>Hello</p>"
    assert [part.get_filename() for part in whole.iter_attachments()] == ["offer.txt"]


def test_a_template_that_was_to_be_filled_in_late_is_filled_in(outbox_import: Import) -> None:
    EmailTemplate.objects.create(name="welcome", subject="Welcome {{ name }}", content="Hi")
    mail.send(
        "bob@example.net",
        "shop@example.com",
        template="welcome",
        context={"name": "Bob"},
        render_on_delivery=True,
    )

    outbox_import("post_office")

    assert Message.objects.get().subject == "Welcome Bob"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(PRIORITY.high, 1), (PRIORITY.medium, 3), (PRIORITY.low, 5), (None, 3)],
    ids=["high", "medium", "low", "none"],
)
def test_its_priority_is_the_place_in_the_queue(
    theirs: int | None, ours: int, outbox_import: Import
) -> None:
    row = queue()
    Email.objects.filter(pk=row.pk).update(priority=theirs)

    outbox_import("post_office")

    message = Message.objects.get()
    assert message.recipients.get().priority == ours
    assert message.importance == "normal"


def test_its_times_are_kept(outbox_import: Import) -> None:
    later = timezone.now().replace(microsecond=0) + dt.timedelta(hours=1)
    queue(scheduled_time=later, expires_at=later + dt.timedelta(hours=1))

    outbox_import("post_office")

    message = Message.objects.get()
    assert message.status == Status.SCHEDULED
    assert message.send_at == later
    assert message.expires_at == later + dt.timedelta(hours=1)


def test_what_expired_before_is_not_sent_now(outbox_import: Import) -> None:
    row = queue()
    Email.objects.filter(pk=row.pk).update(expires_at=timezone.now() - dt.timedelta(hours=1))

    outbox_import("post_office")

    message = Message.objects.get()
    assert message.recipients.get().state == State.EXPIRED
    assert message.status == Status.FAILED
    assert Email.objects.get().status == STATUS.failed


def test_a_message_that_will_be_retried_keeps_its_failures(
    settings: LazySettings, outbox_import: Import
) -> None:
    post_office_sends_by(REFUSES_ALL, settings, MAX_RETRIES=3)
    queue()
    mail.send_queued()
    assert Email.objects.get().status == STATUS.requeued

    outbox_import("post_office")

    message = Message.objects.get()
    recipient, attempt = message.recipients.get(), message.attempts.get()
    assert (recipient.state, recipient.attempts) == ("queued", 1)
    assert attempt.outcome == "deferred"
    assert str(attempt.reason).startswith("SMTPDataError: ")


def test_its_history_is_copied(settings: LazySettings, outbox_import: Import) -> None:
    post_office_sends_by(TAKES_ALL, settings, LOG_LEVEL=2)
    queue(subject="sent")
    mail.send_queued()
    post_office_sends_by(REFUSES_ALL, settings)
    queue(subject="failed")
    mail.send_queued()
    last_year = timezone.now() - dt.timedelta(days=365)
    Email.objects.update(created=last_year, last_updated=last_year)
    before = list(Email.objects.values())

    assert "2 of its history copied" in outbox_import("post_office")

    sent, failed = Message.objects.get(subject="sent"), Message.objects.get(subject="failed")
    assert (sent.status, failed.status) == (Status.SENT, Status.FAILED)
    assert [attempt.outcome for attempt in sent.attempts.all()] == ["sent"]
    assert [attempt.outcome for attempt in failed.attempts.all()] == ["failed"]
    assert "Not wanted here" in str(failed.recipients.get().reason)
    assert sent.queued_at == sent.listed_at == last_year
    assert sent.recipients.get().final_at == last_year
    assert parsed(sent)["Date"].datetime == last_year.replace(microsecond=0)
    assert list(Email.objects.values()) == before


def test_history_is_copied_once_and_only_when_wanted(outbox_import: Import) -> None:
    row = queue()
    Email.objects.filter(pk=row.pk).update(status=STATUS.sent)

    outbox_import("post_office", "--without-history")
    assert Message.objects.count() == 0
    outbox_import("post_office")
    assert "0 of its history copied" in outbox_import("post_office")
    assert Message.objects.count() == 1


@pytest.mark.parametrize("status", [STATUS.sent, STATUS.failed])
def test_the_content_of_a_copied_password_reset_is_erased(
    outbox_import: Import, status: int
) -> None:
    row = queue(message=f"https://example.com/reset/MQ/dis51m-{'5a' * 16}/")
    Email.objects.filter(pk=row.pk).update(status=status)
    outbox_import("post_office")
    assert Message.objects.get().is_erased


def test_what_was_copied_can_be_looked_at_and_tried_again(
    client: Client, outbox_import: Import
) -> None:
    row = queue()
    Email.objects.filter(pk=row.pk).update(status=STATUS.failed)
    outbox_import("post_office")
    message = Message.objects.get()
    client.force_login(User.objects.create_superuser("ann"))

    page = client.get(reverse("admin:outbox_message_change", args=[message.pk]))

    assert page.status_code == 200
    assert api.retry(message) == 1


def test_what_cannot_be_sent_stays_and_is_named(outbox_import: Import) -> None:
    queue(subject="good")
    bad = queue(subject="bad")
    Email.objects.filter(pk=bad.pk).update(from_email="no address <")

    with pytest.raises(CommandError, match=rf"1 not imported:\nqueued {bad.pk}: "):
        outbox_import("post_office")

    assert [message.subject for message in Message.objects.all()] == ["good"]
    assert Email.objects.get(pk=bad.pk).status == STATUS.queued


# Its reader of the lock leaves the file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_takes_nothing_while_a_sender_runs(lock_files: Path, outbox_import: Import) -> None:
    queue()
    (lock_files / "post_office.lock").write_text(str(another_process()))

    with pytest.raises(CommandError, match="is sending at present"):
        outbox_import("post_office")

    assert Message.objects.count() == 0


def test_a_dry_run_counts_and_changes_nothing(outbox_import: Import) -> None:
    queue()
    done = queue()
    Email.objects.filter(pk=done.pk).update(status=STATUS.sent)

    printed = outbox_import("post_office", "--dry-run")

    assert printed == "django-post_office: 1 queued, 1 in its history.\n"
    assert Message.objects.count() == 0


def test_an_account_can_be_named(account: Account, outbox_import: Import) -> None:
    other = Account.objects.create(name="other", from_address="o@example.com", host="127.0.0.1")
    queue()

    outbox_import("post_office", "--account", "other")

    assert Message.objects.get().account == other


def test_an_account_is_asked_for_before_anything_happens(
    account: Account, outbox_import: Import
) -> None:
    account.delete()
    queue()

    with pytest.raises(CommandError, match="no account"):
        outbox_import("post_office")


def test_the_source_must_be_an_installed_app(settings: LazySettings, outbox_import: Import) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "post_office"]

    with pytest.raises(CommandError, match="not in INSTALLED_APPS"):
        outbox_import("post_office")

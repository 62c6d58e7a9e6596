"""outbox_import against the real django-mailer: its rows, made and sent by its own code."""

from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.management import CommandError
from mailer import models as mailer
from mailer.backend import DbBackend
from mailer.engine import send_all

from outbox.models import Message, State, Status
from tests.importing.backends import REFUSES_ALL, TAKES_ALL
from tests.importing.conftest import Import, another_process

pytestmark = pytest.mark.django_db


def queue(subject: str = "Hi", **values: Any) -> Any:
    given: dict[str, Any] = {"from_email": "shop@example.com", "to": ["bob@example.net"]}
    message = EmailMultiAlternatives(subject, "Hello", **given | values)
    message.attach_alternative("<p>Hello</p>", "text/html")
    DbBackend().send_messages([message])
    return mailer.Message.objects.latest("pk")


def send() -> None:
    """Send the queue with the engine of django-mailer."""
    if django.VERSION >= (6, 1):
        pytest.skip("django-mailer cannot send where MAILERS is defined")
    send_all()


@pytest.fixture
def _refused(settings: LazySettings) -> None:
    settings.MAILER_EMAIL_BACKEND = REFUSES_ALL


def test_the_queue_is_imported(outbox_import: Import) -> None:
    queue("first", bcc=["dan@example.net"], headers={"X-Order": "7"})

    assert "1 imported" in outbox_import("mailer")

    message = Message.objects.get()
    assert message.status == Status.QUEUED
    assert message.subject == "first"
    assert b"X-Order: 7\r\n" in message.source.read()
    assert b"<p>Hello</p>" in message.source.read()
    assert set(message.recipients.values_list("address", "role")) == {
        ("bob@example.net", "to"),
        ("dan@example.net", "bcc"),
    }


def test_its_own_sender_finds_nothing_afterwards(
    settings: LazySettings, outbox_import: Import
) -> None:
    settings.MAILER_EMAIL_BACKEND = TAKES_ALL
    queue()
    outbox_import("mailer")

    send()

    log = mailer.MessageLog.objects.get()
    assert log.result == mailer.RESULT_DONT_SEND
    assert log.log_message == f"Taken over by the outbox as message {Message.objects.get().pk}."


def test_it_is_taken_over_once(outbox_import: Import) -> None:
    queue()
    outbox_import("mailer")

    assert "0 of its history copied" in outbox_import("mailer")
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (mailer.PRIORITY_HIGH, 1),
        (mailer.PRIORITY_MEDIUM, 3),
        (mailer.PRIORITY_LOW, 5),
        (mailer.PRIORITY_DEFERRED, 3),
    ],
    ids=["high", "medium", "low", "deferred"],
)
def test_its_priority_is_the_place_in_the_queue(
    theirs: int, ours: int, outbox_import: Import
) -> None:
    row = queue()
    mailer.Message.objects.filter(pk=row.pk).update(priority=theirs)

    outbox_import("mailer")

    assert Message.objects.get().recipients.get().priority == ours


@pytest.mark.usefixtures("_refused")
def test_a_deferred_mail_brings_its_failures_along(outbox_import: Import) -> None:
    queue()
    send()
    mailer.Message.objects.retry_deferred()
    send()

    assert "0 of its history copied" in outbox_import("mailer")

    message = Message.objects.get()
    assert (message.recipients.get().state, message.recipients.get().attempts) == ("queued", 2)
    assert [attempt.outcome for attempt in message.attempts.all()] == ["deferred", "deferred"]
    assert "Not wanted here" in str(message.attempts.first().reason)  # type: ignore[union-attr]  # it has two


@pytest.mark.usefixtures("_refused")
def test_a_message_without_further_retries_is_held(
    settings: LazySettings, outbox_import: Import
) -> None:
    settings.MAILER_EMAIL_MAX_RETRIES = 1
    queue()
    for _ in range(2):
        send()
        mailer.Message.objects.retry_deferred()
    assert mailer.Message.objects.get().priority == mailer.PRIORITY_DEFERRED

    outbox_import("mailer")

    message = Message.objects.get()
    assert message.status == Status.HELD
    assert "Retries: 1" in message.events.get(kind="held").why


def test_its_history_is_copied(settings: LazySettings, outbox_import: Import) -> None:
    settings.MAILER_EMAIL_BACKEND = REFUSES_ALL
    queue("tried twice")
    send()
    mailer.Message.objects.retry_deferred()
    settings.MAILER_EMAIL_BACKEND = TAKES_ALL
    queue("sent at once")
    send()
    before = list(mailer.MessageLog.objects.values())

    assert "2 of its history copied" in outbox_import("mailer")

    twice = Message.objects.get(subject="tried twice")
    assert twice.status == Status.SENT
    assert [attempt.outcome for attempt in twice.attempts.all()] == ["deferred", "sent"]
    log = mailer.MessageLog.objects.filter(result=mailer.RESULT_SUCCESS).order_by("when_added")[0]
    assert twice.queued_at == log.when_added
    assert twice.message_id == log.message_id.strip("<>")
    assert list(mailer.MessageLog.objects.values()) == before


@pytest.mark.usefixtures("_refused")
def test_a_failure_of_a_deleted_message_is_history(outbox_import: Import) -> None:
    queue()
    send()
    mailer.Message.objects.all().delete()

    outbox_import("mailer")

    message = Message.objects.get()
    assert message.status == Status.FAILED
    assert [attempt.outcome for attempt in message.attempts.all()] == ["failed"]
    assert "Not wanted here" in str(message.recipients.get().reason)


def test_what_an_old_version_did_not_send_was_cancelled(outbox_import: Import) -> None:
    row = queue()
    mailer.MessageLog.objects.log(row, mailer.RESULT_DONT_SEND)
    row.delete()

    outbox_import("mailer")

    assert Message.objects.get().recipients.get().state == State.CANCELLED


def test_a_message_that_cannot_be_read_stays_and_is_named(outbox_import: Import) -> None:
    row = queue()
    mailer.Message.objects.filter(pk=row.pk).update(message_data="bm8gcGlja2xl")

    with pytest.raises(CommandError, match=rf"queued {row.pk}: TypeError: the stored message"):
        outbox_import("mailer")

    assert mailer.Message.objects.count() == 1


def test_a_log_without_a_message_is_reported(settings: LazySettings, outbox_import: Import) -> None:
    settings.MAILER_EMAIL_BACKEND = TAKES_ALL
    settings.MAILER_EMAIL_LOG_MESSAGE_DATA = False
    queue()
    send()

    with pytest.raises(CommandError, match=r"history \d+: "):
        outbox_import("mailer")


def test_it_takes_nothing_while_a_sender_runs(lock_files: Path, outbox_import: Import) -> None:
    queue()
    (lock_files / "mailer.lock").write_text(str(another_process()))

    with pytest.raises(CommandError, match="is sending at present"):
        outbox_import("mailer")

    assert Message.objects.count() == 0


def test_a_plain_message_is_imported_unchanged(outbox_import: Import) -> None:
    plain = EmailMessage("plain", "{{ Not a template. }}", "shop@example.com", ["bob@example.net"])
    DbBackend().send_messages([plain])

    outbox_import("mailer")

    assert b"{{ Not a template. }}\r\n" in Message.objects.get().source.read()

"""Staff are notified once, again after a while, and when an alarm is cleared."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connections

from outbox.api.alarms.check import check
from outbox.models import Account, AlarmNotification, Message, Recipient, Worker
from tests.integration.alarms.conftest import ago, turn_on, worker
from tests.integration.alarms.receiver import Receiver, command_that_stores, receiving, stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings: LazySettings) -> Iterator[Receiver]:
    """A receiver, and the alarm that no worker runs."""
    with receiving() as server:
        turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_URL=server.url)
        yield server


def test_an_alarm_is_reported_once_with_its_sentence_and_what_to_do(receiver: Receiver) -> None:
    check()
    check()

    [body] = receiver.bodies
    assert body["type"] == "outbox.alarms"
    [alarm] = body["alarms"]
    assert (alarm["kind"], alarm["severity"], alarm["status"]) == ("no_worker", "critical", "open")
    assert alarm["sentence"] == "No worker is running. Nothing is delivered."
    assert alarm["what_to_do"].startswith("Start a Celery worker")
    assert body["text"].splitlines()[:2] == [
        "Outbox: 1 alarm",
        "Critical: No worker is running. Nothing is delivered.",
    ]


def test_what_opens_together_is_one_notification(
    receiver: Receiver, settings: LazySettings
) -> None:
    turn_on(settings, ALARM_DISK_FREE=10**18)
    check()

    [alarms] = receiver.reported()
    assert len(alarms) >= 2
    assert {status for _, status in alarms} == {"open"}


def test_an_open_alarm_is_reported_again_after_the_interval(receiver: Receiver) -> None:
    check()
    AlarmNotification.objects.update(notified_at=ago(3.9 * 3600))
    check()
    assert len(receiver.calls) == 1

    AlarmNotification.objects.update(notified_at=ago(4.1 * 3600))
    check()
    assert len(receiver.calls) == 2


def test_a_warning_that_becomes_critical_is_reported_again(
    receiver: Receiver, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.integration.alarms.test_conditions import Usage

    worker()
    turn_on(settings, ALARM_DISK_FREE=1_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(free=500))
    check()
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(free=100))
    check()
    check()

    severities = [{one["severity"] for one in body["alarms"]} for body in receiver.bodies]
    assert severities == [{"warning"}, {"critical"}]


def test_a_cleared_alarm_is_reported_once(receiver: Receiver) -> None:
    check()
    worker()
    check()
    check()

    assert receiver.reported() == [[("no_worker", "open")], [("no_worker", "cleared")]]
    assert "Cleared: No worker is running." in receiver.bodies[1]["text"]


def test_an_alarm_that_was_never_reported_has_no_resolve_notice(receiver: Receiver) -> None:
    receiver.status = 500
    check()
    worker()
    receiver.status = 204
    check()

    assert receiver.reported() == [[("no_worker", "open")]]


def test_a_failed_notification_is_displayed_and_repeated_by_the_next_check(
    receiver: Receiver,
) -> None:
    receiver.status = 503
    report = check()
    assert report.failed_notifications == {"http": "503 Service Unavailable"}

    receiver.status = 200
    report = check()
    assert len(receiver.calls) == 2
    assert report.failed_notifications == {}


def test_a_failed_resolve_notice_is_repeated(receiver: Receiver) -> None:
    check()
    worker()
    receiver.status = 500
    check()
    receiver.status = 200
    check()
    check()

    assert [alarms[0][1] for alarms in receiver.reported()] == ["open", "cleared", "cleared"]


def test_the_call_is_signed_as_a_webhook_is(receiver: Receiver, settings: LazySettings) -> None:
    turn_on(settings, ALARM_SECRET="between us")
    check()

    [(headers, body)] = receiver.calls
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(b"between us", signed, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert b"between us" not in body


def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    check()

    assert "webhook-signature" not in receiver.calls[0][0]


def test_a_private_host_has_to_be_allowed(receiver: Receiver, settings: LazySettings) -> None:
    turn_on(settings, ALLOW_PRIVATE_HOSTS=False)
    report = check()
    assert receiver.calls == []
    assert list(report.failed_notifications) == ["http"]

    turn_on(settings, ALARM_ALLOW_PRIVATE_HOSTS=True)
    assert check().failed_notifications == {}
    assert len(receiver.calls) == 1


def test_a_file_url_is_not_called(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_URL="file:///etc/passwd")

    assert "not allowed" in check().failed_notifications["http"]


def test_a_command_gets_the_json_without_a_shell_and_without_secrets(
    settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTBOX_SECRET_KEYS", "secret")
    command = command_that_stores(tmp_path / "stored")
    turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_COMMAND=command)
    assert check().failed_notifications == {}

    [[arguments, environment, body]] = stored(tmp_path / "stored")
    assert arguments == ["--to", "a b; $HOME"]
    assert body["alarms"][0]["kind"] == "no_worker"
    assert "PATH" in environment
    assert {"OUTBOX_SECRET_KEYS", "SECRET_KEY", "DATABASE_URL"}.isdisjoint(environment)


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        pytest.param("sys.exit(7)", "The command ended with the code 7.", id="exit code"),
        pytest.param(
            "import subprocess; subprocess.run(['sleep', '60'])",
            "The command took longer than 1.5 seconds.",
            id="time-out",
        ),
    ],
)
def test_a_command_that_fails_is_repeated(
    settings: LazySettings, tmp_path: Path, then: str, reason: str
) -> None:
    command = command_that_stores(tmp_path / "stored", then=then)
    turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_COMMAND=command, ALARM_TIMEOUT=1.5)
    assert check().failed_notifications == {"command": reason}

    turn_on(settings, ALARM_COMMAND=command_that_stores(tmp_path / "stored"), ALARM_TIMEOUT=60)
    assert check().failed_notifications == {}


def test_a_command_that_does_not_exist(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_COMMAND=("/nonexistent/notify",))

    assert "could not be started" in check().failed_notifications["command"]


def test_channels_fail_independently(
    receiver: Receiver, settings: LazySettings, tmp_path: Path
) -> None:
    turn_on(settings, ALARM_COMMAND=command_that_stores(tmp_path / "stored"))
    receiver.status = 500
    check()
    check()

    assert len(receiver.calls) == 2
    assert len(stored(tmp_path / "stored")) == 1


def test_an_email_is_queued_as_well(receiver: Receiver, settings: LazySettings) -> None:
    turn_on(settings, ALARM_ADDRESSES=["ops@example.com", "night@example.com"])
    report = check()
    assert list(report.failed_notifications) == ["email"]  # no account
    assert len(receiver.calls) == 1

    Account.objects.create(name="site", from_address="site@example.com", is_app_default=True)
    check()
    check()
    message = Message.objects.get()
    assert message.subject == "Outbox: 1 alarm"
    assert set(Recipient.objects.values_list("address", flat=True)) == {
        "ops@example.com",
        "night@example.com",
    }


@pytest.mark.django_db(transaction=True)
def test_processes_that_check_at_the_same_time_notify_once(receiver: Receiver) -> None:
    check()  # imports everything, and opens the alarm
    AlarmNotification.objects.all().delete()
    receiver.calls.clear()
    start = threading.Barrier(4)
    errors: list[Exception] = []

    def run() -> None:
        try:
            start.wait(30)
            check()
        except Exception as error:  # noqa: BLE001  # shown by the test's thread
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert errors == []
    assert len(receiver.calls) == 1


@pytest.mark.django_db(transaction=True)
def test_a_process_that_died_while_it_notified_is_replaced(receiver: Receiver) -> None:
    receiver.status = 500
    check()
    AlarmNotification.objects.update(claimed_until=ago(-30))
    check()
    assert len(receiver.calls) == 1

    AlarmNotification.objects.update(claimed_until=ago(1))
    check()
    assert len(receiver.calls) == 2


def test_the_notification_is_in_the_language_of_the_site(
    receiver: Receiver, settings: LazySettings
) -> None:
    settings.LANGUAGE_CODE = "zh-hans"
    check()

    assert not receiver.bodies[0]["alarms"][0]["sentence"].isascii()
    assert Worker.objects.count() == 0

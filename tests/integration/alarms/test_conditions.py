"""Each condition of the alarms: found beyond its limit, not found within it, and off at 0."""

import datetime as dt
import socket
import time
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.files.storage import FileSystemStorage
from django.db import connection

from outbox import api
from outbox.api.alarms.check import check
from outbox.api.alarms.conditions import CONDITIONS
from outbox.api.alarms.hosts import record_beat
from outbox.models import (
    Account,
    AlarmKind,
    Circuit,
    Destination,
    HostCheck,
    Message,
    Recipient,
    Severity,
    State,
    Status,
)
from outbox.models.delivery_count import CountKey, add
from outbox.reasons import Reason, ReasonCode
from tests.full_storage import full_storage, stored_files
from tests.integration.alarms.conftest import ago, kinds, turn_on, worker
from tests.integration.delivery.direct_lab import direct_account
from tests.integration.delivery.mail_client import account, destination, queue
from tests.states import set_state

pytestmark = pytest.mark.django_db


def test_every_kind_has_a_condition_and_a_setting_that_turns_it_off() -> None:
    assert {one.kind for one in CONDITIONS} == set(AlarmKind)
    assert check().alarms == []


def test_no_worker(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60)
    assert kinds(check()) == [AlarmKind.NO_WORKER]

    last = worker(heartbeat=90, ended=True)
    assert kinds(check()) == [AlarmKind.NO_WORKER]

    last.heartbeat_at = ago(30)  # it was restarted, for example
    last.save()
    assert check().alarms == []


def test_a_live_worker_is_found_below_later_rows(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60)
    worker()
    for _ in range(101):
        worker(heartbeat=1000, ended=True)

    assert check().alarms == []


def test_no_sweep(settings: LazySettings) -> None:
    turn_on(settings, ALARM_SWEEP_SILENT=300)
    assert check().alarms == []  # no worker has swept yet, which is another alarm

    host = HostCheck.objects.create(host="a", swept_at=ago(400))
    assert kinds(check()) == [AlarmKind.NO_SWEEP]
    assert "No sweep for 6 minutes." in check().alarms[0].sentence

    HostCheck.objects.create(host="b", swept_at=ago(10))
    assert check().alarms == []
    assert HostCheck.objects.get(pk=host.pk).swept_at is not None


def test_no_beat(settings: LazySettings) -> None:
    """Workers sweep by themselves, so that this is a warning."""
    turn_on(settings, ALARM_SWEEP_SILENT=300, ALARM_INTERVAL=60)
    worker()  # started an hour ago
    HostCheck.objects.create(host="a", swept_at=ago(5))
    [alarm] = check().alarms
    assert (alarm.alarm.kind, alarm.alarm.severity) == (AlarmKind.NO_BEAT, Severity.WARNING)

    record_beat("default")
    assert check().alarms == []

    HostCheck.objects.update(beat_at=ago(301))
    assert kinds(check()) == [AlarmKind.NO_BEAT]


def test_an_overdue_message(settings: LazySettings) -> None:
    turn_on(settings, ALARM_OLDEST_DUE=900)
    queue(account())
    assert check().alarms == []

    Recipient.objects.update(next_attempt_at=ago(1800))
    [alarm] = check().alarms
    assert alarm.sentence == (
        "A message for 127.0.0.1:25 has been due for 30 minutes, and was not sent. The limit is "
        "15 minutes."
    )


def test_a_message_that_waits_for_a_circuit_is_not_overdue(settings: LazySettings) -> None:
    turn_on(settings, ALARM_OLDEST_DUE=900)
    sender = account()
    queue(sender)
    Recipient.objects.update(next_attempt_at=ago(1800))
    blocked = destination(sender)
    blocked.circuit, blocked.circuit_until = Circuit.OPEN, ago(-60)
    blocked.save()

    assert check().alarms == []


def test_a_message_that_waits_for_a_pause_is_not_overdue(settings: LazySettings) -> None:
    turn_on(settings, ALARM_OLDEST_DUE=900)
    queue(account())
    Recipient.objects.update(next_attempt_at=ago(1800))
    api.pause(reason="moving the server")

    assert check().alarms == []


def test_a_message_that_waits_for_a_paused_tag_is_not_overdue(settings: LazySettings) -> None:
    turn_on(settings, ALARM_OLDEST_DUE=900)
    sender = account()
    queue(sender, tags=["news"])
    Recipient.objects.update(next_attempt_at=ago(1800))
    api.pause(tag="news", reason="Wrong list")
    assert check().alarms == []

    other = queue(sender, tags=["shop"])
    Recipient.objects.filter(message=other).update(next_attempt_at=ago(1200))
    [alarm] = check().alarms
    assert alarm.alarm.kind == AlarmKind.OLDEST_DUE
    assert 1200 <= alarm.alarm.arguments["duration"] < 1800


@pytest.mark.parametrize("is_of_user", [False, True])
def test_an_account_that_needs_attention(settings: LazySettings, is_of_user: bool) -> None:
    turn_on(settings, ALARM_BLOCKED_AFTER=300)
    owner = User.objects.create_user("ann") if is_of_user else None
    blocked = destination(account(owner=owner))
    blocked.circuit, blocked.circuit_needs_person = Circuit.OPEN, True
    blocked.circuit_opened_at = ago(120)
    blocked.circuit_reason = Reason(ReasonCode.LOGIN_REJECTED)
    blocked.save()
    assert check().alarms == []

    blocked.circuit_opened_at = ago(420)
    blocked.save()
    [alarm] = check().alarms
    assert alarm.alarm.kind == AlarmKind.ACCOUNT_BLOCKED
    assert alarm.is_critical is not is_of_user
    assert alarm.sentence == (
        "The account “account 25” has needed attention for 7 minutes. Its messages for "
        "127.0.0.1:25 are waiting. The server rejected the login."
    )


def test_a_server_that_is_down_while_messages_wait(settings: LazySettings) -> None:
    turn_on(settings, ALARM_SERVER_DOWN=3600)
    sender = account()
    blocked = destination(sender)
    blocked.circuit, blocked.circuit_opened_at = Circuit.OPEN, ago(7200)
    blocked.circuit_reason = Reason(ReasonCode.CONNECTION_REFUSED)
    blocked.save()
    assert check().alarms == []  # nothing waits

    queue(sender)
    [alarm] = check().alarms
    assert alarm.sentence == (
        "127.0.0.1:25 has been unavailable for 2 hours. Messages of the account “account 25” "
        "are waiting. No server is listening at this address and port."
    )


def unavailable(sender: Account, key: str, *, seconds: int = 7200, waits: bool = True) -> None:
    """Create a destination whose server does not respond, by default with a waiting message."""
    down = Destination.objects.create(
        account=sender, key=key, circuit=Circuit.OPEN, circuit_opened_at=ago(seconds)
    )
    if waits:
        Recipient.objects.filter(message=queue(sender)).update(destination=down)


def test_mail_servers_of_recipients_are_one_warning_for_each_account(
    settings: LazySettings,
) -> None:
    turn_on(settings, ALARM_SERVER_DOWN=3600)
    sender = direct_account()
    for number in range(5):
        assert check().alarms == []
        unavailable(sender, f"mx:mx{number}.example.net", seconds=7200 + number)

    [alarm] = check().alarms
    assert not alarm.is_critical
    assert alarm.sentence == (
        "Mail servers of recipients that the account “direct” cannot connect to: 5. The first "
        "one has been unavailable for 2 hours."
    )

    another = direct_account()  # with the same name
    for number in range(6):
        unavailable(another, f"mx:mx{number}.example.net")
    assert sorted(one.alarm.arguments["count"] for one in check().alarms) == [5, 6]


def test_mail_servers_that_work_or_have_no_messages_are_not_counted(settings: LazySettings) -> None:
    turn_on(settings, ALARM_SERVER_DOWN=3600)
    sender = direct_account()
    for number in range(4):
        unavailable(sender, f"mx:mx{number}.example.net")
        unavailable(direct_account(), f"mx:mx{number}.example.net")
    unavailable(sender, "mx:unused.example.net", waits=False)
    unavailable(sender, "mx:lately.example.net", seconds=60)
    unavailable(sender, "smarthost")  # of its former kind of delivery
    unavailable(sender, "mx:working.example.net")
    Destination.objects.filter(key="mx:working.example.net").update(circuit=Circuit.CLOSED)
    assert check().alarms == []

    Destination.objects.filter(key="mx:lately.example.net").update(circuit_opened_at=ago(7200))
    assert len(check().alarms) == 1

    Account.objects.filter(pk=sender.pk).update(route="smarthost", host="mail.example.com")
    Destination.objects.filter(key="smarthost").delete()
    assert check().alarms == []


def outcomes(outcome: State, count: int, *, before: float = 60) -> None:
    key = CountKey(ago(before), 1, 1, "example.net", outcome, 0)
    add({key: count}, "default")


def test_many_failures(settings: LazySettings) -> None:
    turn_on(settings, ALARM_FAILURE_RATE=0.25)
    outcomes(State.FAILED, 19)
    assert check().alarms == []  # too few

    outcomes(State.SENT, 58)
    outcomes(State.DEFERRED, 500)  # they may still succeed
    assert check().alarms == []

    outcomes(State.EXPIRED, 1)
    [alarm] = check().alarms
    assert alarm.sentence == (
        "26% of the latest deliveries have failed: 20 of 78 recipients within 1 hour."
    )


def test_bounces_are_failures(settings: LazySettings) -> None:
    turn_on(settings, ALARM_FAILURE_RATE=0.25)
    outcomes(State.SENT, 38)
    outcomes(State.FAILED, 2)
    outcomes(State.BOUNCED, 7)
    assert check().alarms == []

    outcomes(State.BOUNCED, 1)
    [alarm] = check().alarms
    assert alarm.sentence == (
        "25% of the latest deliveries have failed: 10 of 40 recipients within 1 hour."
    )


def test_earlier_failures_do_not_count(settings: LazySettings) -> None:
    turn_on(settings, ALARM_FAILURE_RATE=0.25)
    outcomes(State.FAILED, 30, before=3_700)

    assert check().alarms == []


def test_uncertain_recipients_that_wait_for_a_person(settings: LazySettings) -> None:
    turn_on(settings, ALARM_UNCERTAIN_AFTER=600)
    for resend_at in (None, ago(-600)):
        recipients = Recipient.objects.filter(message=queue(account()))
        attempted = {"last_attempt_at": ago(1200), "next_attempt_at": None}
        set_state(recipients, State.UNCERTAIN, resend_at=resend_at, **attempted)
    Message.objects.update(status=Status.UNCERTAIN)

    [alarm] = check().alarms
    assert alarm.alarm.arguments == {"count": 1, "duration": 1200}


def test_a_clock_that_differs_from_the_clock_of_the_database(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(settings, ALARM_CLOCK_SKEW=5)
    assert check().alarms == []

    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - 60)
    [alarm] = check().alarms
    assert alarm.alarm.kind == AlarmKind.CLOCK_SKEW
    assert -61 < alarm.alarm.arguments["difference"] < -59


def test_a_slow_database_is_not_a_wrong_clock(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(settings, ALARM_CLOCK_SKEW=5)
    clock, calls = time.time, iter((-8.0, 8.0))
    monkeypatch.setattr(time, "time", lambda: clock() + next(calls, 0.0))

    assert check().alarms == []


def test_disk_space(settings: LazySettings) -> None:
    turn_on(settings, ALARM_DISK_FREE=1)
    assert check().alarms == []

    turn_on(settings, ALARM_DISK_FREE=10**18)
    alarms = check().alarms
    places = {one.alarm.key for one in alarms}
    expected = {f"{socket.gethostname()}:storage"}
    if connection.vendor == "sqlite" and "memory" not in str(connection.settings_dict["NAME"]):
        expected.add(f"{socket.gethostname()}:database")
    assert places == expected
    assert all(one.is_critical for one in alarms)
    assert "The limit is 888.2 PB." in alarms[0].sentence


def test_disk_space_below_the_limit_is_a_warning_first(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(settings, ALARM_DISK_FREE=1_000_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(free=500_000_000))

    assert {one.alarm.severity for one in check().alarms} == {Severity.WARNING}


class Usage:
    total = 10**12

    def __init__(self, free: int) -> None:
        self.free = free


def test_a_storage_that_cannot_be_written_to(settings: LazySettings) -> None:
    turn_on(settings, ALARM_DISK_FREE=1)
    before = stored_files()
    with full_storage():
        [alarm] = check().alarms

    assert alarm.alarm.kind == AlarmKind.STORAGE
    assert "No space left on device" in alarm.sentence
    assert check().alarms == []
    assert stored_files() == before


def test_a_condition_that_cannot_be_checked_keeps_its_alarm_and_does_not_stop_the_others(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(settings, ALARM_DISK_FREE=10**18, ALARM_WORKER_SILENT=60)
    check()

    def fail(_path: Any) -> None:
        raise PermissionError("no access")

    monkeypatch.setattr("shutil.disk_usage", fail)
    report = check()

    assert list(report.unchecked) == [AlarmKind.DISK_SPACE]
    assert kinds(report) == [AlarmKind.NO_WORKER]
    assert AlarmKind.DISK_SPACE in {one.alarm.kind for one in _open()}


def _open() -> Any:
    from outbox.api.alarms.shown import open_alarms

    return open_alarms()


def test_durations_are_in_the_language_of_the_reader(settings: LazySettings) -> None:
    from django.utils import translation

    turn_on(settings, ALARM_SWEEP_SILENT=300)
    HostCheck.objects.create(host="a", swept_at=ago(dt.timedelta(hours=2).total_seconds()))
    check()
    with translation.override("zh-hans"):
        [alarm] = _open()

    assert "2 小时" in alarm.sentence
    assert "No sweep" not in alarm.sentence


def test_a_storage_that_does_not_respond_is_an_alarm(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(settings, ALARM_DISK_FREE=1)
    monkeypatch.setattr("outbox.api.alarms.facts._FILE_SYSTEM_SECONDS", 0.05)
    monkeypatch.setattr(FileSystemStorage, "_save", lambda *_: time.sleep(0.5))
    [alarm] = check().alarms

    assert "no response within 0.05 s" in alarm.sentence

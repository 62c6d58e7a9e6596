"""Alarms are rows: opened once, kept, cleared, and each host clears its own."""

import threading
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connections

from outbox.api import periodic
from outbox.api.alarms.check import check
from outbox.api.alarms.facts import host_name
from outbox.api.alarms.shown import open_alarms
from outbox.db.clock import database_now
from outbox.models import Alarm, HostCheck, Severity, Worker
from tests.integration.alarms.conftest import ago, turn_on, worker


@pytest.mark.django_db
def test_an_alarm_stays_open_with_the_time_of_its_first_check(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60)
    check()
    Alarm.objects.update(since=ago(600), last_seen=ago(300))
    check()

    alarm = Alarm.objects.get()
    assert alarm.since < ago(500)
    assert alarm.last_seen > ago(100)
    assert alarm.cleared_at is None


@pytest.mark.django_db
def test_an_alarm_is_cleared_after_its_condition_was_not_found_for_a_while(
    settings: LazySettings,
) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_CLEAR_AFTER=120)
    check()
    worker()
    assert check().alarms == []
    assert len(open_alarms()) == 1

    Alarm.objects.update(last_seen=ago(121))
    check()
    assert open_alarms() == []
    assert Alarm.objects.get().cleared_at is not None


@pytest.mark.django_db
def test_an_alarm_that_returns_is_another_row(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60)
    check()
    running = worker()
    check()
    Worker.objects.filter(pk=running.pk).update(heartbeat_at=ago(99), ended_at=ago(99))
    check()

    assert [one.cleared_at is None for one in Alarm.objects.order_by("pk")] == [False, True]


@pytest.mark.django_db
def test_a_condition_that_was_turned_off_has_no_open_alarm(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60)
    check()
    turn_on(settings, ALARM_WORKER_SILENT=0)
    check()

    assert open_alarms() == []


@pytest.mark.django_db
def test_the_alarm_of_another_host_is_cleared_only_when_that_host_stopped_checking(
    settings: LazySettings,
) -> None:
    turn_on(settings, ALARM_DISK_FREE=1, ALARM_INTERVAL=60)
    now = database_now("default")
    for key in ("elsewhere:storage", f"{host_name()}:storage"):
        Alarm.objects.create(
            kind="disk_space", key=key, severity=Severity.WARNING, since=now, last_seen=ago(1800)
        )
    check()
    assert [one.alarm.key for one in open_alarms()] == ["elsewhere:storage"]

    Alarm.objects.update(last_seen=ago(3700))
    check()
    assert open_alarms() == []


@pytest.mark.django_db
def test_old_cleared_alarms_are_deleted(settings: LazySettings) -> None:
    turn_on(settings, ALARM_RETENTION=86_400)
    now = database_now("default")
    for days in (0.5, 2):
        moment = now - timedelta(days=days)
        Alarm.objects.create(
            kind="no_worker", severity="warning", since=moment, last_seen=moment, cleared_at=moment
        )
    check()

    assert Alarm.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_checks_at_the_same_time_open_one_alarm(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60)
    errors: list[Exception] = []
    start = threading.Barrier(4)

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
    assert Alarm.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_sweep_checks_once_per_interval_and_host(settings: LazySettings) -> None:
    from dev.processes import wait_until
    from outbox.api.alarms import hosts
    from outbox.delivery import process

    turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_INTERVAL=60)
    Alarm.objects.all().delete()
    try:
        periodic.run_periodic_work("default")
        wait_until(
            lambda: HostCheck.objects.exclude(measures={}).exists(), within=30, what="a check"
        )
    finally:
        process.stop()
    [host] = HostCheck.objects.all()
    assert host.swept_at == host.checked_at is not None

    hosts.reset()  # as another process of the host
    assert hosts.may_be_due()
    assert not hosts.claim_check("default")
    assert not hosts.may_be_due()

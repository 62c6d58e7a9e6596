"""`outbox_check_health` finds alarms without worker, beat and Redis, and checks one engine."""

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection

from dev.processes import wait_until
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import Alarm, Worker
from tests.conftest import StartWorker
from tests.integration.alarms.conftest import OFF, turn_on
from tests.integration.alarms.receiver import command_that_stores, receiving, stored

HERE = socket.gethostname()
ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str) -> tuple[int, str]:
    """Run the command and return its exit code and its output."""
    output = StringIO()
    try:
        call_command("outbox_check_health", *arguments, stdout=output)
    except SystemExit as error:
        return int(str(error.code)), output.getvalue()
    return 0, output.getvalue()


def is_healthy(*arguments: str) -> bool:
    return run("--engine", *arguments)[0] == 0


@pytest.fixture
def _no_condition(settings: LazySettings) -> None:
    turn_on(settings, **OFF)


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_condition")
def test_without_an_alarm_it_exits_with_0() -> None:
    assert run() == (0, "OK: no alarm\n")


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_condition")
def test_a_warning_exits_with_1_and_a_critical_alarm_with_2(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(settings, ALARM_DISK_FREE=1_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(500))
    code, output = run()
    assert code == 1
    assert output.startswith("WARNING: ")
    assert "warning: " in output.splitlines()[1]

    turn_on(settings, ALARM_DISK_FREE=0, ALARM_WORKER_SILENT=60)
    code, output = run()
    assert code == 2
    assert output == (
        "CRITICAL: 1 critical\ncritical: No worker is running. Nothing is delivered. Start a "
        "Celery worker, or run “manage.py outbox_deliver”.\n"
    )


class Usage:
    """What shutil.disk_usage returns."""

    total = 10**12

    def __init__(self, free: int) -> None:
        self.free = free


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_condition")
def test_what_cannot_be_checked_exits_with_3(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Any) -> None:
        raise PermissionError("no access")

    turn_on(settings, ALARM_DISK_FREE=1)
    monkeypatch.setattr("shutil.disk_usage", fail)
    code, output = run()

    assert code == 3
    assert output.splitlines()[1] == "unchecked: disk_space: PermissionError: no access"


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_condition")
def test_a_notification_that_fails_is_shown(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60, ALARM_COMMAND=("/nonexistent/notify",))
    code, output = run()

    assert code == 2
    assert "failed notification (command): The command could not be started" in output


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_condition")
def test_json(settings: LazySettings) -> None:
    turn_on(settings, ALARM_WORKER_SILENT=60)
    code, output = run("--json")

    described = json.loads(output)
    assert code == described["code"] == 2
    assert described["status"] == "CRITICAL"
    assert [one["kind"] for one in described["alarms"]] == ["no_worker"]


@pytest.mark.django_db(transaction=True)
def test_it_notifies_with_worker_beat_and_redis_stopped(
    site_environment: dict[str, str], tmp_path: Path
) -> None:
    """The alarm must not depend on what it reports."""
    with receiving() as receiver:
        environment = site_environment | {
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "OUTBOX_ALARM_URL": receiver.url,
            "OUTBOX_ALARM_COMMAND": ",".join(_script(tmp_path)),
        }
        first = _run_apart(environment)
        second = _run_apart(environment)

    assert (first.returncode, second.returncode) == (2, 2), first.stderr
    assert "CRITICAL: " in first.stdout
    assert "No worker is running." in first.stdout
    assert len(receiver.calls) == 1
    assert [one[2]["alarms"][0]["kind"] for one in stored(tmp_path / "stored")] == ["no_worker"]
    assert Alarm.objects.open().filter(kind="no_worker").count() == 1


def _script(folder: Path) -> tuple[str, ...]:
    """Return a command without commas, which separate the words in the environment."""
    *_, script, option, value = command_that_stores(folder / "stored")
    path = folder / "notify.py"
    path.write_text(script.replace("; ", "\n"))
    return sys.executable, str(path), option, value


def _run_apart(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "outbox_check_health", *arguments]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )


@pytest.mark.django_db
def test_an_unavailable_database_is_reported_once_and_so_is_its_end(
    site_environment: dict[str, str], tmp_path: Path
) -> None:
    broken = "sqlite:////nonexistent/database.sqlite3"
    if connection.vendor == "postgresql":
        broken = "postgres://none@127.0.0.1:1/none"
    with receiving() as receiver:
        environment = site_environment | {
            "OUTBOX_ALARM_URL": receiver.url,
            "TMPDIR": str(tmp_path),
        }
        results = [_run_apart(environment | {"DATABASE_URL": broken}) for _ in range(2)]

    for result in results:
        assert result.returncode == 2
        assert result.stdout.startswith("CRITICAL: The database is unavailable: OperationalError: ")
        assert "Traceback" not in result.stderr
    [body] = receiver.bodies
    assert [(one["kind"], one["status"]) for one in body["alarms"]] == [("database", "open")]
    [folder] = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_condition")
def test_the_end_of_an_outage_of_the_database_is_reported(
    settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from outbox.api.alarms.database import clear_unavailable, report_unavailable

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with receiving() as receiver:
        turn_on(settings, ALARM_URL=receiver.url)
        report_unavailable(OperationalError("no connection"))
        report_unavailable(OperationalError("no connection"))
        run()
        run()
        clear_unavailable()

    assert receiver.reported() == [[("database", "open")], [("database", "cleared")]]


@pytest.mark.django_db
@pytest.mark.usefixtures("_no_condition")
def test_a_folder_of_another_user_is_not_used(
    settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every user of the host could suppress the notification."""
    from django.db import OperationalError

    from outbox.api.alarms.database import report_unavailable

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"outbox-{os.getuid()}").symlink_to(elsewhere)
    with receiving() as receiver:
        turn_on(settings, ALARM_URL=receiver.url)
        report_unavailable(OperationalError("no connection"))
        report_unavailable(OperationalError("no connection"))

    assert len(receiver.calls) == 2
    assert list(elsewhere.iterdir()) == []


def engine(host: str = HERE, *, silent_for: float = 0, ended: bool = False) -> None:
    now = database_now("default")
    heartbeat_at = now - dt.timedelta(seconds=silent_for)
    Worker.objects.create(
        host=host,
        pid=7,
        started_at=heartbeat_at,
        heartbeat_at=heartbeat_at,
        lease_until=now + dt.timedelta(seconds=30),
        ended_at=now if ended else None,
    )


@pytest.mark.django_db
def test_a_host_with_a_live_engine_is_healthy() -> None:
    engine()

    assert is_healthy()
    assert is_healthy("1", "--host", HERE)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "create",
    [
        pytest.param(lambda: None, id="none was started"),
        pytest.param(lambda: engine("elsewhere"), id="on another host"),
        pytest.param(lambda: engine(ended=True), id="ended"),
        pytest.param(
            lambda: engine(silent_for=3 * get_conf().heartbeat_interval + 1),
            id="silent, with a lease",
        ),
    ],
)
def test_a_host_without_a_live_engine_is_not(create: Callable[[], None]) -> None:
    create()

    assert not is_healthy()


@pytest.mark.django_db
def test_fewer_engines_than_expected_are_unhealthy() -> None:
    engine()

    code, output = run("--engine", "2")
    assert code == 2
    assert output == f"CRITICAL: Live engines of {HERE}: 1. It should have 2.\n"


@pytest.mark.system
@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_child_hangs_is_unhealthy(start_worker: StartWorker) -> None:
    """Celery's parent process still responds to a ping."""
    worker = start_worker("hanging", OUTBOX_HEARTBEAT_INTERVAL="1")
    wait_until(is_healthy, within=30, what="the first heartbeat")
    (child,) = psutil.Process(worker.process.pid).children()

    child.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not is_healthy(), within=60, what="the end of the heartbeats")
    finally:
        child.send_signal(signal.SIGCONT)
    wait_until(is_healthy, within=60, what="the next heartbeat")

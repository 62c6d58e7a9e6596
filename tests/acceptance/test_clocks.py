"""Hosts whose clocks differ: the database's clock decides, so that nothing is early or late."""

import datetime as dt
import email
import email.utils
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection

from dev.processes import Process
from outbox import api
from outbox.db.clock import database_now
from outbox.models import Account, Message, Recipient, State
from tests.acceptance.conftest import ROOT, until

SECOND = dt.timedelta(seconds=1)
SOON = dt.timedelta(minutes=2)
FAKETIME = shutil.which("faketime")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.skipif(FAKETIME is None, reason="faketime is not installed"),
]


@pytest.mark.system
@pytest.mark.parametrize("offset", ["+60s", "-2h"])
def test_sweeps_reach_a_worker_whose_clock_differs_from_that_of_beat(
    offset: str,
    redis_server: object,
    site_environment: dict[str, str],
    account: Account,
    ann: User,
    tmp_path: Path,
) -> None:
    """Only a sweep finds that the lifetime of a message has ended."""
    if offset.startswith("-") and connection.vendor == "sqlite":
        pytest.skip("the clock of a SQLite database is that of the worker's host")
    handle = api.send(account=account, owner=ann, to="bob@example.org", subject="Hi", text="Hi")
    now = database_now("default")
    Recipient.objects.filter(message=handle.pk).update(
        next_attempt_at=now.replace(year=now.year + 1), expires_at=now
    )
    # Long, so that the worker does not sweep by itself in the time of the test.
    environment = site_environment | {"OUTBOX_SWEEP_INTERVAL": "3600"}
    worker = _faked(offset, environment, tmp_path / "worker.log")
    try:
        beat = Process(
            [sys.executable, "-m", "celery", "--app", "mailsite", "beat"],
            environment=site_environment | {"OUTBOX_SWEEP_INTERVAL": "1"},
            cwd=ROOT,
        )
        try:
            until(lambda: Recipient.objects.get().state == State.EXPIRED, "a sweep", within=60)
        finally:
            beat.stop()
    finally:
        worker.stop(grace_for=30)


@pytest.mark.parametrize("offset", ["+2h", "-2h"])
def test_times_of_messages_do_not_depend_on_the_clock_of_the_web_host(
    offset: str, site_environment: dict[str, str], account: Account
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("the clock of a SQLite database is that of the web server's host")
    script = ROOT / "tests" / "acceptance" / "host_with_a_wrong_clock.py"
    done = subprocess.run(
        [str(FAKETIME), "-f", offset, sys.executable, str(script)],
        env=site_environment | {"DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    now = database_now("default")
    composed, queued, later = (Message.objects.get(pk=pk) for pk in done.stdout.split())

    for message in (composed, queued, later):
        sent_at = email.message_from_bytes(message.source.read())["Date"]
        date = email.utils.parsedate_to_datetime(sent_at)
        expected = message.send_at or now
        assert abs(date - expected) < SOON
        for moment in (message.queued_at, message.listed_at, message.created_at):
            assert moment is not None
            assert abs(moment - now) < SOON
    assert composed.send_at is not None
    assert composed.queued_at is not None
    assert abs(composed.send_at - composed.queued_at - dt.timedelta(seconds=10)) < SECOND
    assert queued.expires_at is not None
    assert queued.queued_at is not None
    assert queued.expires_at - queued.queued_at == dt.timedelta(minutes=30)
    assert [one.status for one in (composed, queued, later)] == ["scheduled", "queued", "scheduled"]


def _faked(offset: str, environment: dict[str, str], log: Path) -> Process:
    assert FAKETIME is not None
    command = [FAKETIME, "-f", offset, sys.executable, "-m", "celery", "--app", "mailsite"]
    options = ["worker", "--concurrency", "1", "--without-gossip", "--loglevel", "info"]
    with log.open("ab") as output:
        return Process(
            [*command, *options],
            environment=environment | {"DONT_FAKE_MONOTONIC": "1"},
            output=output,
            cwd=ROOT,
        )

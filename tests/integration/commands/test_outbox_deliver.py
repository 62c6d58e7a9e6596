"""`outbox_deliver` stands in for worker and beat: it delivers, and sweeps as long as it runs."""

import datetime as dt
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dev.processes import Process, wait_until
from outbox import api
from outbox.models import Account, Recipient, State, Webhook, WebhookCall
from outbox.models.webhook import forget_webhooks
from outbox.testing.mailserver import MailServer

ROOT = Path(__file__).resolve().parents[3]
PAST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(mail_server: MailServer) -> Account:
    return Account.objects.create(
        name="shop",
        from_address="shop@example.com",
        host="127.0.0.1",
        port=mail_server.port,
        security="none",
    )


@pytest.fixture
def running(site_environment: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    """The command, sweeping often."""
    with (tmp_path / "deliver.log").open("wb") as output:
        process = Process(
            [sys.executable, "manage.py", "outbox_deliver"],
            environment=site_environment | {"OUTBOX_SWEEP_INTERVAL": "0.2"},
            output=output,
            cwd=ROOT,
        )
    yield process
    process.kill()


def until(is_so: Callable[[], bool], what: str) -> None:
    wait_until(is_so, within=60, what=what)


def send() -> api.Handle:
    return api.send(to="ann@example.com", subject="Hello", text=".")


def state() -> str:
    return Recipient.objects.latest("pk").state


def test_an_idle_run_executes_few_statements() -> None:
    """Cron starts it every minute. Where a step needs more, raise the numbers deliberately."""
    call_command("outbox_deliver", "--until-empty")  # rare tasks are due, and marks are missing

    with CaptureQueriesContext(connection) as captured:
        call_command("outbox_deliver", "--until-empty")

    statements = [one["sql"] for one in captured]
    is_postgresql = connection.vendor == "postgresql"
    assert len(statements) <= (60 if is_postgresql else 54), statements
    assert sum("clock_timestamp" in one for one in statements) <= (8 if is_postgresql else 0)


def test_it_delivers_and_sweeps_until_it_is_stopped(account: Account, running: Process) -> None:
    send()
    until(lambda: state() == State.SENT, "the first message")

    # Due tomorrow, and of no use any more: only a sweep looks at it.
    api.send(
        to="bob@example.com",
        subject="Hello",
        text=".",
        send_at=timezone.now() + dt.timedelta(days=1),
    )
    Recipient.objects.filter(state=State.QUEUED).update(expires_at=PAST)
    until(lambda: state() == State.EXPIRED, "a sweep")

    running.signal_group(signal.SIGTERM)
    until(lambda: running.returncode is not None, "its end")
    assert running.returncode == 0


def test_it_calls_webhooks(account: Account, running: Process) -> None:
    send()
    until(lambda: state() == State.SENT, "the first message")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        hook = Webhook.objects.create(name="the warehouse", url=url)
        now = timezone.now()
        WebhookCall.objects.create(webhook=hook, body="{}", created_at=now, next_attempt_at=now)
        listener.settimeout(20)
        listener.accept()[0].close()


def test_until_empty_it_ends_when_nothing_is_due(account: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        Webhook.objects.create(name="the warehouse", url=url, states=[State.SENT])
        listener.close()
        send()

        call_command("outbox_deliver", "--until-empty")

    forget_webhooks()
    assert state() == State.SENT
    assert WebhookCall.objects.get().attempts == 1, "the call is made at once"


def test_until_empty_it_says_what_became_of_the_recipients(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    api.send(
        to=["ann@example.com", "busy1@example.com", "busy2@example.com", "reject@example.com"],
        subject="Hello",
        text=".",
    )

    call_command("outbox_deliver", "--until-empty")
    assert capsys.readouterr().out == "sent 1, deferred 2, failed 1\n"

    call_command("outbox_deliver", "--until-empty")
    assert capsys.readouterr().out == "Nothing was due.\n"

"""What the acceptance tests share: an account on a local server, waiting, a beat process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from dev.processes import Process, wait_until
from outbox.models import Account
from outbox.testing.mailserver import MailServer

ROOT = Path(__file__).resolve().parents[2]
Until = Callable[..., None]


def until(condition: Callable[[], object], what: str, within: float = 120) -> None:
    """Wait for a condition; fail with what was waited for."""
    wait_until(lambda: bool(condition()), within=within, what=what)


@pytest.fixture
def ann(transactional_db: None) -> User:
    return User.objects.create_user("ann", password="for this test")


@pytest.fixture
def account(ann: User, mail_server: MailServer) -> Account:
    return account_on(mail_server.port, ann)


def account_on(port: int, owner: User, **values: object) -> Account:
    """An account of `owner` on a server of the test."""
    account = Account(
        owner=owner,
        name="local",
        from_address="ann@example.org",
        host="127.0.0.1",
        port=port,
        security="none",
    )
    for name, value in values.items():
        setattr(account, name, value)
    account.save()
    return account


@pytest.fixture
def start_beat(site_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Start Celery's beat on the test's Redis; it ends with the test."""
    started: list[Process] = []

    def start() -> Process:
        with (tmp_path / "beat.log").open("ab") as output:
            beat = Process(
                [sys.executable, "-m", "celery", "--app", "mailsite", "beat"],
                environment=site_environment,
                output=output,
                cwd=ROOT,
            )
        started.append(beat)
        return beat

    yield start
    for beat in started:
        beat.stop(grace_for=10)

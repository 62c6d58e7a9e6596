"""Workers of two hosts on one SQLite file are told, where checks may ask the database."""

import pytest
from django.core import checks
from django.db import connection
from django.utils import timezone

from outbox.checks import check_workers
from outbox.models import Worker

pytestmark = pytest.mark.django_db


def start(host: str, *, ended: bool = False) -> None:
    now = timezone.now()
    ended_at = now if ended else None
    Worker.objects.create(
        host=host, pid=1, started_at=now, heartbeat_at=now, lease_until=now, ended_at=ended_at
    )


def found() -> list[str | None]:
    return [message.id for message in check_workers(None, databases=["default"])]


def test_two_hosts_on_sqlite_are_told() -> None:
    start("a.example")
    start("b.example")

    assert found() == (["outbox.W009"] if connection.vendor == "sqlite" else [])


def test_two_workers_of_one_host_are_fine() -> None:
    start("a.example")
    start("a.example")
    start("b.example", ended=True)

    assert found() == []


def test_it_asks_only_a_database_that_may_be_asked() -> None:
    start("a.example")
    start("b.example")

    assert check_workers(None, databases=None) == []


def test_django_runs_it_where_databases_are_checked() -> None:
    assert check_workers in checks.registry.registry.get_checks()
    assert checks.Tags.database in check_workers.tags

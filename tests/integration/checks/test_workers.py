"""Workers of two hosts on one SQLite file cause a warning, if checks may use the database."""

from collections.abc import Callable, Iterator

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


def test_two_hosts_on_sqlite_cause_a_warning() -> None:
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


@pytest.fixture
def journal() -> Iterator[Callable[[str], None]]:
    """Set the mode of the journal, which belongs to the file."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite's journal has modes")

    def switch(mode: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA journal_mode = {mode}")

    yield switch
    switch("wal")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("mode", "expected"), [("delete", ["outbox.W013"]), ("wal", [])])
def test_a_journal_that_makes_pages_wait_causes_a_warning(
    mode: str, expected: list[str], journal: Callable[[str], None]
) -> None:
    journal(mode)

    assert found() == expected


def test_django_runs_it_where_databases_are_checked() -> None:
    assert check_workers in checks.registry.registry.get_checks()
    assert checks.Tags.database in check_workers.tags

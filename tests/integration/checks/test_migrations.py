"""A database whose tables were created by former migrations is recognized before `migrate` runs."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from outbox.checks import check_migrations

pytestmark = pytest.mark.django_db


def use_former_migrations() -> None:
    """Record what a database from before the squash of migrations has recorded."""
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("outbox", "0001_tables")
    for name in ("0001_initial", "0002_add_display_preferences", "0010_reschedule_events"):
        recorder.record_applied("outbox", name)


def test_a_current_database_passes() -> None:
    assert check_migrations(None, databases=["default"]) == []


def test_migrate_stops_at_a_database_with_former_migrations() -> None:
    use_former_migrations()

    with pytest.raises(SystemCheckError, match=r"(?s)outbox\.E017.*make run NEW_DATABASE=1"):
        call_command("migrate", skip_checks=False, verbosity=0)


def test_it_reads_only_a_database_that_checks_may_read() -> None:
    use_former_migrations()

    assert check_migrations(None, databases=None) == []


def test_a_single_migration_that_does_not_exist_is_named() -> None:
    MigrationRecorder(connection).record_applied("outbox", "0040_former")

    [error] = check_migrations(None, databases=["default"])

    assert error.id == "outbox.E017"
    assert "0040_former" in error.msg

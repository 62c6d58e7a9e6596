"""A database whose tables were created by former migrations is recognized before `migrate` runs."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from outbox.checks import FIRST_MIGRATION, check_migrations
from tests.unit.docs.blocks import ROOT

pytestmark = pytest.mark.django_db


def use_former_migrations() -> None:
    """Record what a database from before the squash of migrations has recorded."""
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("outbox", FIRST_MIGRATION)
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


def test_the_first_migration_exists() -> None:
    assert (ROOT / "outbox" / "migrations" / f"{FIRST_MIGRATION}.py").exists()

"""The role of the site on PostgreSQL: it reads and writes rows, and changes no audit entry."""

import re
from pathlib import Path

import pytest
from django.db import ProgrammingError, connection, transaction

from outbox.api import audit
from outbox.models import AuditAction

GRANTS = Path(__file__).resolve().parents[3] / "deploy" / "postgres" / "grants.sql"

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no roles"),
]


@pytest.fixture
def _as_site() -> None:
    """Act as the role, which ends with the database transaction of the test."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE site")  # the superuser of the tests is named outbox
        cursor.execute(re.sub(r"\b(TO|FROM) outbox;", r"\1 site;", GRANTS.read_text()))
        cursor.execute("SET LOCAL ROLE site")


@pytest.mark.usefixtures("_as_site")
def test_the_site_adds_audit_entries() -> None:
    entry = audit.record(AuditAction.SIGN_IN, target="alice")
    assert entry.pk


@pytest.mark.usefixtures("_as_site")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outbox_auditentry SET action = 'sign_out'",
        "DELETE FROM outbox_auditentry",
        "TRUNCATE outbox_auditentry",
        "DROP TABLE outbox_auditentry",
        "ALTER TABLE outbox_auditentry ADD forged text",
        "DELETE FROM django_migrations",
        "CREATE ROLE other",
        "COPY outbox_auditentry TO PROGRAM 'id'",
    ],
)
def test_the_site_changes_neither_the_audit_log_nor_the_tables(statement: str) -> None:
    audit.record(AuditAction.SIGN_IN, target="alice")
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

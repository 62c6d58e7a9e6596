"""Replaces Django's `flush`, which runs after each test that commits.

Django truncates every table, which takes PostgreSQL a tenth of a second, and then computes all
content types and permissions again, which takes longer than most tests.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

# Written by `migrate` and the same for every test.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}


class Command(BaseCommand):
    """Delete the rows of a test."""

    help = "Delete all rows except those that migrate has written."
    requires_system_checks = ()
    # What Django's test cases pass besides.
    stealth_options = ("reset_sequences", "allow_cascade", "inhibit_post_migrate")

    def add_arguments(self, parser: CommandParser) -> None:
        """Accept the options of Django's command."""
        parser.add_argument("--noinput", action="store_false", dest="interactive")
        parser.add_argument("--database", default="default")

    def handle(self, *args: Any, **options: Any) -> None:
        """Empty each table that has rows; foreign keys are checked when that commits."""
        connection = connections[options["database"]]
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for table in tables_with_rows(connection):
                quoted = connection.ops.quote_name(table)
                cursor.execute(f"DELETE FROM {quoted}")  # noqa: S608  # a table of this project


def tables_with_rows(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the tables of models that have rows, in one query."""
    known = connection.introspection.django_table_names(only_existing=False)
    tables = sorted(set(known) - KEPT)
    columns = [f"EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})" for table in tables]  # noqa: S608  # likewise
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)}")
        has_rows = cursor.fetchone()
    return [table for table, has in zip(tables, has_rows, strict=True) if has]

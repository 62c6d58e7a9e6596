"""Operations that leave a large table writable; the migration has to be `atomic = False`."""

from typing import Any

from django.db.migrations.operations import AddConstraint, AddIndex, AlterField, RemoveIndex
from django.db.migrations.operations.base import Operation
from django.db.models import Model


class AddIndexOnline(AddIndex):
    """Add an index; PostgreSQL builds it without locking the table against writes."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            # A build that was interrupted leaves an invalid index of this name behind.
            schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{self.index.name}"')
            schema_editor.add_index(model, self.index, concurrently=True)


class RemoveIndexOnline(RemoveIndex):
    """Remove an index without waiting, under a lock, for those who use it."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{self.name}"')


class RemoveForeignKeyIndex(AlterField):
    """Drop the index of a foreign key, and only that.

    Django's own operation makes the constraint anew, which checks every row.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        how = "CONCURRENTLY " if schema_editor.connection.vendor == "postgresql" else ""
        column = model._meta.get_field(self.name).column
        for name in schema_editor._constraint_names(model, [column], index=True, unique=False):
            schema_editor.execute(f"DROP INDEX {how}{schema_editor.quote_name(name)}")


class AddUniqueOnline(AddConstraint):
    """Build the index of a conditional unique constraint while rows are written."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(schema_editor.connection.alias, model):
            sql = str(self.constraint.create_sql(model, schema_editor))
            schema_editor.execute(sql.replace("INDEX", "INDEX CONCURRENTLY", 1), params=None)


class SetFillFactor(Operation):
    """Leave room on each page of a table for the versions that its rows will get."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, percent: int) -> None:
        self.model_name = model_name
        self.percent = percent

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: no model knows of it."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        self._execute(model, schema_editor, f"SET (fillfactor = {self.percent})")

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        self._execute(model, schema_editor, "RESET (fillfactor)")

    def _execute(
        self, model: type[Model], schema_editor: Any, change: str
    ) -> None:
        alias = schema_editor.connection.alias
        if schema_editor.connection.vendor == "postgresql" and self.allow_migrate_model(alias, model):
            table = schema_editor.quote_name(model._meta.db_table)
            schema_editor.execute(f"ALTER TABLE {table} {change}")

    def describe(self) -> str:
        return f"Fill the pages of {self.model_name} to {self.percent} percent (PostgreSQL)"

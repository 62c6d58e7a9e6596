"""Operations that Django does not have."""

from typing import Any

from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.models import RemoveIndex


class RemoveIndexOnline(RemoveIndex):
    """Remove an index while the table is read and written. The migration must not be atomic."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Remove the index; on other databases as `RemoveIndex` does."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            state = from_state.models[app_label, self.model_name_lower]
            index = state.get_index_by_name(self.name)
            schema_editor.remove_index(model, index, concurrently=True)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Add the index again; on other databases as `RemoveIndex` does."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            state = to_state.models[app_label, self.model_name_lower]
            index = state.get_index_by_name(self.name)
            schema_editor.add_index(model, index, concurrently=True)


class SetFillFactor(Operation):
    """Set how full PostgreSQL fills the pages of a table, in percent.

    The rest of a page has room for the row versions that the updates of a delivery add (HOT).
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, percent: int) -> None:
        self.model_name = model_name
        self.percent = percent

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: models do not know the fill factor."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._execute(app_label, schema_editor, to_state, f"SET (fillfactor = {self.percent})")

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._execute(app_label, schema_editor, from_state, "RESET (fillfactor)")

    def _execute(self, app_label: str, schema_editor: Any, state: Any, change: str) -> None:
        model = state.apps.get_model(app_label, self.model_name)
        alias = schema_editor.connection.alias
        if schema_editor.connection.vendor == "postgresql" and self.allow_migrate_model(
            alias, model
        ):
            table = schema_editor.quote_name(model._meta.db_table)
            schema_editor.execute(f"ALTER TABLE {table} {change}")

    def describe(self) -> str:
        return f"Fill the pages of {self.model_name} to {self.percent} percent (PostgreSQL)"


class AddStatistics(Operation):
    """Add statistics about columns that depend on each other, so that PostgreSQL estimates rows.

    The statistics exist after the next ANALYZE, which autovacuum starts. No lock stops a write.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str, columns: list[str], name: str) -> None:
        self.model_name = model_name
        self.columns = columns
        self.name = name

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: models do not know statistics."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Add the statistics; on other databases do nothing."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if self._is_for(schema_editor, model):
            quote = schema_editor.quote_name
            columns = ", ".join(map(quote, self.columns))
            schema_editor.execute(
                f"CREATE STATISTICS IF NOT EXISTS {quote(self.name)} (dependencies, mcv) "
                f"ON {columns} FROM {quote(model._meta.db_table)}"
            )

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Remove the statistics."""
        if self._is_for(schema_editor, from_state.apps.get_model(app_label, self.model_name)):
            schema_editor.execute(
                f"DROP STATISTICS IF EXISTS {schema_editor.quote_name(self.name)}"
            )

    def _is_for(self, schema_editor: Any, model: Any) -> bool:
        connection = schema_editor.connection
        return connection.vendor == "postgresql" and self.allow_migrate_model(
            connection.alias, model
        )

    def describe(self) -> str:
        return f"Add statistics of {', '.join(self.columns)} of {self.model_name} (PostgreSQL)"

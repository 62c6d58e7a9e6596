"""Operations that Django does not have."""

from collections.abc import Mapping
from typing import Any

from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import AddField
from django.db.migrations.operations.models import CreateModel, RemoveIndex
from django.db.migrations.operations.special import SeparateDatabaseAndState


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


class OneTable(SeparateDatabaseAndState):
    """The operations on one table, in a transaction of their own. The migration must not be atomic.

    A migration that changes several tables in one transaction locks them all until it ends, and
    waits for the lock of one while it holds the others. Deliveries would stand still, or it would
    end in a deadlock. The first operation adds a field or the table. If that is already there, an
    earlier run was interrupted after this table, and nothing is done.
    """

    atomic = True

    def __init__(self, *operations: Operation) -> None:
        super().__init__(list(operations), list(operations))

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Change the table, unless that was done before."""
        if not schema_editor.collect_sql and self._is_done(app_label, schema_editor, to_state):
            return
        super().database_forwards(app_label, schema_editor, from_state, to_state)
        # Indexes and foreign keys belong to the same transaction.
        deferred, schema_editor.deferred_sql = schema_editor.deferred_sql, []
        for statement in deferred:
            schema_editor.execute(statement, None)

    def _is_done(self, app_label: str, schema_editor: Any, to_state: Any) -> bool:
        first = self.database_operations[0]
        connection = schema_editor.connection
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
            if isinstance(first, CreateModel):
                return to_state.apps.get_model(app_label, first.name)._meta.db_table in tables
            assert isinstance(first, AddField)
            model = to_state.apps.get_model(app_label, first.model_name)
            table, column = model._meta.db_table, model._meta.get_field(first.name).column
            if table not in tables:  # another database has it
                return False
            rows = connection.introspection.get_table_description(cursor, table)
            return column in {row.name for row in rows}

    def describe(self) -> str:
        return "; ".join(one.describe() for one in self.database_operations)


class SetNames(Operation):
    """Set the names of models, and the labels of fields. No database knows them.

    The models of the state are rebuilt once. With one operation of Django for each name, they would
    be rebuilt for each, which takes seconds in every new database.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(
        self, models: Mapping[str, tuple[str, str]], fields: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.models = models  # model → singular and plural
        self.fields = fields  # model → field → label

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Replace the options and the fields of the models, which other states share."""
        for model, (name, plural) in self.models.items():
            row = state.models[app_label, model]
            row.options = {**row.options, "verbose_name": name, "verbose_name_plural": plural}
        for model, labels in self.fields.items():
            fields = state.models[app_label, model].fields
            for name, label in labels.items():
                field = fields[name].clone()
                field.verbose_name = field._verbose_name = label  # the latter is compared
                fields[name] = field
        changed = {(app_label, model) for model in (*self.models, *self.fields)}
        state.reload_models(changed, delay=True)

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Change nothing."""

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Change nothing."""

    def describe(self) -> str:
        return "Set the names of models and fields"

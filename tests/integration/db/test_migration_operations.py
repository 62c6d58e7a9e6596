"""The operations of our own migrations."""

import pytest
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState

from outbox.migrations._operations import OneTable

pytestmark = pytest.mark.django_db(transaction=True)

_CREATE = OneTable(
    migrations.CreateModel(
        name="OneTableProbe",
        fields=[
            ("id", models.BigAutoField(primary_key=True)),
            ("number", models.IntegerField()),
        ],
        options={"indexes": [models.Index(fields=["number"], name="one_table_probe_number")]},
    )
)
_ADD = OneTable(
    migrations.AddField("onetableprobe", "first", models.IntegerField(db_default=1, default=1)),
    migrations.AddField("onetableprobe", "second", models.IntegerField(db_default=2, default=2)),
)


def migrate(operations: list[OneTable]) -> ProjectState:
    attributes = {"atomic": False, "operations": operations}
    migration = type("Probe", (migrations.Migration,), attributes)("probe", "outbox")
    with connection.schema_editor(atomic=False) as editor:
        state: ProjectState = migration.apply(ProjectState(), editor)
    return state


def test_an_interrupted_migration_of_several_tables_can_be_repeated() -> None:
    try:
        migrate([_CREATE])
        state = migrate([_CREATE, _ADD])
        migrate([_CREATE, _ADD])
        model = state.apps.get_model("outbox", "OneTableProbe")
        row = model.objects.create(number=7)
        row.refresh_from_db()
        assert (row.first, row.second) == (1, 2)
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, "outbox_onetableprobe")
        assert "one_table_probe_number" in found
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS outbox_onetableprobe")

"""The operations of our own migrations."""

import pytest
from django.db import connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.test.utils import CaptureQueriesContext

from outbox.migrations._operations import OneTable, SetNames

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


def migrate(operations: list[Operation]) -> ProjectState:
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


def test_names_are_set_in_the_state_only() -> None:
    state = ProjectState()
    _CREATE.state_forwards("outbox", state)
    before = state.clone()
    operation = SetNames(
        models={"onetableprobe": ("probe", "probes")},
        fields={"onetableprobe": {"number": "how many"}},
    )
    migration = type("Probe", (migrations.Migration,), {"operations": [operation]})
    with (
        CaptureQueriesContext(connection) as queries,
        connection.schema_editor(atomic=False) as editor,
    ):
        after = migration("probe", "outbox").apply(state, editor)
        migration("probe", "outbox").unapply(before.clone(), editor)
    assert not [query for query in queries if "onetableprobe" in query["sql"]]
    names = []
    for one in (before, after):
        meta = one.apps.get_model("outbox", "OneTableProbe")._meta
        names.append((meta.verbose_name, meta.get_field("number").verbose_name))
    assert names == [("one table probe", "number"), ("probe", "how many")]
    assert [one.name for one in after.models["outbox", "onetableprobe"].options["indexes"]]

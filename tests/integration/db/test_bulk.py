"""Many rows in one statement: how PostgreSQL finds them, whatever a project sets psycopg to."""

import time
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from outbox.db.bulk import fetch, select_rows
from outbox.models import Contact

USING = "default"
LOOK_UP = "SELECT c.id FROM {values} JOIN outbox_contact c ON c.id = v.id"
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="it is PostgreSQL's planner"),
]


def fill(owner: User, numbers: range) -> None:
    Contact.objects.bulk_create(
        Contact(owner=owner, address=f"{number}@example.com", key=f"{number}@example.com")
        for number in numbers
    )


def update_statistics() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE outbox_contact")


def test_a_few_rows_of_a_table_of_thousands_are_looked_up() -> None:
    anna = User.objects.create_user("anna")
    fill(anna, range(3_000))
    update_statistics()

    with transaction.atomic():
        before = whole_readings()
        select_rows(USING, LOOK_UP, [(1,), (2,)])
        assert whole_readings() == before


@pytest.fixture
def prepares_by_itself() -> Iterator[None]:
    """As a project may say in its DATABASES: psycopg prepares what is asked often."""
    connection.close()
    connection.settings_dict["OPTIONS"]["prepare_threshold"] = 5
    yield
    connection.close()
    del connection.settings_dict["OPTIONS"]["prepare_threshold"]


@pytest.mark.usefixtures("prepares_by_itself")
def test_a_connection_that_prepares_by_itself_is_used_as_it_is() -> None:
    assert fetch(USING, "SELECT 1", []) == [(1,)]
    assert connection.connection.prepare_threshold == 5


def test_a_plan_made_for_a_small_table_is_not_kept_when_it_has_grown() -> None:
    anna = User.objects.create_user("anna")
    fill(anna, range(10))
    update_statistics()
    for _ in range(8):  # after the fifth execution, the server keeps one plan
        select_rows(USING, LOOK_UP, [(1,)])
    fill(anna, range(10, 3_000))
    time.sleep(0.6)  # what makes a plan old is time

    with transaction.atomic():
        before = whole_readings()
        select_rows(USING, LOOK_UP, [(1,)])
        assert whole_readings() == before


def whole_readings() -> int:
    """Count how often all contacts were read, by what the server has not summed up yet."""
    sql = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'outbox_contact'"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])

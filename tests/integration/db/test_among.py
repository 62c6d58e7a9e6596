"""The condition that a column has one of many ids."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.db.bulk import Among
from outbox.models import Contact

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]


@pytest.fixture
def keys() -> list[int]:
    anna = User.objects.create_user("anna")
    rows = [Contact(owner=anna, address=f"{n}@a.test", key=f"{n}@a.test") for n in range(6)]
    return [row.pk for row in Contact.objects.bulk_create(rows)]


def test_it_is_true_for_the_ids_only(keys: list[int]) -> None:
    found = Contact.objects.filter(Among("pk", keys[:2]))
    assert set(found.values_list("pk", flat=True)) == set(keys[:2])
    assert set(Contact.objects.exclude(Among("pk", keys[:2]))) == set(
        Contact.objects.filter(pk__in=keys[2:])
    )
    assert Contact.objects.filter(~Among("pk", keys[:2])).count() == 4


def test_it_names_a_foreign_key_by_its_field(keys: list[int]) -> None:
    anna = User.objects.get()
    assert Contact.objects.filter(Among("owner", [anna.pk])).count() == 6
    assert not Contact.objects.filter(Among("owner", [anna.pk + 1])).exists()


def test_it_limits_an_update(keys: list[int]) -> None:
    assert Contact.objects.filter(Among("pk", iter(keys[:2]))).update(name="changed") == 2
    assert Contact.objects.filter(name="changed").count() == 2


def test_no_ids_need_no_query(keys: list[int]) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert not list(Contact.objects.filter(Among("pk", [])))
    assert not queries.captured_queries


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no arrays")
def test_the_ids_are_one_parameter(keys: list[int]) -> None:
    _sql, params = Contact.objects.filter(Among("pk", keys)).order_by().query.sql_with_params()
    assert params == (keys,)

"""Rows that have few of their columns: as Django's `only()`, for thousands of rows."""

import pytest
from pytest_django import DjangoAssertNumQueries

from outbox.db.partial import read_partly
from outbox.models import Account

NAMES = ("name", "is_active", "created_at")


@pytest.fixture
def accounts(db: None) -> list[Account]:
    return [
        Account.objects.create(name=name, from_address="a@example.com", host="mail.example.com")
        for name in ("first", "second")
    ]


def test_the_rows_are_those_of_only(
    accounts: list[Account], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    rows = Account.objects.using("default").order_by("pk")
    with django_assert_num_queries(1):
        found = read_partly(rows, NAMES)
        seen = [(one.pk, one.name, one.is_active, one.created_at) for one in found]
    assert seen == [(one.pk, one.name, one.is_active, one.created_at) for one in accounts]
    assert found == list(rows.only(*NAMES))
    assert [one.get_deferred_fields() for one in found] == [
        one.get_deferred_fields() for one in rows.only(*NAMES)
    ]


def test_another_column_is_read_when_it_is_used(
    accounts: list[Account], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    [found, _] = read_partly(Account.objects.using("default").order_by("pk"), NAMES)
    with django_assert_num_queries(1):
        assert found.host == "mail.example.com"
    found.name = "changed"
    found.save(update_fields=["name"])
    assert Account.objects.get(pk=found.pk).name == "changed"


def test_no_more_rows_are_read_than_the_slice_has(accounts: list[Account]) -> None:
    assert read_partly(Account.objects.order_by("-pk")[:1], NAMES) == accounts[1:]

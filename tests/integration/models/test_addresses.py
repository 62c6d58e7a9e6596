"""Searches by address ignore case, match whole addresses or prefixes, and use one index."""

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test import Client

from outbox.models import Account, Recipient
from tests.integration.admin.conftest import queue

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return Account.objects.create(
        name="shop", from_address="shop@example.com", host="mail.example.com"
    )


def plan_of(found: QuerySet[Recipient]) -> str:
    """Return the plan without the order, for which a tiny table would be read by its key."""
    sql, params = found.order_by().query.sql_with_params()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {sql}", params)
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        return " ".join(str(row) for row in cursor.fetchall())


@pytest.mark.parametrize("asked", ["bcc@example.org", "BCC@example.org", "Bcc@EXAMPLE.ORG"])
def test_a_whole_address_is_found_by_its_index(account: Account, asked: str) -> None:
    queue(account, "Bcc@example.org", "other@example.org")
    found = Recipient.objects.with_address(asked)
    assert found.get().address == "Bcc@example.org"
    assert Recipient.objects.with_address_in([asked]).get() == found.get()
    assert "outbox_recipient_folded" in plan_of(found)


def test_a_beginning_is_found_in_any_case(account: Account) -> None:
    queue(account, "Bcc@example.org", "b_c@example.org")
    beginning = Recipient.objects.with_address_beginning("bCC@ex")
    assert [one.address for one in beginning] == ["Bcc@example.org"]
    assert not Recipient.objects.with_address_beginning("b%c")
    if connection.vendor == "postgresql":
        plan = plan_of(beginning)
        assert "outbox_recipient_folded" in plan
        assert "~>=~" in plan  # a range of the index, not a full scan


@pytest.mark.parametrize("asked", ["BCC@example.org", "bcc@ex", " Bcc@Example "])
def test_the_list_of_recipients_finds_the_beginning_in_any_case(
    account: Account, admin_client: Client, asked: str
) -> None:
    queue(account, "bcc@example.org", "x-bcc@example.org")
    page = admin_client.get("/admin/outbox/recipient/", {"q": asked})
    assert [row.address for row in page.context["cl"].result_list] == ["bcc@example.org"]

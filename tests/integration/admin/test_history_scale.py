"""The sent history of 20,000 messages: which index each filter and search uses, and its queries."""

import datetime as dt
import re
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox.admin.history import finding
from outbox.api.history.conditions import Conditions
from outbox.api.history.filters import with_code
from outbox.models import Account, Message, Recipient, SiteEntry, State, Status
from outbox.models.site_search import domain_term, fact_term, subject_term
from outbox.web.folders.pagination import NEWEST_FIRST, OLDEST_FIRST

pytestmark = [
    pytest.mark.every_database,  # PostgreSQL's plans
    pytest.mark.system,
    pytest.mark.timeout(400),  # also on a busy machine
    pytest.mark.skipif(connection.vendor != "postgresql", reason="plans are those of PostgreSQL"),
]
LIST = "/admin/outbox/message/"
COUNT = 20_000
_LARGE_SCAN = re.compile(r"Seq Scan on outbox_(message|recipient|siteentry)")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def many(account: Account) -> None:
    """20,000 sent messages; one of a thousand is rejected, has a rare word and a rare domain."""
    messages = Message.objects.bulk_create(
        [
            Message(
                account=account,
                status=Status.FAILED if number % 1000 == 7 else Status.SENT,
                folder="failed" if number % 1000 == 7 else "sent",
                has_failure=number % 1000 == 7,
                subject=f"Invoice {number}",
                message_id=f"{number}@example.com",
                recipient_count=1,
                listed_at=START + dt.timedelta(minutes=number),
            )
            for number in range(COUNT)
        ]
    )
    Recipient.objects.bulk_create(
        Recipient(
            message=message,
            address=f"r{number}@{'rare.example' if message.has_failure else 'example.org'}",
            state=State.QUEUED,  # any, since the guard of the tests checks changes only
            reply_code=550 if message.has_failure else 250,
            reply_enhanced="5.1.1" if message.has_failure else "2.0.0",
            remote_queue_id="" if message.has_failure else f"Q{number}",
        )
        for number, message in enumerate(messages)
    )
    SiteEntry.objects.bulk_create(
        SiteEntry(
            message=message,
            listed_at=message.listed_at,
            terms=[
                fact_term("account", account.pk),
                fact_term("tag", "rare" if message.has_failure else "shop"),
                subject_term("invoice"),
                subject_term("rare" if message.has_failure else "usual"),
                domain_term("rare.example" if message.has_failure else "example.org"),
            ],
        )
        for message in messages
    )
    with connection.cursor() as cursor:
        for model in (Message, Recipient, SiteEntry):
            cursor.execute(f"ANALYZE {model._meta.db_table}")
        # A table of this size is at times read faster as a whole.
        cursor.execute("SET LOCAL enable_seqscan = off")


def plans(client: Client, query: dict[str, Any]) -> tuple[str, int, int]:
    """Return the plans of the page's queries, the number of these, and the number of rows."""
    with CaptureQueriesContext(connection) as captured:
        response: Any = client.get(LIST, query)
    asked = [one["sql"] for one in captured.captured_queries if "outbox_" in one["sql"]]
    found = []
    with connection.cursor() as cursor:
        for sql in asked:
            cursor.execute(f"EXPLAIN {sql}")
            found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found), len(captured), len(response.context["cl"].result_list)


CASES: tuple[tuple[dict[str, Any], str, int], ...] = (
    ({}, "outbox_message_newest", 50),
    ({"oldest": "1"}, "outbox_message_newest", 50),
    ({"until": "2026-01-02"}, "outbox_message_newest", 50),
    ({"tag": "shop"}, "outbox_message_newest", 50),  # a common one is among the latest
    ({"state": "failed"}, "outbox_message_status", 20),
    ({"state": "failures"}, "outbox_message_failures", 20),
    # Without expired recipients, the index of one sender's is as small as that of all.
    ({"state": "expired"}, "outbox_recipient_end", 0),
    ({"code": "550"}, "outbox_recipient_reply", 20),
    ({"code": "5.1"}, "outbox_recipient_reply", 20),
    ({"domain": "rare.example"}, "outbox_site_terms", 20),
    ({"tag": "rare"}, "outbox_site_terms", 20),
    ({"q": "subject:rare"}, "outbox_site_terms", 20),
    ({"q": "to:r123"}, "outbox_recipient_folded", 50),
    ({"q": "r123@example.org"}, "outbox_recipient_folded", 1),
    ({"q": "id:77@example.com"}, "outbox_message_msgid", 1),
    ({"q": "queue:Q78"}, "outbox_recipient_queue_id", 1),
)
MOST_QUERIES = 12  # of the most expensive page, for any number of rows


@pytest.mark.usefixtures("many")
def test_each_filter_and_search_reads_its_index(staff: Client) -> None:
    wrong = []
    for query, index, rows in CASES:
        plan, queries, found = plans(staff, query)
        scans = _LARGE_SCAN.search(plan)
        if found != rows or index not in plan or queries > MOST_QUERIES or scans:
            wrong.append(f"{query}: {found} rows, {queries} queries, {index}?\n{plan}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("order", [NEWEST_FIRST, OLDEST_FIRST])
def test_a_frequent_reply_is_looked_for_among_more_messages(
    monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    monkeypatch.setattr(finding, "FEW", 10)
    failed = Message.objects.filter(has_failure=True).order_by(*order)

    with CaptureQueriesContext(connection) as captured:
        found = finding.History(with_code("550")).find(Q(), order, 10)

    assert [one.pk for one in found] == [one.pk for one in failed[:10]]
    assert '"message_id" >= ' in captured.captured_queries[-1]["sql"]


def test_a_frequent_reply_outside_of_the_dates_is_not_found(
    many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "FEW", 10)
    wanted = with_code("550") & Conditions(dates=Q(listed_at__lt=START))

    assert finding.History(wanted).find(Q(), NEWEST_FIRST, 10) == []


@pytest.mark.usefixtures("many")
def test_the_search_among_the_latest_does_not_read_all_entries(staff: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = on")
    plan, _queries, found = plans(staff, {"q": "subject:invoice"})
    assert found == 50
    assert "Seq Scan on outbox_siteentry" not in plan


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("order", [NEWEST_FIRST, OLDEST_FIRST])
def test_what_was_read_in_a_range_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    monkeypatch.setattr(finding, "LATEST", 6_000)  # six of the rejected messages
    monkeypatch.setattr("outbox.web.search.results.FARTHER", 0.5)  # not far enough
    rare = Conditions(terms=(((subject_term("rare"),),),))

    with CaptureQueriesContext(connection) as captured:
        found = finding.History(rare).find(Q(), order, 18)

    expected = Message.objects.filter(has_failure=True).order_by(*order)[:18]
    assert [one.pk for one in found] == [one.pk for one in expected]
    limits = [int(one["sql"].rpartition("LIMIT ")[2]) for one in captured]
    assert limits[:2] == [18, 18]
    assert limits[2] < 18  # only what the range does not have

"""The inbox of 20,000 messages: which index each page and search reads, and its queries."""

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from outbox.models import InboundEntry, InboundMessage, Message, ReplyReminder
from outbox.models.owner_key import owner_key
from outbox.models.search import SENDER, SUBJECT, body_term, head_term

pytestmark = [
    pytest.mark.every_database,
    pytest.mark.timeout(400),  # also on a busy machine
    pytest.mark.skipif(connection.vendor != "postgresql", reason="plans are those of PostgreSQL"),
]
COUNT = 20_000
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_LARGE_SCAN = re.compile(r"Seq Scan on outbox_(message|inboundmessage|inboundentry)\b")


@pytest.fixture(params=[10])
def many(request: pytest.FixtureRequest, anna: User, carl: User) -> list[InboundMessage]:
    """Messages of two users; 20 of Anna's are unread and have a rare word.

    Anna has one of ten, or of another number. With all of them, indexes without the owner serve.
    """
    share: int = request.param
    sent = Message.objects.bulk_create(
        Message(owner=anna, message_id=f"{number}@example.com", listed_at=START)
        for number in range(2_000)
    )
    messages = InboundMessage.objects.bulk_create(
        InboundMessage(
            owner=carl if number % share else anna,
            subject=f"Message {number}",
            from_header="Jane <jane@example.org>",
            message_id=f"r{number}@example.org",
            in_reply_to=f"{number // 100}@example.com",
            thread=f"t{number // 100}",
            replies_to=sent[number // 10] if number % 100 == 0 else None,
            is_read=number % 1000 != 0,
            received_at=START + dt.timedelta(minutes=number),
        )
        for number in range(COUNT)
    )
    Message.objects.bulk_create(
        Message(owner=anna, listed_at=START, made_from_received=messages[number])
        for number in range(0, COUNT, 10)
    )
    InboundEntry.objects.bulk_create(_entry(message) for message in messages)
    ReplyReminder.objects.bulk_create(
        ReplyReminder(message=one, owner=carl if number % share else anna, days=3, remind_at=START)
        for number, one in enumerate(sent)
    )
    with connection.cursor() as cursor:
        for model in (Message, InboundMessage, InboundEntry, ReplyReminder):
            cursor.execute(f"ANALYZE {model._meta.db_table}")
        # A table of this size is at times read faster as a whole.
        cursor.execute("SET LOCAL enable_seqscan = off")
    return messages


def _entry(message: InboundMessage) -> InboundEntry:
    owner = owner_key(message.owner_id)
    word = "usual" if message.is_read else "rare"
    return InboundEntry(
        message=message,
        owner_key=owner,
        listed_at=message.received_at,
        head=[
            head_term(owner, kind, term)
            for kind, term in ((SUBJECT, "message"), (SUBJECT, word), (SENDER, "jane"))
        ],
        body=[body_term(owner, word)],
    )


def plans(client: Client, url: str, query: dict[str, str]) -> tuple[str, int, Any]:
    """Return the plans of the page's queries on messages, the number of queries, and the page."""
    with CaptureQueriesContext(connection) as captured:
        response: Any = client.get(url, query)
    assert response.status_code == 200
    asked = [one["sql"] for one in captured.captured_queries]
    found = []
    with connection.cursor() as cursor:
        for sql in asked:
            if sql.startswith("SELECT") and "outbox_" in sql:
                cursor.execute(f"EXPLAIN {sql}")
                found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found), len(captured), response


Pages = tuple[tuple[str, dict[str, str], str, int], ...]
LISTS: Pages = (
    ("inbox", {}, "outbox_inbound_list", 50),
    ("inbox", {"show": "unread"}, "outbox_inbound_unread", 20),
    ("inbox", {"before": "1767650000000000-9"}, "outbox_inbound_list", 50),
    ("inbox", {"after": "1767250000000000-9"}, "outbox_inbound_list", 50),
)


SEARCHES: Pages = (
    ("search", {"q": "message"}, "outbox_inbound_entries", 50),
    ("search", {"q": "subject:rare"}, "outbox_inbound_head", 20),
    ("search", {"q": "body:rare"}, "outbox_inbound_body", 20),
    ("search", {"q": "in:inbox"}, "outbox_inbound_(list|newest)", 50),
    ("search", {"q": "is:unread"}, "outbox_inbound_unread", 20),
    ("search", {"q": "id:r20@example.org"}, "outbox_inbound_msgid", 1),
)


@pytest.mark.system
@pytest.mark.parametrize(
    ("many", "pages"), [(10, LISTS), (1, SEARCHES)], ids=["lists", "searches"], indirect=["many"]
)
@pytest.mark.usefixtures("many")
def test_each_list_reads_its_index(as_anna: Client, pages: Pages) -> None:
    wrong = []
    for name, query, index, rows in pages:
        url = reverse(f"outbox:{name}" if name != "inbox" else "outbox:received-folder",
                      args=["inbox"] if name == "inbox" else [])  # fmt: skip
        plan, queries, page = plans(as_anna, url, query)
        found = len(page.context["list"].rows)
        if not re.search(index, plan) or _LARGE_SCAN.search(plan) or found != rows:
            wrong.append((name, query, index, found, plan))
        assert queries <= 20, (name, query)
    assert not wrong, "\n\n".join(map(str, wrong))


@pytest.mark.system
def test_the_page_reads_the_thread_and_its_neighbors_by_index(
    as_anna: Client, many: list[InboundMessage]
) -> None:
    plan, queries, page = plans(as_anna, reverse("outbox:received", args=[many[5_000].pk]), {})
    assert len(page.context["page"].thread) >= 5
    for index in ("outbox_inbound_thread", "outbox_inbound_list", "outbox_message_made_received",
                  "outbox_message_msgid", "outbox_message_made_from",
                  "outbox_inbound_replies_to"):  # fmt: skip
        assert index in plan, f"{index}\n{plan}"
    assert not _LARGE_SCAN.search(plan), plan
    assert queries <= 24


@pytest.mark.system
@pytest.mark.usefixtures("many")
def test_due_reminders_are_counted_by_index(as_anna: Client) -> None:
    plan, _queries, page = plans(as_anna, reverse("outbox:inbox"), {})
    assert "outbox_reminder_due" in plan
    assert "outbox_inbound_replies_to" in plan
    assert not _LARGE_SCAN.search(plan), plan
    assert "99+" in page.content.decode() or "more messages have no reply" in page.content.decode()

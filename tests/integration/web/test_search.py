"""Search: operators, the form, paging and cost."""

import datetime as dt
import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from outbox import api
from outbox.api.history import reply_codes
from outbox.models import Account, Message, Recipient, Role, SearchEntry, State
from outbox.models.rollup import roll_up
from outbox.models.search import index_new
from outbox.web.folders.pagination import PAGE_SIZE
from outbox.web.search import results
from outbox.web.search.query import OPERATORS
from tests.states import set_state

pytestmark = pytest.mark.every_database

SEARCH = reverse("outbox:search")
NOVEMBER = dt.datetime(2026, 11, 3, 12, tzinfo=dt.UTC)


@pytest.fixture
def mailbox(anna: User, account: Account) -> dict[str, Message]:
    """A few messages that differ in everything that can be searched."""

    def mail(to: str, subject: str, text: str, files: int = 0) -> Message:
        fields = api.DraftFields(account=account, to=to, subject=subject, text=text)
        draft = api.save_draft(anna, fields)
        for number in range(files):
            api.attach(draft, f"{number}.txt", "text/plain", b"x")
        return api.send_draft(draft, actor=anna)

    messages = {
        "figures": mail("Jane Doe <jane@example.com>", "Figures for October", "as asked", 1),
        "invoice": mail("joe@shop.example", "Invoice", "The annual report and figures"),
        "chinese": mail("li@example.cn", "东京都的会议", "会议纪要见附件"),
        "draft": api.save_draft(anna, api.DraftFields(to="jane@", subject="Unfinished figures")),
    }
    refuse(messages["invoice"], State.FAILED, 550, "5.1.1")
    refuse(messages["chinese"], State.DEFERRED, 451, "4.7.1")
    refuse(messages["figures"], State.SENT, 250, "2.0.0")
    list_at(messages["figures"], NOVEMBER)
    return messages


def refuse(mail: Message, state: State, code: int, enhanced: str) -> None:
    set_state(mail.recipients, state, reply_code=code, reply_enhanced=enhanced)
    roll_up([mail.pk], timezone.now(), "default")


def list_at(mail: Message, moment: dt.datetime) -> None:
    Message.objects.filter(pk=mail.pk).update(listed_at=moment)
    SearchEntry.objects.filter(pk=mail.pk).update(listed_at=moment)


FOUND = [
    ("figures", {"figures", "invoice", "draft"}),  # in subject and in body
    ("figu octo", {"figures"}),
    ("subject:figures", {"figures", "draft"}),
    ("body:figures", {"invoice"}),
    ('body:"annual report"', {"invoice"}),
    ('body:"report annual"', set()),
    ("to:jane", {"figures", "draft"}),
    ("to:doe", {"figures"}),
    ('to:"Jane Doe"', {"figures"}),
    ("to:jane@example.com", {"figures"}),
    ("to:@shop", {"invoice"}),
    ("to:JANE@Example.COM", {"figures"}),
    ("TO:Jane", {"figures", "draft"}),
    ("to:@SHOP.example", {"invoice"}),
    ("Joe@Shop.Example", {"invoice"}),
    ("from:anna@example.com", {"figures", "invoice", "chinese"}),
    ("from:ANNA@EXAMPLE.COM", {"figures", "invoice", "chinese"}),
    ("from:jane@example.com", set()),
    ("bcc:jane@example.com", set()),
    ("jane@exa", {"figures"}),
    ("东京", {"chinese"}),
    ("京", {"chinese"}),
    ("subject:都的会", {"chinese"}),
    ("body:纪要", {"chinese"}),
    ("东都", set()),
    ("code:5", {"invoice"}),
    ("code:550", {"invoice"}),
    ("code:5.1", {"invoice"}),
    ("code:5.1.1", {"invoice"}),
    ("code:5.11", set()),
    ("code:4", {"chinese"}),
    ("code:250", {"figures"}),
    ("code:2", {"figures"}),
    ("code:2.0 has:attachment", {"figures"}),
    ("code:2.0.1", set()),
    ("jane.doe", {"figures"}),
    ("shop.example", {"invoice"}),
    ("to:shop.exam", {"invoice"}),
    ("to:joe@shop", {"invoice"}),
    ("code:5 figures", {"invoice"}),
    ("is:failed", {"invoice"}),
    ("is:draft", {"draft"}),
    ("is:sent figures", {"figures"}),
    ("in:outbox", {"chinese"}),
    ("in:drafts figures", {"draft"}),
    ("before:2026-11-04", {"figures"}),
    ("before:2026-11-03", set()),
    ("after:2026-11-03 before:2026-11-04", {"figures"}),
    ("has:attachment", {"figures"}),
    ("from:anna subject:invoice", {"invoice"}),
    ("nowhere", set()),
    ("!!!", set()),
    ("", {"figures", "invoice", "chinese", "draft"}),
]  # fmt: skip


def names(response: object, mailbox: dict[str, Message]) -> set[str]:
    shown = {row.message.pk for row in response.context["list"].rows}  # type: ignore[attr-defined]  # the test client's
    return {name for name, mail in mailbox.items() if mail.pk in shown}


@pytest.mark.parametrize("latest", [results.LATEST, 0], ids=["among the latest", "by index"])
def test_each_line_finds(
    as_anna: Client, mailbox: dict[str, Message], monkeypatch: pytest.MonkeyPatch, latest: int
) -> None:
    look_first_at(monkeypatch, latest)
    found = [(line, names(as_anna.get(SEARCH, {"q": line}), mailbox)) for line, _ in FOUND]
    assert found == FOUND


def test_a_message_id_is_found_with_and_without_its_brackets(
    as_anna: Client, mailbox: dict[str, Message]
) -> None:
    key = mailbox["invoice"].message_id
    for line in (f"id:{key}", f"id:<{key}>"):
        assert names(as_anna.get(SEARCH, {"q": line}), mailbox) == {"invoice"}


def test_users_find_only_their_own_messages(as_ben: Client, mailbox: dict[str, Message]) -> None:
    key = mailbox["invoice"].message_id
    for line in ("figures", "to:jane", "code:550", f"id:{key}", "is:failed", ""):
        assert as_ben.get(SEARCH, {"q": line}).context["list"].rows == []


def test_the_form_is_turned_into_a_line(as_anna: Client, mailbox: dict[str, Message]) -> None:
    fields = {
        "fields": "1", "q": "tag:x", "words": 'a "b c"', "to": "jane", "code": "5.1",
        "state": "failed", "before": "2026-11-04", "has_files": "on", "message_id": "<m@x>",
    }  # fmt: skip
    response = as_anna.get(SEARCH, fields, follow=True)
    assert response.context["line"] == (
        'a "b c" to:jane tag:x code:5.1 id:m@x is:failed before:2026-11-04 has:attachment'
    )
    shown = response.content.decode()
    assert 'value="2026-11-04"' in shown
    assert 'value="jane"' in shown
    assert "a &quot;b c&quot;" in shown


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [("code", "abc", "not a reply code"), ("before", "yesterday", "Enter a valid date")],
)
def test_an_invalid_field_has_an_error_and_keeps_its_value(
    as_anna: Client, field: str, value: str, error: str
) -> None:
    response = as_anna.get(SEARCH, {"fields": "1", field: value})
    assert response.status_code == 422
    page = response.content.decode()
    assert error in page
    assert f'value="{value}"' in page


def test_an_invalid_line_has_an_error_and_no_results(
    as_anna: Client, mailbox: dict[str, Message]
) -> None:
    response = as_anna.get(SEARCH, {"q": "before:soon figures"})
    assert "“soon” is not a date" in response.content.decode()
    assert "list" not in response.context
    assert "before:soon figures" in response.content.decode()


def look_first_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(results, "LATEST", count)
    monkeypatch.setattr(results, "LATEST_TEXTS", count)


def many(anna: User, account: Account, count: int) -> None:
    """Queue messages as an app does."""
    head = b"From: a@example.com\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
    api.queue_ids(
        api.Outgoing(
            source=head + b"Subject: Mail\r\n\r\ntext\r\n",
            envelope_sender="",
            recipients=[api.OutgoingRecipient("jane@example.com")],
            account=account,
            owner=anna,
            subject=f"Mail {number}",
        )
        for number in range(count)
    )
    index_new("default", count + 1)


def a_minute_apart(person: User) -> None:
    """List the messages at different times, as if they were queued one by one."""
    mine = Message.objects.visible_to(person).order_by("pk")
    for number, pk in enumerate(mine.values_list("pk", flat=True)):
        moment = NOVEMBER + dt.timedelta(minutes=number)
        Message.objects.filter(pk=pk).update(listed_at=moment)
        SearchEntry.objects.filter(pk=pk).update(listed_at=moment)


@pytest.mark.parametrize(
    "latest",
    [0, 10, results.LATEST],
    ids=["by index", "as far as it must be", "among the latest"],
)
@pytest.mark.parametrize("line", ["subject:mail", "code:2", "in:sent", "is:sent to:jane"])
def test_results_are_paged_without_gap(
    anna: User,
    as_anna: Client,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    latest: int,
    line: str,
) -> None:
    look_first_at(monkeypatch, latest)
    many(anna, account, 2 * PAGE_SIZE + 7)
    a_minute_apart(anna)
    all_sent(anna)
    pages, query = [], {"q": line}
    for _ in range(3):
        pages.append(as_anna.get(SEARCH, query))
        query = {"q": line, "before": pages[-1].context["list"].slice.older}
    keys = [[row.message.pk for row in page.context["list"].rows] for page in pages]
    assert [len(page) for page in keys] == [PAGE_SIZE, PAGE_SIZE, 7]
    flat = [key for page in keys for key in page]
    assert flat == sorted(set(flat), reverse=True)
    back = {"q": line, "after": pages[2].context["list"].slice.newer}
    assert [row.message.pk for row in as_anna.get(SEARCH, back).context["list"].rows] == keys[1]


def all_sent(person: User) -> None:
    """Mark every message as accepted."""
    keys = list(Message.objects.visible_to(person).values_list("pk", flat=True))
    set_state(
        Recipient.objects.filter(message__in=keys),
        State.SENT,
        reply_code=250,
        reply_enhanced="2.0.0",
    )
    roll_up(keys, timezone.now(), "default")


def test_frequent_results_are_not_searched_further_than_necessary(
    anna: User, as_anna: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_first_at(monkeypatch, 10)
    many(anna, account, 300)
    a_minute_apart(anna)

    with CaptureQueriesContext(connection) as asked:
        page = as_anna.get(SEARCH, {"q": "subject:mail"})

    assert len(page.context["list"].rows) == PAGE_SIZE
    searched = [query["sql"] for query in asked if "outbox_searchentry" in query["sql"]]
    assert len(searched) == 2  # the latest ten, then a stretch; not all
    assert searched[1].count('"listed_at" >=') == 2  # of the entries, and of the messages


@pytest.mark.skipif(connection.vendor != "postgresql", reason="plans are those of PostgreSQL")
def test_the_latest_messages_without_the_term_are_not_read(
    anna: User, as_anna: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_first_at(monkeypatch, 100)
    many(anna, account, 300)
    a_minute_apart(anna)
    with CaptureQueriesContext(connection) as asked:
        as_anna.get(SEARCH, {"q": "subject:nothing"})
    first = next(query["sql"] for query in asked if "outbox_searchentry" in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox_message, outbox_searchentry")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {first}")
        plan = [row[0] for row in cursor.fetchall()]
    of_messages = [line for line in plan if re.search(r"\bon outbox_message\b", line)]
    assert of_messages
    assert all("never executed" in line for line in of_messages), "\n".join(plan)
    blocks = re.search(r"shared hit=(\d+)", plan[1])
    assert blocks
    assert int(blocks[1]) < 2 * 101 + 20, "\n".join(plan)  # an index and a row for each entry


@pytest.mark.parametrize("latest", [results.LATEST, 0], ids=["among the latest", "by index"])
def test_newer_messages_to_a_person_do_not_hide_an_older_copy(
    anna: User,
    as_anna: Client,
    account: Account,
    mailbox: dict[str, Message],
    monkeypatch: pytest.MonkeyPatch,
    latest: int,
) -> None:
    look_first_at(monkeypatch, latest)
    Recipient.objects.filter(message=mailbox["figures"]).update(role=Role.CC)
    many(anna, account, PAGE_SIZE + 7)  # to the same person
    page = as_anna.get(SEARCH, {"q": "cc:jane@example.com"})
    assert names(page, mailbox) == {"figures"}


@pytest.mark.parametrize("line", ["code:5", "code:5.1", "code:550", "code:2", "code:4"])
def test_too_many_different_replies_are_searched_by_pattern(
    as_anna: Client, mailbox: dict[str, Message], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    look_first_at(monkeypatch, 0)
    monkeypatch.setattr(reply_codes, "MOST", 1)
    assert names(as_anna.get(SEARCH, {"q": line}), mailbox) == dict(FOUND)[line]


LINES = (
    "", "mail", "to:jane", "nowhere", "subject:mail to:jane", "body:text", "from:a",
    "code:5", "code:250", "code:2 mail", "is:queued", "is:bounced", "is:queued to:jane",
    "in:outbox", "after:2026-01-01", "before:2026-01-01", "id:x@y", "tag:x", "has:attachment",
)  # fmt: skip


@pytest.mark.system
@pytest.mark.parametrize("latest", [0, results.LATEST], ids=["by index", "among the latest"])
def test_searches_take_the_same_queries_in_a_larger_mailbox(
    anna: User,
    as_anna: Client,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    latest: int,
) -> None:
    look_first_at(monkeypatch, latest)
    for count in (3, 60):
        many(anna, account, count)
        for line in LINES:
            # Nine as for every list, three to find, and one for the replies there are.
            with django_assert_max_num_queries(13 if "code:" in line else 12, info=line):
                as_anna.get(SEARCH, {"q": line})


def test_results_refresh_themselves(as_anna: Client, mailbox: dict[str, Message]) -> None:
    page = as_anna.get(SEARCH, {"q": "code:4"})
    assert b"hx-trigger" in page.content
    seen = page.context["list"].fingerprint
    rows = reverse("outbox:search-rows")
    assert as_anna.get(rows, {"q": "code:4", "seen": seen}).status_code == 204
    set_state(Recipient.objects.filter(message=mailbox["chinese"]), State.SENT)
    roll_up([mailbox["chinese"].pk], timezone.now(), "default")
    changed = as_anna.get(rows, {"q": "code:4", "seen": seen})
    assert changed.status_code == 200


def test_markup_in_a_line_is_shown_as_text(as_anna: Client) -> None:
    line = "\"><script>alert(1)</script> to:'; DROP TABLE x; --\x00\u202e"
    response = as_anna.get(SEARCH, {"q": line})
    assert response.status_code == 200
    assert b"<script>alert" not in response.content


def test_unknown_operator_is_named_and_searched_as_text(as_anna: Client) -> None:
    page = as_anna.get(reverse("outbox:search"), {"q": "label:jane"}).content.decode()
    assert "“label:” is not a search field. It was searched for as text." in page
    assert "No results" in page


def test_operator_without_a_value_lists_nothing(as_anna: Client) -> None:
    response = as_anna.get(reverse("outbox:search"), {"q": "to:"})
    assert "list" not in response.context
    assert "“to:” needs a value" in response.content.decode()


def test_every_operator_is_in_the_help(as_anna: Client) -> None:
    page = as_anna.get(reverse("outbox:search")).content.decode()
    for name in OPERATORS:
        assert f"<code>{name}:" in page

"""The sent history: its list, filters, search and pages."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.admin import readonly
from outbox.mail.server_replies import FailureKind, normalized_reply
from outbox.models import Account, Message, Origin, Recipient, SiteEntry, State
from outbox.models.reply_group import store
from outbox.models.rollup import roll_up
from outbox.models.search import index_new, reindex
from tests.integration.admin.conftest import SOURCE
from tests.states import set_state

LIST = "/admin/outbox/message/"
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


def queue(account: Account, subject: str, *addresses: str, **options: Any) -> Message:
    """Queue one message as an app does."""
    outgoing = api.Outgoing(
        source=SOURCE,
        envelope_sender=account.from_address,
        recipients=[api.OutgoingRecipient(address) for address in addresses],
        account=account,
        from_header=account.from_address,
        subject=subject,
        **options,
    )
    return api.queue_sources([outgoing])[0]


def end(address: str, state: State, **reply: Any) -> None:
    set_state(Recipient.objects.filter(address=address), state, **reply)


@pytest.fixture
def history(account: Account) -> None:
    """Six messages, the newest first in the tests' names: f, e, d, c, b, a."""
    other = Account.objects.create(name="other", from_address="o@example.com", host="h")
    owner = User.objects.create_user("owner")
    made = [
        queue(account, "Annual report a", "ann@gmail.com", message_id="a1@example.com"),
        queue(account, "Invoice 77-12 b", "ben@example.org", "bo@sub.example.org", tags=["Shop"]),
        queue(account, "Invoice c", "cid@example.net", owner=owner),
        queue(other, "Note d", "dan@googlemail.com", origin=Origin.BACKEND),
        queue(account, "项目报告 e", "eva@example.org"),
        queue(account, "Invoice reminder f", "ann.fox@example.org"),
    ]
    for number, message in enumerate(made):
        at = NOW + dt.timedelta(days=number)
        Message.objects.filter(pk=message.pk).update(listed_at=at)
    end("ann@gmail.com", State.SENT, reply_code=250, remote_queue_id="4Qx9ABC")
    end("bo@sub.example.org", State.FAILED, reply_code=550, reply_enhanced="5.1.1")
    end("cid@example.net", State.DEFERRED, reply_code=451, reply_enhanced="4.7.1", attempts=1)
    end("dan@googlemail.com", State.UNCERTAIN, attempts=1)
    end("eva@example.org", State.EXPIRED, ended_as=State.EXPIRED, attempts=1)
    end("ann.fox@example.org", State.SENDING)
    reply = normalized_reply(550, "5.1.1", "<bo@sub.example.org>: mailbox is full, try later")
    store([(reply, FailureKind.RECIPIENT)], "default")
    Recipient.objects.filter(address="bo@sub.example.org").update(reply_key=reply.key)
    roll_up(list(Message.objects.values_list("pk", flat=True)), timezone.now(), "default")
    index_new("default", 10)


def found(client: Client, **query: Any) -> str:
    """Return the last letters of the subjects that the list shows, in its order."""
    response: Any = client.get(LIST, query)
    assert response.status_code == 200, response["Location"]
    return "".join(message.subject[-1] for message in response.context["cl"].result_list)


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, "fedcba", id="everything"),
        pytest.param({"state": "sent"}, "a", id="sent"),
        pytest.param({"state": "queued"}, "b", id="queued, and not being sent"),
        pytest.param({"state": "sending"}, "f", id="sending"),
        pytest.param({"state": "deferred"}, "c", id="deferred"),
        pytest.param({"state": "uncertain"}, "d", id="uncertain only"),
        pytest.param({"state": "failed"}, "e", id="failed"),
        pytest.param({"state": "expired"}, "e", id="expired"),
        pytest.param({"state": "bounced"}, "", id="bounced"),
        pytest.param({"state": "failures"}, "eb", id="with a failed recipient, open or not"),
        pytest.param({"state": "draft"}, "", id="drafts are not shown"),
        pytest.param({"code": "550"}, "b", id="code"),
        pytest.param({"code": "5"}, "b", id="class"),
        pytest.param({"code": "5.1"}, "b", id="beginning of an enhanced code"),
        pytest.param({"code": "4.7.1"}, "c", id="enhanced code"),
        pytest.param({"code": "5.7"}, "", id="code of no message"),
        pytest.param({"code": "junk"}, "", id="not a code"),
        pytest.param({"domain": "example.org"}, "feb", id="domain"),
        pytest.param({"domain": "@EXAMPLE.org"}, "feb", id="domain with its sign"),
        pytest.param({"domain": "sub.example.org"}, "b", id="domain of the second recipient"),
        pytest.param({"domain": "example"}, "", id="not a part of a domain"),
        pytest.param({"provider": "smtp.gmail.com"}, "da", id="provider"),
        pytest.param({"provider": "unknown"}, "", id="unknown provider"),
        pytest.param({"origin": "backend"}, "d", id="origin"),
        pytest.param({"tag": "shop"}, "b", id="tag"),
        pytest.param({"tag": "sho"}, "", id="not a part of a tag"),
        pytest.param({"since": "2026-11-23"}, "fed", id="since a day"),
        pytest.param({"until": "2026-11-21"}, "ba", id="until a day"),
        pytest.param({"since": "2026-11-21", "until": "2026-11-22"}, "cb", id="days"),
        pytest.param({"since": "2026-02-31"}, "", id="not a day"),
        pytest.param({"until": "9999-12-31"}, "fedcba", id="the last day"),
        pytest.param({"domain": "example.org", "code": "5"}, "b", id="two filters"),
        pytest.param({"domain": "example.org", "since": "2026-11-23"}, "fe", id="domain and day"),
        pytest.param({"q": "ann@gmail.com"}, "a", id="address"),
        pytest.param({"q": "ANN@GMAIL.com"}, "a", id="address in another case"),
        pytest.param({"q": "ann"}, "fa", id="beginning of an address, and a subject's word"),
        pytest.param({"q": "to:ann"}, "fa", id="recipient only"),
        pytest.param({"q": "nn"}, "", id="not inside an address"),
        pytest.param({"q": "@example.org"}, "feb", id="domain in the search"),
        pytest.param({"q": "invoice"}, "fcb", id="word"),
        pytest.param({"q": "inv"}, "fcb", id="beginning of a word"),
        pytest.param({"q": "nvoice"}, "", id="not inside a word"),
        pytest.param({"q": "reminder invoice"}, "f", id="two words"),
        pytest.param({"q": '"reminder invoice"'}, "", id="phrase in another order"),
        pytest.param({"q": "77-12"}, "b", id="number with a sign"),
        pytest.param({"q": "报告"}, "e", id="Chinese"),
        pytest.param({"q": "subject:annual"}, "a", id="subject only"),
        pytest.param({"q": "subject:ben"}, "", id="no recipient among subjects"),
        pytest.param({"q": "<a1@example.com>"}, "a", id="Message-ID"),
        pytest.param({"q": "id:a1@example.com"}, "a", id="Message-ID only"),
        pytest.param({"q": "4Qx9ABC"}, "a", id="queue id"),
        pytest.param({"q": "queue:4Qx9ABC"}, "a", id="queue id only"),
        pytest.param({"q": "queue:4Qx9"}, "", id="not a part of a queue id"),
        pytest.param({"q": "reply:full mailbox"}, "b", id="words of a reply"),
        pytest.param({"q": 'reply:"full mailbox"'}, "", id="phrase that no reply has"),
        pytest.param({"q": "reply:greylisted"}, "", id="words of no reply"),
        pytest.param({"q": "reply:full", "state": "sent"}, "", id="reply and state"),
        pytest.param({"q": "to:"}, "", id="prefix without a text"),
        pytest.param({"q": "invoice", "code": "5"}, "b", id="word and code"),
        pytest.param({"q": "ann", "state": "sent"}, "a", id="address and state"),
        pytest.param({"q": " "}, "fedcba", id="blank"),
        pytest.param({"q": '"'}, "", id="a sign alone"),
        pytest.param({"q": "%_\\'"}, "", id="wildcards"),
    ],
)
def test_the_list_is_filtered_and_searched_by(
    query: dict[str, str], expected: str, staff: Client
) -> None:
    assert found(staff, **query) == expected


@pytest.mark.usefixtures("history")
def test_an_action_on_all_pages_concerns_what_the_list_shows(staff: Client) -> None:
    for query in ({"q": "ann"}, {"code": "5.1"}, {"domain": "example.org"}, {"state": "failures"}):
        response: Any = staff.get(LIST, query)
        changelist = response.context["cl"]
        listed = {message.pk for message in changelist.result_list}
        assert listed
        assert set(changelist.queryset.values_list("pk", flat=True)) == listed


@pytest.mark.usefixtures("history")
def test_an_account_is_chosen_while_there_are_few_and_typed_otherwise(
    staff: Client, account: Account
) -> None:
    other = Account.objects.get(name="other")
    assert found(staff, account=other.pk) == "d"
    assert "example.com" in staff.get(LIST).content.decode()
    Account.objects.bulk_create(
        Account(name=f"more {number}", from_address="m@example.com", host="h")
        for number in range(20)
    )

    assert found(staff, account="Other") == "d"
    assert found(staff, account="missing") == ""


@pytest.mark.usefixtures("history")
def test_pages_lead_to_each_other_and_to_both_ends(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly.ReadOnlyAdmin, "list_per_page", 2)

    def go(url: str) -> tuple[str, Any]:
        response: Any = staff.get(f"{LIST}{url}")
        changelist = response.context["cl"]
        return "".join(one.subject[-1] for one in changelist.result_list), changelist

    shown, first = go("?")
    assert (shown, first.newest_url, first.newer_url) == ("fe", None, None)
    shown, second = go(first.older_url)
    assert shown == "dc"
    shown, last = go(second.older_url)
    assert (shown, last.older_url, last.oldest_url) == ("ba", None, None)
    assert go(last.newer_url)[0] == "dc"
    assert go(go(last.newer_url)[1].newer_url)[0] == "fe"
    assert go(first.oldest_url)[0] == "ba"
    assert go(last.newest_url)[0] == "fe"
    # A filter and a search stay, and the position in the list is not kept by a new search.
    shown, filtered = go("?domain=example.org&q=invoice")
    assert shown == "fb"
    shown, filtered = go("?domain=example.org")
    assert (shown, go(filtered.older_url)[0]) == ("fe", "b")
    assert 'name="before"' not in staff.get(LIST + second.older_url).content.decode()
    for nonsense in ("?before=x", "?after=1-", "?before=99999999999999999-1", "?p=7"):
        assert go(nonsense)[0] == "fe"


@pytest.mark.usefixtures("history")
def test_a_page_remains_reachable_after_messages_around_it_are_deleted(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readonly.ReadOnlyAdmin, "list_per_page", 2)

    def go(url: str) -> tuple[str, Any]:
        response: Any = staff.get(f"{LIST}{url}")
        changelist = response.context["cl"]
        return "".join(one.subject[-1] for one in changelist.result_list), changelist

    second = go(go("?")[1].older_url)[1]
    Message.objects.filter(subject__endswith="c").delete()  # the row of the cursor
    shown, last = go(second.older_url)
    assert (shown, last.oldest_url) == ("ba", None)
    Message.objects.filter(subject__regex="[ab]$").delete()  # all that was below it
    shown, oldest = go(second.older_url)
    assert (shown, oldest.older_url, oldest.oldest_url) == ("ed", None, None)
    assert go(oldest.newer_url)[0] == "fe"  # less than a page is above
    Message.objects.all().delete()
    assert go(second.older_url)[0] == go(last.newer_url)[0] == ""


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("query", ["?", "?q=subject:report", "?domain=x.example"])
def test_messages_of_the_same_time_are_paged_without_gap(
    staff: Client, account: Account, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(readonly.ReadOnlyAdmin, "list_per_page", 3)
    made = [queue(account, f"Report {number}", f"r{number}@x.example") for number in range(7)]
    index_new("default", 100)
    Message.objects.update(listed_at=NOW)
    SiteEntry.objects.update(listed_at=NOW)
    pages: list[list[int]] = []
    url = query
    while url:
        changelist: Any = staff.get(f"{LIST}{url}").context["cl"]
        pages.append([one.pk for one in changelist.result_list])
        url = changelist.older_url
    back: list[list[int]] = []
    url = changelist.newer_url
    while url:
        changelist = staff.get(f"{LIST}{url}").context["cl"]
        back.append([one.pk for one in changelist.result_list])
        url = changelist.newer_url

    flat = [pk for page in pages for pk in page]
    assert flat == sorted(set(flat), reverse=True)
    assert set(flat) >= {one.pk for one in made}
    assert {pk for page in back for pk in page} == {pk for page in pages[:-1] for pk in page}


@pytest.mark.usefixtures("history")
def test_a_row_shows_the_state_the_recipients_and_the_last_reply(staff: Client) -> None:
    shown = staff.get(LIST, {"q": "77-12"}).content.decode()

    assert "ben<wbr>@example.org, bo<wbr>@sub.example.org" in shown
    assert ">550 5.1.1<" in shown
    assert 'class="chip ' in shown
    assert "in 0" not in shown


@pytest.mark.usefixtures("history")
def test_no_list_counts_or_takes_more_queries_for_more_rows(
    staff: Client, account: Account
) -> None:
    def queries(**query: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert staff.get(LIST, query).status_code == 200
        return [one["sql"] for one in captured.captured_queries]

    few = [len(queries()), len(queries(q="report"))]
    for number in range(60):
        queue(account, f"More report {number}", "x@example.org")
    index_new("default", 100)

    assert len(queries()) == few[0]
    assert len(queries(q="report")) <= few[1]  # the latest messages are enough now
    for sql in queries(q="ann", domain="example.org", code="5"):
        assert "COUNT(*)" not in sql
        assert "outbox_source" not in sql


def test_messages_from_before_the_update_are_found_after_a_reindex(
    staff: Client, account: Account
) -> None:
    message = queue(account, "Invoice a", "a@example.org")
    index_new("default", 10)
    SiteEntry.objects.all().delete()
    assert found(staff, domain="example.org") == ""

    list(reindex("default", 10))

    assert found(staff, domain="example.org") == "a"
    assert SiteEntry.objects.get().listed_at == message.listed_at


@pytest.mark.parametrize("path", ["attempt", "recipient", "destination", "worker", "auditentry"])
def test_other_lists_are_paged_by_key_as_well(path: str, staff: Client, tried: Message) -> None:
    with CaptureQueriesContext(connection) as captured:
        response: Any = staff.get(f"/admin/outbox/{path}/")

    assert response.status_code == 200
    assert not any("COUNT(" in one["sql"] for one in captured.captured_queries)
    assert "outbox-pages" in response.content.decode()

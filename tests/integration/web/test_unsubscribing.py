"""The address of List-Unsubscribe: only a POST has an effect, and only the link counts."""

import datetime as dt
import logging
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from outbox import api
from outbox.models import Account, AuditAction, AuditEntry, Recipient, State, Suppression
from outbox.models.secrets import make_token
from outbox.models.suppression import ERASED_ADDRESS, keys_of, name_of
from outbox.web.monitoring.metrics import metrics

ANN = "ann@example.com"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": "https://mail.example.com"}


@pytest.fixture
def link(account: Account) -> str:
    """The path of the link in a message to Ann."""
    return link_in(api.send(to=ANN, text="News", account=account, unsubscribe=True))


@pytest.fixture
def link_of_list(account: Account) -> str:
    """The path of the link in a message of a newsletter to Ann."""
    return link_in(api.send(to=ANN, text="News", account=account, unsubscribe="news"))


def link_in(handle: api.Handle) -> str:
    header = next(
        line for line in handle.message().source.read().decode().replace("\r\n ", "").split("\r\n")
        if line.startswith("List-Unsubscribe:")
    )  # fmt: skip
    return header.partition("https://mail.example.com")[2].rstrip(">")


def recorded() -> list[str]:
    actions = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    return [action for action in actions if "suppressed" in action]


def page(response: Any) -> str:
    return str(response.content.decode())


@pytest.mark.parametrize(
    "body",
    [
        {"data": "List-Unsubscribe=One-Click", "content_type": "application/x-www-form-urlencoded"},
        {"data": ONE_CLICK},  # multipart, which RFC 8058 3.2 prefers
    ],
    ids=["urlencoded", "multipart"],
)
def test_one_click_suppresses_the_address(
    link: str, account: Account, body: dict[str, Any]
) -> None:
    response = Client(enforce_csrf_checks=True).post(link, **body)

    assert response.status_code == HTTPStatus.OK  # RFC 8058 3.1: no redirect
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert not response.cookies
    entry = Suppression.objects.get()
    assert (entry.address, entry.account) == (ANN, account)
    assert (name_of(entry.reason), entry.until) == ("unsubscribed", None)
    assert "One-click" in entry.evidence
    assert recorded() == [AuditAction.SUPPRESSED]
    # What waits is held, and so is what follows.
    assert Recipient.objects.get().state == State.HELD
    assert set(api.send(to=ANN, text="x", account=account).suppressed) == {ANN}


@pytest.mark.every_database
def test_one_click_is_about_the_list_of_the_message(link_of_list: str, account: Account) -> None:
    notice = api.send(to=ANN, text="Confirmed", account=account)
    for _ in range(2):
        assert Client().post(link_of_list, ONE_CLICK).status_code == HTTPStatus.OK
    entry = Suppression.objects.get()
    assert (entry.address, entry.account, entry.tag) == (ANN, account, "news")
    assert recorded() == [AuditAction.SUPPRESSED]
    states = Recipient.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.HELD, State.QUEUED]
    assert notice.message().recipients.get().state == State.QUEUED
    assert api.send(to=ANN, text="x", account=account).suppressed == ()
    with_link = api.send(to=ANN, text="x", account=account, unsubscribe="news")
    with_tag = api.send(to=ANN, text="x", account=account, tags=["news"])
    assert set(with_link.suppressed) == set(with_tag.suppressed) == {ANN}


def test_the_page_of_a_list_names_it(link_of_list: str) -> None:
    client = Client()
    assert "of the list “<bdi>news</bdi>” from" in page(client.get(link_of_list))
    found = page(client.post(link_of_list, {"action": "unsubscribe"}))
    assert "No more messages of the list “<bdi>news</bdi>” from" in found
    chinese = page(client.get(link_of_list, headers={"Accept-Language": "zh-hans"}))
    assert "列表“<bdi>news</bdi>”" in chinese
    found = page(client.post(link_of_list, {"action": "subscribe"}))
    assert "Messages of the list “<bdi>news</bdi>” from" in found
    assert not Suppression.objects.exists()


def test_a_link_of_a_list_leaves_an_entry_for_all_messages_alone(
    link: str, link_of_list: str
) -> None:
    client = Client()
    client.post(link, ONE_CLICK)
    found = page(client.post(link_of_list, {"action": "unsubscribe"}))
    assert "You are unsubscribed" in found
    assert "Subscribe again" not in found
    response = client.post(link_of_list, {"action": "subscribe"})
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert set(Suppression.objects.values_list("tag", flat=True)) == {"", "news"}
    # The request for the list stays when the other one is undone.
    client.post(link, {"action": "subscribe"})
    assert Suppression.objects.get().tag == "news"
    # And the other way: the user wants nothing at all.
    assert "Unsubscribe?" in page(client.get(link))
    client.post(link, ONE_CLICK)
    assert set(Suppression.objects.values_list("tag", flat=True)) == {"", "news"}


def test_a_repeated_request_changes_nothing(link: str) -> None:
    statuses = {Client().post(link, ONE_CLICK).status_code for _ in range(3)}
    assert statuses == {HTTPStatus.OK}
    assert Suppression.objects.count() == 1
    assert recorded() == [AuditAction.SUPPRESSED]


def test_a_link_works_after_its_message_was_removed(link: str) -> None:
    Recipient.objects.all().delete()
    assert Client().post(link, ONE_CLICK).status_code == HTTPStatus.OK
    assert Suppression.objects.get().address == ANN


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_the_link_does_nothing(link: str, method: str) -> None:
    """Link scanners follow links, and browsers prefetch them."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = getattr(Client(), method)(link, headers={"Purpose": "prefetch"})
    assert response.status_code == HTTPStatus.OK
    assert not [one["sql"] for one in queries if not one["sql"].startswith("SELECT")]
    assert not response.cookies
    assert "no-store" in response["Cache-Control"]
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("method", ["put", "delete", "patch", "options"])
def test_no_other_method_has_an_effect(link: str, method: str) -> None:
    response = getattr(Client(), method)(link, "List-Unsubscribe=One-Click")
    assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert not Suppression.objects.exists()


def test_the_page_names_the_sender_and_what_will_happen(link: str) -> None:
    found = page(Client().get(link))
    assert "Anna &lt;anna@example.com&gt;" in found
    assert "a…@example.com" in found  # another person at the screen does not learn it
    assert ANN not in found
    assert '<form method="post">' in found


def test_a_link_works_for_a_sender_whose_address_does_not_parse(
    link: str, account: Account
) -> None:
    Account.objects.filter(pk=account.pk).update(from_address="broken@")
    assert "broken@" in page(Client().get(link))
    assert "You are unsubscribed" in page(Client().post(link, {"action": "unsubscribe"}))
    assert Suppression.objects.get().address == ANN


def test_the_button_of_the_page_needs_no_cookie(link: str) -> None:
    response = Client(enforce_csrf_checks=True).post(link, {"action": "unsubscribe"})
    assert response.status_code == HTTPStatus.OK
    assert "You are unsubscribed" in page(response)
    assert "Page of the link" in Suppression.objects.get().evidence
    assert "You are unsubscribed" in page(Client().get(link))


def test_the_page_is_in_the_language_of_the_reader(link: str) -> None:
    found = page(Client().get(link, headers={"Accept-Language": "zh-CN,zh;q=0.9"}))
    assert '<html lang="zh-hans"' in found
    assert "退订" in found


@pytest.mark.parametrize("body", [{}, {"action": "x"}, {"List-Unsubscribe": "Two-Clicks"}])
def test_a_post_that_names_no_action_does_nothing(link: str, body: dict[str, str]) -> None:
    assert Client().post(link, body).status_code == HTTPStatus.BAD_REQUEST
    assert not Suppression.objects.exists()


def test_the_undo_is_offered_right_after(link: str) -> None:
    client = Client()
    assert "Subscribe again" in page(client.post(link, {"action": "unsubscribe"}))
    response = client.post(link, {"action": "subscribe"})
    assert response.status_code == HTTPStatus.OK
    assert "You are subscribed again" in page(response)
    assert not Suppression.objects.exists()
    assert recorded() == [AuditAction.SUPPRESSED, AuditAction.UNSUPPRESSED]
    # It is not an error where there is nothing to undo.
    assert client.post(link, {"action": "subscribe"}).status_code == HTTPStatus.OK


def test_an_old_link_does_not_subscribe_again(link: str) -> None:
    client = Client()
    client.post(link, {"action": "unsubscribe"})
    entry = Suppression.objects.get()
    Suppression.objects.update(since=entry.since - dt.timedelta(hours=1, minutes=1))
    assert "Subscribe again" not in page(client.get(link))
    assert client.post(link, {"action": "subscribe"}).status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert Suppression.objects.exists()


@pytest.mark.parametrize("reason", ["unsubscribed", "complained", "bounced", "manual"])
def test_a_link_removes_only_what_it_added(link: str, account: Account, reason: str) -> None:
    api.suppress(ANN, account=account, reason=reason, evidence="Asked by telephone")
    response = Client().post(link, {"action": "subscribe"})
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert Suppression.objects.exists()


@pytest.mark.parametrize("first", [{"action": "unsubscribe"}, ONE_CLICK], ids=["page", "click"])
@pytest.mark.parametrize("reason", ["bounced", "manual", "Asked by telephone"])
def test_a_link_does_not_remove_what_it_replaced(
    link: str, account: Account, reason: str, first: dict[str, str]
) -> None:
    api.suppress(ANN, account=account, reason=reason)
    client = Client()
    client.post(link, first)
    assert "Subscribe again" not in page(client.get(link))
    assert client.post(link, {"action": "subscribe"}).status_code == HTTPStatus.TOO_MANY_REQUESTS
    entry = Suppression.objects.get()
    assert name_of(entry.reason) == "unsubscribed"
    assert reason in entry.evidence


@pytest.mark.parametrize("reason", ["bounced", "manual"])
def test_an_entry_whose_address_was_erased_is_followed_by_one_of_the_link(
    link: str, account: Account, reason: str
) -> None:
    erased(account, reason)
    client = Client()
    assert "Unsubscribe?" in page(client.get(link))
    for _ in range(2):
        assert "You are unsubscribed" in page(client.post(link, {"action": "unsubscribe"}))
    assert Suppression.objects.count() == 2
    assert recorded() == [AuditAction.SUPPRESSED] * 2
    assert client.post(link, {"action": "subscribe"}).status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert Suppression.objects.count() == 2


def erased(account: Account, reason: str) -> Suppression:
    entry = api.suppress(ANN, account=account, reason=reason)
    entry.address, entry.folded = ERASED_ADDRESS, keys_of(ANN)[1]
    entry.save()
    return entry


def test_a_link_does_not_fill_the_audit_log(link: str) -> None:
    """Unsubscribing and subscribing alternate a few times, and not without an end."""
    for _ in range(10):
        Client().post(link, ONE_CLICK)
        Client().post(link, {"action": "subscribe"})
    assert recorded().count(AuditAction.UNSUPPRESSED) == 3
    assert Suppression.objects.exists()  # the last word is the safe one


@pytest.mark.parametrize(
    ("reason", "after"),
    [
        ("bounced", "unsubscribed"),  # a corrected bounce would subscribe the address again
        ("manual", "unsubscribed"),
        ("complained", "complained"),
        ("unsubscribed", "unsubscribed"),
    ],
)
def test_an_entry_that_exists(link: str, account: Account, reason: str, after: str) -> None:
    api.suppress(ANN.upper(), account=account, reason=reason)
    Client().post(link, ONE_CLICK)
    assert name_of(Suppression.objects.get().reason) == after


def test_an_entry_that_ends_becomes_one_that_does_not(link: str, account: Account) -> None:
    until = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
    api.suppress(ANN, account=account, reason="unsubscribed", until=until)
    Client().post(link, ONE_CLICK)
    assert Suppression.objects.get().until is None


def test_a_link_is_about_its_own_account_and_address(link: str, account: Account) -> None:
    other = Account.objects.create(name="Other", from_address="b@example.com", host="localhost")
    Client().post(link, ONE_CLICK)
    assert not api.suppressed([ANN], other)
    assert not api.suppressed(["ben@example.com"], account)
    assert not api.suppressed([ANN])  # nor the whole site's


def changed(token: str) -> str:
    """Change a character in the middle: the last one has bits that are not decoded."""
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    return f"{token[:middle]}{other}{token[middle + 1 :]}"


def test_invalid_links_look_the_same_and_query_nothing(link: str, account: Account) -> None:
    gone = make_token(f"{account.pk + 1000} {ANN}", "outbox.unsubscribe")
    tokens = [
        changed(link.split("/")[-2]),
        "x",
        "1",
        "A" * 5_000,
        make_token(ANN, "other"),
        gone,
    ]
    bodies = set()
    for token in tokens:
        address = reverse("outbox:unsubscribe", args=[token])
        for response in (Client().get(address), Client().post(address, ONE_CLICK)):
            assert response.status_code == HTTPStatus.NOT_FOUND
            bodies.add(page(response))
    assert len(bodies) == 1
    with CaptureQueriesContext(connection) as queries:
        Client().post(reverse("outbox:unsubscribe", args=[tokens[0]]), ONE_CLICK)
    assert not queries.captured_queries
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("size", [5_000, 500_000, 20_000_000])
def test_a_large_body_is_not_read(link: str, size: int) -> None:
    body = b"List-Unsubscribe=One-Click&x=" + b"x" * size
    response = Client().post(link, body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert not Suppression.objects.exists()


def test_no_link_is_logged(link: str, account: Account, caplog: pytest.LogCaptureFixture) -> None:
    """The link works for the person who has it, also when it led to an error."""
    api.suppress(ANN, account=account)
    caplog.set_level(logging.DEBUG, logger="django.request")
    responses = [
        Client().post(link, {}),
        Client().post(link, {"action": "subscribe"}),
        Client().put(link),
        Client().post(link, {"x": "x" * 5_000}),
    ]
    assert [one.status_code for one in responses] == [400, 429, 405, 413]
    assert not [record for record in caplog.records if link in record.getMessage()]


def test_the_page_says_unsubscribed_only_where_it_is_true(link: str, account: Account) -> None:
    api.suppress(ANN, account=account, reason="bounced")
    found = page(Client().post(link, {"action": "subscribe"}))
    assert "This link can no longer subscribe you again" in found
    assert "You are unsubscribed" not in found
    assert "Unsubscribe?" in found


def test_requests_of_machines_need_no_login(link: str, settings: Any) -> None:
    """A project may demand a login for all of its pages."""
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, required]
    client = Client()
    assert client.post(link, ONE_CLICK).status_code == HTTPStatus.OK
    assert client.post(reverse("outbox:sns")).status_code == HTTPStatus.NOT_FOUND  # no topic is set
    assert client.get(reverse("outbox:inbox")).status_code == HTTPStatus.FOUND
    assert not getattr(metrics, "login_required", True)


def test_a_hostile_name_of_a_sender_is_text(link: str, account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(from_name="<b>Bank</b>\u202e")
    found = page(Client().get(link))
    assert "<b>" not in found
    assert "\u202e" not in found


def test_a_signed_in_user_sees_nothing_more(link: str, anna: User) -> None:
    client = Client()
    client.force_login(anna)
    assert "anna</span>" not in page(client.get(link))
    assert client.post(link, ONE_CLICK).status_code == HTTPStatus.OK
    assert AuditEntry.objects.filter(action=AuditAction.SUPPRESSED).count() == 1

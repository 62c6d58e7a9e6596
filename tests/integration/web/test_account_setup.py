"""A new account begins with an address; what is known of its server is filled in."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.api import sharing
from outbox.models import Account, InboundMessage, Mailbox, Message, SentCopy
from outbox.testing.mailserver import MailServer
from tests.integration.web.conftest import signed_in
from tests.integration.web.probing import page_of_result
from tests.integration.web.test_accounts import described
from tests.shares import share

ADD = reverse("outbox:account-add")
SETTINGS = reverse("outbox:account-settings")
TEST = reverse("outbox:account-add-test")
# What the deletion of an account affects, by the language of the page.
DELETION = {
    "en": [
        "1 message is waiting to be sent. It will be held.",
        "2 messages in all, sent or not, will be kept without the account.",
        "3 received messages will be kept without the account.",
        "1 mailbox will be deleted. Nothing is fetched from it any more.",
        "1 sent message will not be copied to the server any more.",
        "1 suppressed address will be deleted.",
        "Sharing with 1 user will end.",
    ],
    "zh-hans": [
        "有 1 封邮件正等待发送，这些邮件将被搁置。",
        "共有 2 封邮件（无论是否已发送）会保留，但不再属于该账户。",
        "3 封收到的邮件会保留，但不再属于该账户。",
        "将删除 1 个邮箱，此后不再从中收取邮件。",
        "有 1 封已发送邮件的副本将不再存入服务器。",
        "将删除 1 个被抑制的地址。",
        "与 1 位用户的共享将结束。",
    ],
}


def filled(client: Client, address: str) -> dict[str, object]:
    """What the page that follows the question is filled with."""
    form = client.post(SETTINGS, {"address": address}).context["form"]
    return {name: form[name].value() for name in form.fields}


def test_it_begins_with_one_question(as_anna: Client) -> None:
    page = as_anna.get(ADD).content.decode()
    assert 'name="address"' in page
    assert 'name="host"' not in page


def test_a_known_provider_leaves_only_the_password_to_be_typed(anna: User) -> None:
    User.objects.filter(pk=anna.pk).update(first_name="Anna", last_name="Lindqvist")
    known = filled(signed_in(anna), "anna@gmail.com")
    assert known["host"] == "smtp.gmail.com"
    assert known["port"] == 465
    assert known["security"] == "tls"
    assert known["username"] == known["from_address"] == "anna@gmail.com"
    assert known["from_name"] == "Anna Lindqvist"
    assert known["name"] == "Gmail"
    assert not known["password"]


def test_it_says_what_kind_of_password_is_wanted(as_anna: Client) -> None:
    assert "app password" in as_anna.post(SETTINGS, {"address": "a@gmail.com"}).content.decode()
    assert "authorization code" in as_anna.post(SETTINGS, {"address": "a@qq.com"}).content.decode()
    assert filled(as_anna, "a@outlook.com")["secret_is_token"] is True


def test_of_an_unknown_domain_nothing_is_guessed(as_anna: Client) -> None:
    response = as_anna.post(SETTINGS, {"address": "Anna L. <anna@example.invalid>"})
    assert "No settings found for example.invalid" in response.content.decode()
    form = response.context["form"]
    assert not form["host"].value()
    assert form["from_address"].value() == "anna@example.invalid"
    assert form["from_name"].value() == "Anna L."


def test_everything_can_be_filled_in_by_hand(as_anna: Client) -> None:
    response = as_anna.get(ADD, {"address": ""})
    assert 'name="host"' in response.content.decode()
    assert "No settings found" not in response.content.decode()


def test_an_invalid_address_is_reported_at_the_field(as_anna: Client) -> None:
    response = as_anna.post(SETTINGS, {"address": "anna@"})
    assert response.status_code == 422
    assert "has no domain" in response.content.decode()
    assert 'value="anna@"' in response.content.decode()


def test_a_folded_group_is_open_if_it_has_an_error(as_anna: Client) -> None:
    folded = '<details class="more-groups">'
    assert folded in as_anna.post(ADD, described(host="")).content.decode()
    assert folded not in as_anna.post(ADD, described(max_connections="0")).content.decode()


def test_the_signature_and_the_hours_are_kept(as_anna: Client) -> None:
    fields = described(signature="Anna\nAccounts", on_uncertain="resend", resend_hours="6")
    as_anna.post(ADD, fields)
    account = Account.objects.get()
    assert account.signature == "Anna\r\nAccounts".replace("\r", "")
    assert account.resend_after.total_seconds() == 6 * 3600
    as_anna.post(reverse("outbox:account", args=[account.pk]), described(resend_hours=""))
    account.refresh_from_db()
    assert account.resend_after.total_seconds() == 6 * 3600


def reached(server: MailServer, **fields: str) -> dict[str, str]:
    where = {"host": server.host, "port": str(server.port), "security": "none"}
    return described(username="", **where) | fields


def test_a_test_before_saving_counts_for_what_is_saved(
    as_anna: Client, mail_server: MailServer
) -> None:
    assert b"Connected." in page_of_result(as_anna, TEST, reached(mail_server)).content
    as_anna.post(ADD, reached(mail_server))
    assert Account.objects.get().tested_at is not None


@pytest.mark.parametrize(
    ("changed", "is_tested"),
    [
        ({"name": "Other", "from_name": "A."}, True),
        ({"port": "1"}, False),
        ({"host": "127.0.0.2"}, False),
        ({"username": "anna", "password": "pale fire"}, False),
    ],
)
def test_a_test_counts_as_long_as_server_and_login_stay(
    as_anna: Client, mail_server: MailServer, changed: dict[str, str], is_tested: bool
) -> None:
    page_of_result(as_anna, TEST, reached(mail_server))
    as_anna.post(ADD, reached(mail_server))
    account = Account.objects.get()
    as_anna.post(reverse("outbox:account", args=[account.pk]), reached(mail_server, **changed))
    account.refresh_from_db()
    assert (account.tested_at is not None) is is_tested


def test_testing_a_stored_account_as_it_stands_is_noted_at_once(
    as_anna: Client, mail_server: MailServer
) -> None:
    as_anna.post(ADD, reached(mail_server))
    account = Account.objects.get()
    assert account.tested_at is None
    test = reverse("outbox:account-test", args=[account.pk])
    page_of_result(as_anna, test, reached(mail_server, username="x", password="y"))
    account.refresh_from_db()
    assert account.tested_at is None
    page_of_result(as_anna, test, reached(mail_server))
    account.refresh_from_db()
    assert account.tested_at is not None


def test_a_failed_test_is_not_noted(as_anna: Client, mail_server: MailServer) -> None:
    page_of_result(as_anna, TEST, reached(mail_server, port="1"))
    as_anna.post(ADD, reached(mail_server, port="1"))
    assert Account.objects.get().tested_at is None


def test_an_account_is_deleted_after_a_question(as_anna: Client, account: Account) -> None:
    delete = reverse("outbox:account-delete", args=[account.pk])
    assert b"Delete the account" in as_anna.get(delete).content
    assert Account.objects.exists()
    as_anna.post(delete)
    assert not Account.objects.exists()


@pytest.mark.every_database
def test_the_question_shows_what_a_deletion_affects(
    as_anna: Client, account: Account, ben: User, carl: User, mail: Message
) -> None:
    """Ben has accepted the account. Carl only declined it."""
    Message.objects.create(owner=ben, account=account)  # a draft
    share(account, carl)
    sharing.leave(account, carl)
    mailbox = Mailbox.objects.create(account=account, host="pop.example.com")
    SentCopy.objects.create(message=mail, mailbox=mailbox, next_at=timezone.now())
    for _ in range(3):
        InboundMessage.objects.create(account=account, received_at=timezone.now())
    api.suppress("jane@example.com", account=account)
    other = Account.objects.create(owner=account.owner, name="Other", host="mail.example.com")
    Message.objects.create(owner=account.owner, account=other)
    api.suppress("jane@example.com", account=other)
    page = reverse("outbox:account-delete", args=[account.pk])
    for language, sentences in DELETION.items():
        shown = as_anna.get(page, headers={"Accept-Language": language})
        listed = re.findall("<li>(.*?)</li>", shown.content.decode().partition("effects")[2])
        assert listed == sentences


def test_the_question_counts_no_more_than_a_thousand(as_anna: Client, account: Account) -> None:
    page = reverse("outbox:account-delete", args=[account.pk])
    InboundMessage.objects.bulk_create(
        InboundMessage(account=account, received_at=timezone.now()) for _ in range(1002)
    )
    with CaptureQueriesContext(connection) as queries:
        shown = as_anna.get(page).content.decode()
    assert "More than 1,000 received messages will be kept without the account." in shown
    assert "messages in all" not in shown
    counts = [one["sql"] for one in queries if "outbox_inboundmessage" in one["sql"]]
    assert any("LIMIT 1001" in sql for sql in counts)


def test_a_link_with_an_address_makes_no_request_of_the_server(
    as_anna: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("outbox.web.accounts.views.suggest", asked.append)
    page = as_anna.get(ADD, {"address": "x@any.example"}).content.decode()
    assert 'value="x@any.example"' in page
    assert 'name="host"' not in page
    assert as_anna.get(SETTINGS, {"address": "x@any.example"}).status_code == 405
    assert asked == []

"""The mailbox of an account: its owner sets it up, tests it, and sees when it is not fetched."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.api.mailbox_notices import notify_owners_of_mailboxes
from outbox.api.mailboxes import mailbox_of, save_mailbox, suggested_mailbox
from outbox.db.clock import database_now
from outbox.inbound.fetch import fetch_mailbox
from outbox.models import (
    Account,
    AuditEntry,
    ConnectionTest,
    InboundMessage,
    Mailbox,
    Message,
    SentCopy,
    ServerMessage,
)
from outbox.models.secrets import SecretUnreadableError
from outbox.reasons import Reason, ReasonCode
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PASSWORD, USER, PopServer
from tests.integration.web.conftest import signed_in
from tests.integration.web.probing import page_of_result, result_of

NOTICE = "No messages are fetched for"


@pytest.fixture
def server() -> Iterator[PopServer]:
    with PopServer() as running:
        yield running


def typed(server: PopServer | None = None, **changed: str) -> dict[str, str]:
    values = {
        "protocol": "pop3",
        "host": "127.0.0.1" if server else "pop.example.com",
        "port": str(server.port) if server else "995",
        "security": "none" if server else "tls",
        "username": USER,
        "password": PASSWORD,
        "on_server": "keep",
        "keep_days": "30",
        "every_minutes": "10",
        "is_active": "on",
    }
    return {name: value for name, value in (values | changed).items() if value}


def url(account: Account, name: str = "account-mailbox") -> str:
    return reverse(f"outbox:{name}", args=[account.pk])


def stored(account: Account) -> Mailbox:
    found = mailbox_of(account)
    assert found is not None
    return found


def save(client: Client, account: Account, **changed: str) -> Any:
    return client.post(url(account), typed(None, **changed))


def test_the_settings_are_stored_and_the_password_is_never_shown(
    as_anna: Client, account: Account
) -> None:
    response = save(as_anna, account)
    assert response.status_code == 302
    mailbox = stored(account)
    assert mailbox.secret == PASSWORD
    assert mailbox.next_fetch_at is not None
    assert mailbox.next_fetch_at <= database_now()
    page = as_anna.get(url(account)).content.decode()
    assert PASSWORD not in page
    assert "pop.example.com" in page
    assert "Leave empty to keep the stored password." in page
    assert AuditEntry.objects.filter(action="account_changed").exists()


def test_the_settings_of_a_known_provider_are_suggested(account: Account) -> None:
    account.host = "smtp.gmail.com"
    assert suggested_mailbox(account).host == "pop.gmail.com"
    account.host = "smtp.mail.me.com"  # it has no POP3
    apple = suggested_mailbox(account)
    assert (apple.protocol, apple.host, apple.port) == ("imap", "imap.mail.me.com", 993)
    account.host = "smtp.shop.example"
    assert suggested_mailbox(account).host == "pop.shop.example"


@pytest.mark.parametrize(
    "changed", [{"host": "pop.evil.example"}, {"username": "eve@example.org"}, {"protocol": "imap"}]
)
def test_a_password_is_void_for_another_server(
    as_anna: Client, account: Account, changed: dict[str, str]
) -> None:
    save(as_anna, account)
    response = save(as_anna, account, password="", **changed)
    assert response.status_code == 422
    assert "belongs to another server" in response.content.decode()
    mailbox = stored(account)
    mailbox.host = "pop.evil.example"
    with pytest.raises(SecretUnreadableError):
        _ = mailbox.secret
    save_mailbox(mailbox)
    assert stored(account).secret_encrypted == ""


def test_the_password_for_sending_is_not_sent_to_another_operator(
    as_anna: Client, account: Account
) -> None:
    response = save(as_anna, account, username="", password="", host="pop.evil.example")
    assert "Enter the password of the mailbox." in response.content.decode()
    assert save(as_anna, account, username="", password="").status_code == 302
    assert stored(account).secret_encrypted == "", "that of mail.example.com is used"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"host": "10.0.0.1"}, "Enter a public server."),
        ({"host": "localhost"}, "Enter a public server."),
        ({"port": "22"}, "Enter one of these ports"),
        ({"host": "not a host"}, "Enter a valid server name."),
        ({"every_minutes": "0"}, "greater than or equal to 1"),
    ],
)
def test_servers_that_are_not_allowed(
    as_anna: Client,
    account: Account,
    settings: LazySettings,
    changed: dict[str, str],
    error: str,
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    response = save(as_anna, account, **changed)
    assert response.status_code == 422
    assert error in response.content.decode()
    assert mailbox_of(account) is None


def test_trust_in_the_server_for_sending_does_not_extend_to_another(
    as_anna: Client, account: Account, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    Account.objects.update(is_trusted=True, host="10.0.0.1")
    assert save(as_anna, account, host="10.0.0.2").status_code == 422
    assert save(as_anna, account, host="10.0.0.1").status_code == 302


def test_gmail_offers_recent_messages_and_no_age_limit(as_anna: Client, account: Account) -> None:
    Account.objects.update(host="smtp.gmail.com", username="anna@gmail.com")
    page = as_anna.get(url(account)).content.decode()
    assert "Gmail decides by its own settings" in page
    assert 'value="days"' in page
    assert "disabled" in page.partition('value="days"')[2][:200]
    gmail = {"host": "pop.gmail.com", "is_recent": "on"}
    days = gmail | {"on_server": "days"}
    assert save(as_anna, account, **days).status_code == 422
    own = gmail | {"username": "", "password": ""}
    assert save(as_anna, account, **own).status_code == 302
    assert stored(account).username == "recent:anna@gmail.com"
    page = as_anna.get(url(account)).content.decode()
    assert "recent:anna" not in page


def test_another_server_has_other_messages(as_anna: Client, account: Account) -> None:
    save(as_anna, account)
    ServerMessage.objects.create(mailbox=stored(account), uid="1", seen_at=database_now())
    save(as_anna, account, every_minutes="5")
    assert ServerMessage.objects.count() == 1
    save(as_anna, account, host="mail.example.net")
    assert ServerMessage.objects.count() == 0


def test_saving_ends_a_fetch_with_the_former_settings(as_anna: Client, account: Account) -> None:
    save(as_anna, account)
    Mailbox.objects.update(lease_until=database_now(), lease_key="running")
    save(as_anna, account, every_minutes="5")
    assert stored(account).lease_key == ""


def test_the_connection_is_tested_and_nothing_is_stored(
    as_anna: Client, account: Account, server: PopServer
) -> None:
    server.mailbox.messages = {"a": message(1), "b": message(2)}
    test = url(account, "account-mailbox-test")
    page = result_of(as_anna, test, typed(server)).content.decode()
    assert "Connected." in page
    assert "The mailbox lists 2 messages." in page
    assert server.mailbox.commands["RETR"] == 0
    assert server.mailbox.commands["QUIT"] == 0, "Gmail would mark messages as fetched"
    assert mailbox_of(account) is None
    wrong = page_of_result(as_anna, test, typed(server, password="nonsense")).content.decode()
    assert "Connection failed" in wrong
    assert "wrong password" in wrong
    assert ConnectionTest.objects.get().secret_encrypted == ""
    assert not InboundMessage.objects.exists()


def test_a_test_shows_what_is_missing(as_anna: Client, account: Account) -> None:
    page = as_anna.post(url(account, "account-mailbox-test"), typed(host="")).content.decode()
    assert "Complete these fields to test the connection:" in page


def test_the_button_fetches_also_a_paused_mailbox(as_anna: Client, account: Account) -> None:
    save(as_anna, account)
    Mailbox.objects.update(next_fetch_at=None, reason=Reason(ReasonCode.LOGIN_REJECTED))
    as_anna.post(url(account, "account-mailbox-fetch"))
    assert stored(account).next_fetch_at is not None
    Mailbox.objects.update(is_active=False, next_fetch_at=None)
    as_anna.post(url(account, "account-mailbox-fetch"))
    assert stored(account).next_fetch_at is None


def test_removing_it_keeps_its_messages(
    as_anna: Client, account: Account, server: PopServer
) -> None:
    as_anna.post(url(account), typed(server))
    server.mailbox.messages = {"a": message(1)}
    fetch_mailbox(account.pk)
    as_anna.post(url(account, "account-mailbox-remove"))
    assert mailbox_of(account) is None
    assert InboundMessage.objects.count() == 1
    assert list(server.mailbox.messages) == ["a"]


def test_the_owner_is_notified_when_a_person_is_needed(
    as_anna: Client, account: Account, server: PopServer, anna: User, ben: User
) -> None:
    User.objects.filter(pk=anna.pk).update(email="anna@home.example")
    as_anna.post(url(account), typed(server))
    server.mailbox.rejects = "-ERR [AUTH] invalid credentials"
    assert NOTICE not in as_anna.get(reverse("outbox:accounts")).content.decode()
    fetch_mailbox(account.pk)
    page = as_anna.get(reverse("outbox:accounts")).content.decode()
    assert NOTICE in page
    assert "invalid credentials" in page
    assert NOTICE not in signed_in(ben).get(reverse("outbox:accounts")).content.decode()
    assert NOTICE not in as_anna.get(url(account)).content.decode(), "the page itself says so"
    assert "until you correct the settings" in as_anna.get(url(account)).content.decode()
    assert notify_owners_of_mailboxes("default") == 1
    assert notify_owners_of_mailboxes("default") == 0
    email = Message.objects.get()
    assert "Check the mailbox" in email.subject
    assert email.recipients.get().address == "anna@home.example"
    server.mailbox.rejects = ""
    as_anna.post(url(account, "account-mailbox-fetch"))
    fetch_mailbox(account.pk)
    assert NOTICE not in as_anna.get(reverse("outbox:accounts")).content.decode()
    assert stored(account).notified_at is None


def test_users_of_a_shared_account_do_not_see_its_mailbox(
    as_anna: Client, account: Account, server: PopServer, ben: User
) -> None:
    as_anna.post(url(account), typed(server))
    server.mailbox.messages = {"a": message(1)}
    fetch_mailbox(account.pk)
    assert signed_in(ben).get(url(account)).status_code == 404
    assert signed_in(ben).post(url(account, "account-mailbox-fetch")).status_code == 404
    assert not InboundMessage.objects.visible_to(ben).exists()
    assert InboundMessage.objects.visible_to(account.owner).count() == 1  # type: ignore[arg-type]


def test_messages_that_were_skipped_are_named(
    as_anna: Client, account: Account, server: PopServer, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_RECEIVED_BYTES": 1_000}
    as_anna.post(url(account), typed(server))
    server.mailbox.messages = {"a": message(1, body="x" * 5_000)}
    fetch_mailbox(account.pk)
    page = as_anna.get(url(account)).content.decode()
    assert "1 message on the server was not fetched" in page
    assert "too large to be fetched" in page


@pytest.mark.parametrize("has_uidl", [True, False])
def test_the_page_says_if_each_fetch_downloads_everything(
    as_anna: Client, account: Account, server: PopServer, *, has_uidl: bool
) -> None:
    as_anna.post(url(account), typed(server))
    server.mailbox.has_uidl = has_uidl
    server.mailbox.capabilities = ("UIDL", "USER") if has_uidl else ("USER",)
    server.mailbox.messages = {"a": message(1), "b": message(2)}
    fetch_mailbox(account.pk)
    assert InboundMessage.objects.count() == 2
    page = as_anna.get(url(account)).content.decode()
    assert ("each fetch downloads all of them" in page) is not has_uidl
    ServerMessage.objects.update(deleted_at=database_now())
    assert "each fetch downloads all of them" not in as_anna.get(url(account)).content.decode()


def test_copies_of_sent_messages_are_off_and_need_imap(as_anna: Client, account: Account) -> None:
    page = as_anna.get(url(account)).content.decode()
    assert "Gmail and Microsoft 365 store sent messages themselves" in page
    assert 'name="files_sent"' in page
    save(as_anna, account)
    assert not stored(account).files_sent
    response = save(as_anna, account, files_sent="on")
    assert response.status_code == 422
    assert "Choose IMAP to store sent messages." in response.content.decode()
    assert save(as_anna, account, files_sent="on", protocol="imap", port="993").status_code == 302
    assert stored(account).files_copies


def test_the_page_says_why_a_copy_is_missing(as_anna: Client, account: Account) -> None:
    save(as_anna, account, files_sent="on", protocol="imap", port="993")
    sent = Message.objects.create(owner=account.owner, account=account)
    SentCopy.objects.create(
        message=sent, mailbox=stored(account), reason=Reason(ReasonCode.SENT_FOLDER_MISSING)
    )
    page = as_anna.get(url(account)).content.decode()
    assert "The copy of 1 sent message is not in the mailbox yet." in page
    assert "The mailbox has no folder for sent messages." in page

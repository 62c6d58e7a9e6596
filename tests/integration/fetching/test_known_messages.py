"""What counts as stored: by the place of an id, and by the content of a message that came back."""

import threading

import pytest

from outbox.api.mailboxes import save_mailbox
from outbox.db.clock import database_now
from outbox.inbound.facts import read_facts
from outbox.inbound.fetch import fetch_mailbox
from outbox.inbound.inspect import inspect_received
from outbox.inbound.lease import Lease
from outbox.inbound.listing import STAYS_AFTER, rows_gone
from outbox.inbound.mail_server import open_mail_server
from outbox.inbound.room import Room
from outbox.inbound.server_login import login_for
from outbox.inbound.session import Session
from outbox.models import Account, InboundMessage, Mailbox, OnServer, ServerMessage
from outbox.reasons import Reason, ReasonCode
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PASSWORD, USER, PopServer

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]
USING = "default"


def subjects() -> list[str]:
    return sorted(InboundMessage.objects.values_list("subject", flat=True))


def login_of_account(mailbox: Mailbox, username: str) -> None:
    """Set a login of the account, which the mailbox uses from now on."""
    account = mailbox.account
    account.username = username
    account.secret = PASSWORD
    account.save()
    Mailbox.objects.filter(pk=mailbox.pk).update(username="", secret_encrypted="")
    mailbox.refresh_from_db()


# --- the place of an id ---------------------------------------------------------------------------


def test_another_username_of_the_account_has_other_messages(
    server: PopServer, mailbox: Mailbox
) -> None:
    login_of_account(mailbox, USER)
    Mailbox.objects.update(on_server=OnServer.DELETE)
    server.mailbox.rejects_quit = True  # so that the id stays known
    server.mailbox.messages = {"1": message(1)}
    fetch_mailbox(mailbox.pk)
    login_of_account(mailbox, "ben@example.org")
    server.mailbox.rejects_quit = False
    server.mailbox.messages = {"1": message(2)}
    fetch_mailbox(mailbox.pk)
    assert subjects() == ["Number 1", "Number 2"]
    assert server.mailbox.messages == {}
    assert ServerMessage.objects.count() == 1


@pytest.mark.parametrize("username", [USER, f"recent:{USER}"])
def test_the_same_user_in_other_words_has_the_same_messages(
    server: PopServer, mailbox: Mailbox, username: str
) -> None:
    login_of_account(mailbox, USER)
    server.mailbox.messages = {"1": message(1)}
    fetch_mailbox(mailbox.pk)
    mailbox.refresh_from_db()
    mailbox.username = username
    save_mailbox(mailbox, password=PASSWORD)
    fetch_mailbox(mailbox.pk)
    assert subjects() == ["Number 1"]
    assert server.mailbox.commands["RETR"] == 1


def test_saving_does_not_forget_the_place_of_the_ids(server: PopServer, mailbox: Mailbox) -> None:
    """The form was opened before the first fetch."""
    login_of_account(mailbox, USER)
    server.mailbox.messages = {"1": message(1)}
    fetch_mailbox(mailbox.pk)
    save_mailbox(mailbox)
    login_of_account(mailbox, "ben@example.org")
    server.mailbox.messages = {"1": message(2)}
    fetch_mailbox(mailbox.pk)
    assert subjects() == ["Number 1", "Number 2"]


# --- messages that come back ----------------------------------------------------------------------


def never_deletes(server: PopServer) -> None:
    everything = dict(server.mailbox.messages)
    server.mailbox.after = lambda _: server.mailbox.messages.update(everything)


def test_a_server_that_never_deletes_is_not_asked_forever(
    server: PopServer, mailbox: Mailbox
) -> None:
    Mailbox.objects.update(on_server=OnServer.DELETE)
    server.mailbox.messages = {"1": message(1), "2": message(2)}
    never_deletes(server)
    for _ in range(1 + STAYS_AFTER):
        fetch_mailbox(mailbox.pk)
    before = server.mailbox.commands.copy()
    fetch_mailbox(mailbox.pk)
    assert server.mailbox.commands["RETR"] == before["RETR"] == 2 * (1 + STAYS_AFTER)
    assert server.mailbox.commands["DELE"] == before["DELE"] == 2 * STAYS_AFTER
    assert subjects() == ["Number 1", "Number 2"]
    assert ServerMessage.objects.filter(deleted_at=None).count() == 2


def test_a_message_that_was_erased_here_does_not_come_back(
    server: PopServer, mailbox: Mailbox
) -> None:
    Mailbox.objects.update(on_server=OnServer.DELETE)
    server.mailbox.messages = {"1": message(1)}
    never_deletes(server)
    fetch_mailbox(mailbox.pk)
    InboundMessage.objects.all().delete()
    fetch_mailbox(mailbox.pk)
    assert subjects() == []


def test_another_message_with_an_id_that_came_back_is_stored(
    server: PopServer, mailbox: Mailbox
) -> None:
    Mailbox.objects.update(on_server=OnServer.DELETE)
    for number in (1, 1, 2, 2):
        server.mailbox.messages = {"1": message(number)}
        fetch_mailbox(mailbox.pk)
    assert subjects() == ["Number 1", "Number 2"]
    assert server.mailbox.messages == {}


# --- messages that cannot be read -----------------------------------------------------------------


def test_an_unreadable_message_is_stored_once_on_a_server_without_ids(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    Mailbox.objects.update(on_server=OnServer.DELETE)
    server.mailbox.has_uidl = False
    server.mailbox.capabilities = ("USER",)
    server.mailbox.messages = {"a": message(1), "bad": message(2)}

    def failing(received: object, rules: object) -> object:
        if "Number 2" in str(received.fields):  # type: ignore[attr-defined]
            raise ValueError("a fault of the parser")
        return inspect_received(received, rules)  # type: ignore[arg-type]

    monkeypatch.setattr("outbox.inbound.facts.inspect_received", failing)
    fetch_mailbox(mailbox.pk)
    fetch_mailbox(mailbox.pk)
    assert subjects() == ["Number 1", "Number 2"]
    assert list(server.mailbox.messages) == ["bad"], "it stays on the server"


# --- the account ----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["owner", "is_active"])
def test_nothing_is_stored_for_the_former_owner_of_an_account(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    server.mailbox.messages = {"1": message(1)}

    def changed(source: bytes, rules: object) -> object:
        value = None if change == "owner" else False
        Account.objects.filter(pk=mailbox.pk).update(**{change: value})
        return read_facts(source, rules)  # type: ignore[arg-type]

    monkeypatch.setattr("outbox.inbound.session.read_facts", changed)
    assert fetch_mailbox(mailbox.pk).is_busy
    assert not InboundMessage.objects.exists()
    assert server.mailbox.commands["QUIT"] == 0


# --- messages that are gone -----------------------------------------------------------------------


def test_a_message_known_by_its_place_is_not_gone(mailbox: Mailbox) -> None:
    broke = Reason(ReasonCode.FETCH_BROKE, attempts=3)
    ServerMessage.objects.create(
        mailbox=mailbox, uid="3 1200", skipped=broke, seen_at=database_now()
    )
    assert rows_gone(mailbox, [], USING) == []


def test_a_lease_that_is_lost_after_the_session_keeps_its_result(
    server: PopServer, mailbox: Mailbox
) -> None:
    server.mailbox.messages = {"a": message(1), "b": message(2)}
    fetch_mailbox(mailbox.pk)
    del server.mailbox.messages["a"]
    stop = threading.Event()
    opened = open_mail_server(login_for(mailbox, USING), stop=stop)
    lost = Lease(mailbox.pk, "lost", USING, stop)
    room = Room(mailbox, USING)
    assert Session(mailbox, opened, lost, room, USING).run(30).listed == 1
    assert not ServerMessage.objects.exclude(deleted_at=None).exists()

"""A message or a server that breaks sessions neither blocks other messages nor is asked all day."""

import datetime as dt

import pytest
from django.conf import LazySettings

from outbox.db.clock import database_now
from outbox.inbound import fetch
from outbox.inbound.fetch import Outcome, fetch_mailbox
from outbox.inbound.listing import BREAKS_MAX, PLACE_FOR
from outbox.models import InboundMessage, Mailbox, OnServer, ServerMessage
from outbox.models.reasons import has_code
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PopServer

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]
SOON = dt.timedelta(seconds=40)  # less than the first wait after a failure


def fetched(mailbox: Mailbox) -> Outcome:
    outcome = fetch_mailbox(mailbox.pk)
    mailbox.refresh_from_db()
    return outcome


def change(mailbox: Mailbox, **values: object) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(**values)


def subjects() -> list[str]:
    return sorted(InboundMessage.objects.values_list("subject", flat=True))


def wait_of(mailbox: Mailbox) -> dt.timedelta:
    assert mailbox.next_fetch_at is not None
    return mailbox.next_fetch_at - database_now()


@pytest.fixture(params=["PIPELINING", "TOP"])
def _pipelining(request: pytest.FixtureRequest, server: PopServer) -> None:
    server.mailbox.capabilities = ("UIDL", "USER", request.param)


@pytest.mark.usefixtures("_pipelining")
def test_a_message_that_breaks_the_connection_blocks_no_older_one(
    server: PopServer, mailbox: Mailbox
) -> None:
    change(mailbox, on_server=OnServer.DELETE)
    server.mailbox.messages = {str(number): message(number) for number in range(5)}
    server.mailbox.breaks = {"3"}
    others = ["Number 0", "Number 1", "Number 2", "Number 4"]
    fetched(mailbox)
    assert subjects() == ["Number 4"], "what was complete"
    fetched(mailbox)
    assert subjects() == others
    assert mailbox.reason
    for _ in range(BREAKS_MAX - 2):
        fetched(mailbox)
    (skipped,) = ServerMessage.objects.filter(has_code("skipped", "fetch_broke"))
    assert (skipped.uid, skipped.skipped.args) == ("3", {"attempts": BREAKS_MAX})
    requests = server.mailbox.commands["RETR"]
    fetched(mailbox)
    assert not mailbox.reason
    assert server.mailbox.commands["RETR"] == requests, "it is not requested again"
    assert list(server.mailbox.messages) == ["3"], "it stays on the server"


@pytest.mark.parametrize("on_server", [OnServer.DELETE, OnServer.KEEP])
def test_a_message_without_an_id_that_breaks_the_connection_blocks_no_other_one(
    server: PopServer, mailbox: Mailbox, on_server: OnServer
) -> None:
    change(mailbox, on_server=on_server)
    server.mailbox.has_uidl = False
    server.mailbox.capabilities = ("USER",)
    server.mailbox.messages = {str(number): message(number) for number in range(5)}
    server.mailbox.breaks = {"3"}
    for _ in range(2):
        fetched(mailbox)
    assert subjects() == ["Number 0", "Number 1", "Number 2", "Number 4"]
    for _ in range(2 * BREAKS_MAX):  # its number changes once the others are deleted
        fetched(mailbox)
    (skipped,) = ServerMessage.objects.filter(has_code("skipped", "fetch_broke"))
    assert skipped.skipped.args == {"attempts": BREAKS_MAX}
    assert not mailbox.reason
    assert "3" in server.mailbox.messages, "it stays on the server"
    assert len(server.mailbox.messages) == (1 if on_server == OnServer.DELETE else 5)
    server.mailbox.messages["5"] = message(5)
    fetched(mailbox)
    assert "Number 5" in subjects()


def test_a_message_that_was_skipped_by_its_place_is_tried_again_later(
    server: PopServer, mailbox: Mailbox
) -> None:
    server.mailbox.has_uidl = False
    server.mailbox.capabilities = ("USER",)
    server.mailbox.messages = {"a": message(1)}
    server.mailbox.breaks = {"a"}
    for _ in range(BREAKS_MAX):
        fetched(mailbox)
    server.mailbox.breaks = set()
    fetched(mailbox)
    assert subjects() == []
    long_ago = database_now() - PLACE_FOR - dt.timedelta(minutes=1)
    ServerMessage.objects.update(seen_at=long_ago)
    fetched(mailbox)
    assert subjects() == ["Number 1"]
    assert ServerMessage.objects.get().sha256, "it is no longer known by its place"


def test_a_suspected_message_without_an_id_arrives_later(
    server: PopServer, mailbox: Mailbox
) -> None:
    server.mailbox.has_uidl = False
    server.mailbox.capabilities = ("USER",)
    server.mailbox.messages = {"a": message(1)}
    server.mailbox.breaks = {"a"}
    fetched(mailbox)
    server.mailbox.breaks = set()
    fetched(mailbox)
    assert subjects() == ["Number 1"]
    assert not ServerMessage.objects.exclude(skipped="").exists()


@pytest.mark.usefixtures("_pipelining")
def test_a_message_that_was_interrupted_arrives_later(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.messages = {"a": message(1), "b": message(2)}
    server.mailbox.breaks = {"b"}
    fetched(mailbox)
    server.mailbox.breaks = set()
    fetched(mailbox)
    assert subjects() == ["Number 1", "Number 2"]
    assert not ServerMessage.objects.get(uid="b").skipped


@pytest.mark.parametrize("has_uidl", [True, False])
def test_after_an_endless_message_the_mailbox_has_to_wait(
    server: PopServer, mailbox: Mailbox, settings: LazySettings, *, has_uidl: bool
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_RECEIVED_BYTES": 10_000}
    server.mailbox.has_uidl = has_uidl
    server.mailbox.capabilities = ("USER",)
    server.mailbox.messages = {name: message(1, body="x" * 200_000) for name in "abc"}
    server.mailbox.sizes = dict.fromkeys("abc", 10)
    outcome = fetched(mailbox)
    assert outcome.sessions == 1
    assert mailbox.reason.code == "fetch_too_large"
    assert mailbox.failures == 1, "so that the wait grows"
    assert wait_of(mailbox) > SOON


def test_sessions_without_progress_do_not_follow_each_other(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "SESSION_SECONDS", -1.0)  # as if the listing had taken all of it
    monkeypatch.setattr(fetch, "_SESSIONS", 3)
    server.mailbox.messages = {"a": message(1)}
    assert fetched(mailbox).sessions == 1
    assert wait_of(mailbox) > SOON


def test_ids_that_are_missing_once_double_no_message(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.capabilities = ("USER",)
    server.mailbox.messages = {"a": message(1)}
    fetched(mailbox)
    server.mailbox.has_uidl = False
    fetched(mailbox)
    assert "UIDL" in str(mailbox.reason)
    assert InboundMessage.objects.count() == 1
    server.mailbox.has_uidl = True
    fetched(mailbox)
    assert not mailbox.reason


def test_the_age_limit_applies_without_unique_ids(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.has_uidl = False
    server.mailbox.capabilities = ("USER",)
    change(mailbox, on_server=OnServer.KEEP_DAYS, keep_days=7)
    server.mailbox.messages = {"old": message(1), "new": message(2)}
    fetched(mailbox)
    assert len(server.mailbox.messages) == 2
    old = ServerMessage.objects.filter(message__subject="Number 1")
    old.update(seen_at=database_now() - dt.timedelta(days=8))
    fetched(mailbox)
    assert list(server.mailbox.messages) == ["new"]


def test_what_the_user_has_forbidden_is_not_deleted(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.mailbox.messages = {"a": message(1)}
    fetched(mailbox)
    change(mailbox, on_server=OnServer.DELETE)

    def forbid(using: str) -> dt.datetime:
        change(mailbox, on_server=OnServer.KEEP, lease_key="")  # as saving the settings does
        return database_now(using)

    monkeypatch.setattr("outbox.inbound.session.database_now", forbid)
    assert fetched(mailbox).is_busy
    assert server.mailbox.commands["DELE"] == 1
    assert list(server.mailbox.messages) == ["a"]


@pytest.mark.parametrize(("delay", "wait"), [(3_600, 3_600), (30, 600), (900_000_000, 86_400)])
def test_the_wait_between_two_logins(
    server: PopServer, mailbox: Mailbox, delay: int, wait: int
) -> None:
    server.mailbox.capabilities = ("UIDL", "USER", f"LOGIN-DELAY {delay}")
    fetched(mailbox)
    assert mailbox.next_fetch_at is not None
    assert mailbox.fetched_at is not None
    assert mailbox.next_fetch_at - mailbox.fetched_at == dt.timedelta(seconds=wait)


def test_a_rejected_login_cannot_ask_for_years(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.rejects = "-ERR [LOGIN-DELAY 900000000] later"
    fetched(mailbox)
    assert wait_of(mailbox) <= dt.timedelta(days=1)

"""Messages are fetched once, and deleted from the server only after they were stored."""

import datetime as dt
import threading

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.db.clock import database_now
from outbox.inbound import session
from outbox.inbound.facts import read_facts
from outbox.inbound.fetch import UNCLEAR_MAX, fetch_mailbox
from outbox.inbound.inspect import inspect_received
from outbox.inbound.listing import mark_deleted
from outbox.models import InboundMessage, InboundSource, Mailbox, OnServer, ServerMessage
from outbox.models.reasons import has_code
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import Drop, PopServer

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]


def fetched(mailbox: Mailbox) -> Mailbox:
    """Fetch and return the mailbox as it is stored afterwards."""
    fetch_mailbox(mailbox.pk)
    mailbox.refresh_from_db()
    return mailbox


def on_server(mailbox: Mailbox, what: OnServer, **values: object) -> None:
    Mailbox.objects.filter(pk=mailbox.pk).update(on_server=what, **values)
    mailbox.refresh_from_db()


def subjects() -> list[str]:
    return sorted(InboundMessage.objects.values_list("subject", flat=True))


def test_a_message_is_stored_once_with_its_bytes(server: PopServer, mailbox: Mailbox) -> None:
    source = message(1, body="..dots\r\n.and one\r\n\0 and a NUL")
    server.mailbox.messages["a"] = source
    before = database_now()
    fetched(mailbox)
    fetched(mailbox)
    stored = InboundMessage.objects.get()
    assert stored.source.read() == source
    assert (stored.owner, stored.account) == (mailbox.account.owner, mailbox.account)
    assert stored.from_address == "bob@example.com"
    assert stored.subject == "Number 1"
    assert stored.message_id == "1@example.com"
    assert stored.size == len(source)
    assert mailbox.fetched_at is not None
    assert mailbox.fetched_at >= before
    assert mailbox.next_fetch_at is not None
    wait = mailbox.next_fetch_at - mailbox.fetched_at
    assert wait == dt.timedelta(minutes=mailbox.every_minutes)
    assert server.mailbox.commands["RETR"] == 1, "the second fetch downloads nothing"
    assert list(server.mailbox.messages) == ["a"], "it stays on the server"


def test_the_newest_message_comes_first(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.messages = {str(number): message(number) for number in range(5)}
    fetched(mailbox)
    found = InboundMessage.objects.order_by("pk").values_list("subject", flat=True)
    assert list(found) == [f"Number {number}" for number in (4, 3, 2, 1, 0)]


def test_the_list_has_the_order_of_the_server(server: PopServer, mailbox: Mailbox) -> None:
    """Although the newest message is stored first."""
    server.mailbox.messages = {
        str(number): b"Received: from a by b; Mon, 1 Jan 2024 10:0%d:00 +0000\r\n" % number
        + message(number)
        for number in range(3)
    }
    fetched(mailbox)
    found = InboundMessage.objects.order_by("-received_at").values_list("subject", flat=True)
    assert list(found) == ["Number 2", "Number 1", "Number 0"]


def test_deleted_from_the_server_after_it_was_stored(server: PopServer, mailbox: Mailbox) -> None:
    on_server(mailbox, OnServer.DELETE)
    server.mailbox.messages = {"a": message(1), "b": message(2)}
    fetched(mailbox)
    assert server.mailbox.messages == {}
    assert subjects() == ["Number 1", "Number 2"]
    assert ServerMessage.objects.filter(deleted_at=None).count() == 0


def test_what_was_stored_before_is_deleted_when_the_setting_changes(
    server: PopServer, mailbox: Mailbox
) -> None:
    server.mailbox.messages = {"a": message(1)}
    fetched(mailbox)
    on_server(mailbox, OnServer.DELETE)
    fetched(mailbox)
    assert server.mailbox.messages == {}
    assert InboundMessage.objects.count() == 1


def test_left_on_the_server_for_some_days(server: PopServer, mailbox: Mailbox) -> None:
    on_server(mailbox, OnServer.KEEP_DAYS, keep_days=7)
    server.mailbox.messages = {"old": message(1), "new": message(2)}
    fetched(mailbox)
    assert len(server.mailbox.messages) == 2
    ServerMessage.objects.filter(uid="old").update(seen_at=database_now() - dt.timedelta(days=8))
    fetched(mailbox)
    assert list(server.mailbox.messages) == ["new"]


def test_a_connection_lost_before_quit_deletes_and_counts_nothing(
    server: PopServer, mailbox: Mailbox
) -> None:
    on_server(mailbox, OnServer.DELETE)
    server.mailbox.messages = {"a": message(1)}

    def drop(command: str) -> None:
        if command == "QUIT":
            raise Drop

    server.mailbox.before = drop
    fetched(mailbox)
    assert mailbox.failures == 1
    assert mailbox.reason
    assert ServerMessage.objects.get().deleted_at is None
    server.mailbox.before = lambda command: None
    fetched(mailbox)
    assert server.mailbox.messages == {}
    assert ServerMessage.objects.get().deleted_at is not None
    assert InboundMessage.objects.count() == 1
    assert mailbox.failures == 0
    assert not mailbox.reason


def test_a_rejected_quit_is_recorded(server: PopServer, mailbox: Mailbox) -> None:
    on_server(mailbox, OnServer.DELETE)
    server.mailbox.messages = {"a": message(1)}
    server.mailbox.rejects_quit = True
    fetched(mailbox)
    assert "some messages were not deleted" in str(mailbox.reason)
    assert ServerMessage.objects.get().deleted_at is None
    assert subjects() == ["Number 1"]


def test_a_failed_commit_drops_the_connection_without_quit(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gmail marks what was retrieved as fetched at QUIT."""
    server.mailbox.messages = {"a": message(1, body="x" * 300_000)}  # it is stored as a file
    monkeypatch.setattr(
        InboundSource._meta.get_field("file").storage.__class__,  # the storage is full
        "_save",
        lambda *_args: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    fetched(mailbox)
    assert "full" in str(mailbox.reason)
    assert server.mailbox.commands["QUIT"] == 0
    assert InboundMessage.objects.count() == 0
    assert ServerMessage.objects.count() == 0


def test_without_unique_ids_the_message_is_its_own(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.has_uidl = False
    server.mailbox.capabilities = ("USER",)
    server.mailbox.messages = {"a": message(1), "b": message(2)}
    fetched(mailbox)
    server.mailbox.messages = {"x": message(3), "y": message(2), "z": message(1)}
    fetched(mailbox)
    assert subjects() == ["Number 1", "Number 2", "Number 3"]
    on_server(mailbox, OnServer.DELETE)
    fetched(mailbox)
    assert server.mailbox.messages == {}
    assert InboundMessage.objects.count() == 3


def test_the_same_message_with_two_ids_is_kept_twice(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.messages = {"a": message(1), "b": message(1)}
    fetched(mailbox)
    first, second = InboundMessage.objects.all()
    assert first.message_id == second.message_id
    assert first.thread == second.thread


def test_a_server_that_uses_an_id_again_loses_no_message(
    server: PopServer, mailbox: Mailbox
) -> None:
    on_server(mailbox, OnServer.DELETE)
    server.mailbox.messages = {"1": message(1)}
    fetched(mailbox)
    server.mailbox.messages = {"1": message(2)}
    fetched(mailbox)
    assert subjects() == ["Number 1", "Number 2"]
    server.mailbox.messages = {"1": message(2)}  # restored from a backup
    fetched(mailbox)
    assert subjects() == ["Number 1", "Number 2"]
    assert server.mailbox.messages == {}


def test_what_another_program_has_deleted_is_marked(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.messages = {"a": message(1), "b": message(2)}
    fetched(mailbox)
    del server.mailbox.messages["a"]
    fetched(mailbox)
    gone = ServerMessage.objects.exclude(deleted_at=None)
    assert [row.uid for row in gone] == ["a"]
    assert InboundMessage.objects.count() == 2


def test_a_large_message_is_skipped_with_a_note(
    server: PopServer, mailbox: Mailbox, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_RECEIVED_BYTES": 10_000}
    on_server(mailbox, OnServer.DELETE)
    server.mailbox.messages = {
        "small": message(1),
        "large": message(2, body="x" * 50_000),
        "lies": message(3, body="x" * 60_000),
        "last": message(4),
    }
    server.mailbox.sizes = {"lies": 10}
    fetched(mailbox)
    assert subjects() == ["Number 1", "Number 4"]
    skipped = ServerMessage.objects.filter(has_code("skipped", "fetch_too_large"))
    assert sorted(row.uid for row in skipped) == ["large", "lies"]
    assert sorted(server.mailbox.messages) == ["large", "lies"], "they stay on the server"
    requests = server.mailbox.commands["RETR"]
    fetched(mailbox)
    assert server.mailbox.commands["RETR"] == requests, "they are not requested again"
    settings.OUTBOX = settings.OUTBOX | {"MAX_RECEIVED_BYTES": 100_000}
    fetched(mailbox)
    assert subjects() == ["Number 1", "Number 2", "Number 3", "Number 4"]


def test_a_message_that_cannot_be_parsed_is_stored_and_stays(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_server(mailbox, OnServer.DELETE)
    server.mailbox.messages = {"a": message(1), "bad": message(2)}

    def failing(received: object, rules: object) -> object:
        if "Number 2" in str(received.fields):  # type: ignore[attr-defined]
            raise ValueError("a fault of the parser")
        return inspect_received(received, rules)  # type: ignore[arg-type]

    monkeypatch.setattr("outbox.inbound.facts.inspect_received", failing)
    fetched(mailbox)
    assert subjects() == ["Number 1", "Number 2"]
    assert list(server.mailbox.messages) == ["bad"]
    fetched(mailbox)
    assert InboundMessage.objects.count() == 2
    assert list(server.mailbox.messages) == ["bad"]


def test_a_message_that_the_database_rejects_does_not_stop_others(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason: here a text that is too long for its column, or a value without text."""
    server.mailbox.messages = {str(number): message(number) for number in range(3)}

    def wrong(source: bytes, rules: object) -> object:
        facts = read_facts(source, rules)  # type: ignore[arg-type]
        if b"Number 1" in source:
            facts.values["subject"] = None
        return facts

    monkeypatch.setattr("outbox.inbound.session.read_facts", wrong)
    fetched(mailbox)
    assert subjects() == ["", "Number 0", "Number 2"]
    bare = InboundMessage.objects.get(subject="")
    assert bare.source.read() == message(1)


# --- logins ---------------------------------------------------------------------------------------


def test_a_rejected_login_waits_for_a_person(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.rejects = "-ERR [AUTH] wrong password"
    fetched(mailbox)
    assert mailbox.next_fetch_at is None
    assert "wrong password" in str(mailbox.reason)
    assert server.mailbox.commands["PASS"] == 1


def test_an_unclear_rejection_is_repeated_rarely_then_never(
    server: PopServer, mailbox: Mailbox
) -> None:
    server.mailbox.rejects = "-ERR no"
    waits = []
    for _ in range(UNCLEAR_MAX - 1):
        now = database_now()
        fetched(mailbox)
        assert mailbox.next_fetch_at is not None
        waits.append(mailbox.next_fetch_at - now)
    fetched(mailbox)
    assert mailbox.next_fetch_at is None
    assert all(wait > dt.timedelta(minutes=10) for wait in waits)


def test_only_logins_count_as_unclear(server: PopServer, mailbox: Mailbox) -> None:
    """A server that could not be reached for a while does not require a person."""

    def drop(command: str) -> None:
        if command == "CAPA":
            raise Drop

    server.mailbox.before = drop
    for _ in range(UNCLEAR_MAX):
        fetched(mailbox)
    server.mailbox.before = lambda command: None
    server.mailbox.rejects = "-ERR no"
    fetched(mailbox)
    assert mailbox.failures == UNCLEAR_MAX + 1
    assert mailbox.next_fetch_at is not None
    server.mailbox.rejects = ""
    fetched(mailbox)
    assert (mailbox.failures, mailbox.unclear_logins) == (0, 0)


def test_a_busy_mailbox_is_left_alone(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.messages = {"a": message(1)}
    with server.mailbox.lock:  # of another program's session
        fetched(mailbox)
    assert mailbox.next_fetch_at is not None
    assert "Another session has the mailbox open" in str(mailbox.reason)
    assert InboundMessage.objects.count() == 0
    fetched(mailbox)
    assert InboundMessage.objects.count() == 1


def test_a_leased_mailbox_is_not_fetched(server: PopServer, mailbox: Mailbox) -> None:
    until = database_now() + dt.timedelta(minutes=1)
    Mailbox.objects.filter(pk=mailbox.pk).update(lease_until=until, lease_key="another")
    assert fetch_mailbox(mailbox.pk).is_busy
    assert server.mailbox.commands["PASS"] == 0
    mailbox.refresh_from_db()
    assert mailbox.lease_key == "another"


def test_a_lost_lease_stores_nothing_more(server: PopServer, mailbox: Mailbox) -> None:
    on_server(mailbox, OnServer.DELETE)
    server.mailbox.messages = {"a": message(1)}
    taken = threading.Event()

    def lose(source: bytes, rules: object) -> object:
        Mailbox.objects.filter(pk=mailbox.pk).update(lease_key="another")
        taken.set()
        return read_facts(source, rules)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outbox.inbound.session.read_facts", lose)
        assert fetch_mailbox(mailbox.pk).is_busy
    assert taken.is_set()
    assert InboundMessage.objects.count() == 0
    assert list(server.mailbox.messages) == ["a"]
    mailbox.refresh_from_db()
    assert mailbox.lease_key == "another"


def test_a_lost_lease_marks_nothing_of_the_next_fetcher_as_gone(
    server: PopServer, mailbox: Mailbox
) -> None:
    """The listing of a session is older than what a fetcher that took over has stored."""
    server.mailbox.messages = {"a": message(1)}
    fetched(mailbox)

    def take_over(rows: list[int], using: str) -> int:
        Mailbox.objects.filter(pk=mailbox.pk).update(lease_key="another")
        known = {"mailbox_id": mailbox.pk, "size": 1, "seen_at": database_now()}
        ServerMessage.objects.get_or_create(uid="b", defaults=known)
        return mark_deleted(rows, using)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outbox.inbound.session.mark_deleted", take_over)
        fetch_mailbox(mailbox.pk)
    assert ServerMessage.objects.get(uid="b").deleted_at is None


# --- many messages --------------------------------------------------------------------------------


@pytest.mark.system
def test_a_large_mailbox_takes_few_queries(server: PopServer, mailbox: Mailbox) -> None:
    """The listing is looked up a thousand messages at a time, however few of them are new."""
    server.mailbox.messages = {"first": message(1)}
    with CaptureQueriesContext(connection) as few:
        fetched(mailbox)
    count = 20_000
    now = database_now()
    ServerMessage.objects.bulk_create(
        ServerMessage(mailbox=mailbox, uid=f"u{number}", size=9, seen_at=now)
        for number in range(count)
    )
    server.mailbox.messages = {f"u{number}": b"" for number in range(count)}
    server.mailbox.messages["new"] = message(2)
    with CaptureQueriesContext(connection) as captured:
        fetched(mailbox)
    assert subjects() == ["Number 1", "Number 2"]
    assert len(captured) < len(few) + count / 1_000 + 2


def test_an_interrupted_fetch_continues(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.mailbox.capabilities = ("UIDL", "USER")  # each message is requested after the one before
    monkeypatch.setattr(session, "_BATCH", 5)
    server.mailbox.messages = {str(number): message(number) for number in range(10)}

    def interrupt(command: str) -> None:
        if command == "RETR" and server.mailbox.commands["RETR"] == 8:
            raise Drop

    server.mailbox.before = interrupt
    fetch_mailbox(mailbox.pk)
    stored = InboundMessage.objects.count()
    assert stored == 7, "also those of a batch that is not full"
    fetched(mailbox)
    assert InboundMessage.objects.count() == 10
    assert len(subjects()) == len(set(subjects()))


def test_sessions_follow_each_other_until_nothing_is_new(
    server: PopServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Gmail, whose listing has some 250 messages at a time."""
    monkeypatch.setattr("outbox.inbound.pop3_server.is_gmail", lambda host: True)
    everything = {str(number): message(number) for number in range(7)}
    server.mailbox.messages = dict(list(everything.items())[:3])

    def after(command: str) -> None:
        listed = list(everything)
        position = listed.index(next(iter(server.mailbox.messages)))
        more = listed[position + 3 : position + 6] or listed[-3:]
        server.mailbox.messages = {uid: everything[uid] for uid in more}

    server.mailbox.after = after
    outcome = fetch_mailbox(mailbox.pk)
    assert InboundMessage.objects.count() == 7
    assert outcome.sessions >= 3

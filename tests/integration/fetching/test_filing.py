r"""Copies of sent messages are appended to the \Sent mailbox, and never affect the messages."""

import datetime as dt
import hashlib
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from dev.processes import wait_until
from outbox.api.mailboxes import save_mailbox, unfiled_copies
from outbox.db.clock import database_now
from outbox.inbound import filing, runner
from outbox.inbound.filing import ATTEMPTS_MAX, due_mailboxes, file_mailbox, find_copies
from outbox.models import (
    Account,
    Folder,
    LastRun,
    Mailbox,
    MailProtocol,
    Message,
    Recipient,
    SentCopy,
    Source,
    State,
    Status,
)
from outbox.models.removal import delete_messages
from outbox.reasons import ReasonCode
from tests.integration.fetching.imap_server import ImapServer
from tests.integration.fetching.pop_server import PASSWORD, USER
from tests.states import set_state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]
NO_TIME = dt.timedelta()


@pytest.fixture
def server() -> Iterator[ImapServer]:
    with ImapServer() as running:
        yield running


@pytest.fixture
def mailbox(server: ImapServer, owner: User) -> Mailbox:
    account = Account.objects.create(
        owner=owner, name="Work", from_address=USER, host="127.0.0.1", port=1, security="none"
    )
    found = Mailbox(
        account=account,
        protocol=MailProtocol.IMAP,
        host="127.0.0.1",
        port=server.port,
        security="none",
        username=USER,
        files_sent=True,
    )
    save_mailbox(found, password=PASSWORD)
    return found


def queue(
    mailbox: Mailbox, number: int, *states: State, age: dt.timedelta = NO_TIME, **values: object
) -> Message:
    """Store a message whose recipients have these states."""
    source = f"Message-ID: <{number}@example.org>\r\n\r\nHello.\r\n".encode()
    now = database_now()
    fields = {
        "owner": mailbox.account.owner,
        "account": mailbox.account,
        "status": Status.SENT,
        "folder": Folder.SENT,
        "message_id": f"{number}@example.org",
        "queued_at": now - age,
        "listed_at": now - age,
        "recipient_count": len(states),
    }
    message = Message.objects.create(**(fields | values))
    Source.of(message.pk, source, hashlib.sha256(source).hexdigest()).save()
    for index, state in enumerate(states):
        Recipient.objects.create(message=message, address=f"r{index}@example.com")
        chosen = message.recipients.filter(address=f"r{index}@example.com")
        set_state(chosen, state, final_at=now if state == State.SENT else None)
    return message


def file_all(mailbox: Mailbox) -> int:
    """Do what the periodic run does."""
    find_copies("default")
    assert set(due_mailboxes("default")) <= {mailbox.pk}
    return sum(file_mailbox(pk, "default") for pk in due_mailboxes("default"))


def make_due(message: Message) -> None:
    SentCopy.objects.filter(pk=message.pk).update(next_at=database_now())


def test_a_copy_of_each_message_is_stored_once(server: ImapServer, mailbox: Mailbox) -> None:
    message = queue(mailbox, 1, State.SENT)
    partly = queue(mailbox, 2, State.FAILED, State.SENT)
    assert file_all(mailbox) == 2
    assert file_all(mailbox) == 0
    assert server.sent.messages == [message.source.read(), partly.source.read()]
    assert server.sent.commands.count("LOGIN") == 1
    assert "SEARCH" not in server.sent.commands
    assert message.sent_copy.filed_at is not None


def test_a_message_waits_until_a_recipient_is_accepted(
    server: ImapServer, mailbox: Mailbox
) -> None:
    message = queue(mailbox, 1, State.QUEUED, status=Status.QUEUED, folder=Folder.OUTBOX)
    assert file_all(mailbox) == 0
    assert server.sent.commands == []
    copy = SentCopy.objects.get()
    assert copy.next_at is not None
    assert copy.next_at > database_now()
    set_state(message.recipients, State.SENT, final_at=database_now())
    make_due(message)
    assert file_all(mailbox) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"is_sensitive": True},
        {"folder": Folder.DRAFTS, "status": Status.DRAFT},
        {"account": None},
        {"age": dt.timedelta(minutes=1)},
    ],
    ids=["sensitive", "draft", "another account", "before it was switched on"],
)
def test_other_messages_are_not_stored(
    server: ImapServer, mailbox: Mailbox, values: dict[str, object]
) -> None:
    queue(mailbox, 1, State.SENT, **values)  # type: ignore[arg-type]  # of either kind
    assert file_all(mailbox) == 0
    assert not SentCopy.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [{"files_sent": False}, {"is_active": False}, {"protocol": "pop3", "files_sent": False}],
    ids=["off", "inactive", "pop3"],
)
def test_a_mailbox_without_copies_forgets_those_that_wait(
    server: ImapServer, mailbox: Mailbox, changes: dict[str, object]
) -> None:
    queue(mailbox, 1, State.SENT)
    find_copies("default")
    assert SentCopy.objects.count() == 1
    for name, value in changes.items():
        setattr(mailbox, name, value)
    save_mailbox(mailbox, password=PASSWORD)
    assert not SentCopy.objects.exists()
    assert file_all(mailbox) == 0
    assert server.sent.commands == []


def test_a_lost_response_does_not_repeat_the_copy(server: ImapServer, mailbox: Mailbox) -> None:
    message = queue(mailbox, 1, State.SENT)
    server.sent.loses_response = True
    assert file_all(mailbox) == 0
    assert unfiled_copies(mailbox)[0] == 1
    server.sent.loses_response = False
    make_due(message)
    assert file_all(mailbox) == 1
    assert len(server.sent.messages) == 1
    assert unfiled_copies(mailbox) == (0, [])


def test_a_rejected_copy_leaves_the_message_sent_and_is_retried_only_so_often(
    server: ImapServer, mailbox: Mailbox
) -> None:
    message = queue(mailbox, 1, State.SENT)
    server.sent.rejects = b"<1@"
    other = queue(mailbox, 2, State.SENT)
    assert file_all(mailbox) == 1
    assert server.sent.messages == [other.source.read()]
    copy = message.sent_copy
    assert copy.next_at is not None
    assert dt.timedelta(minutes=3) < copy.next_at - database_now() < dt.timedelta(minutes=7)
    SentCopy.objects.filter(pk=message.pk).update(attempts=ATTEMPTS_MAX - 1)
    make_due(message)
    assert file_all(mailbox) == 0
    copy.refresh_from_db()
    assert SentCopy.objects.filter(pk=message.pk, next_at=None, filed_at=None).exists()
    count, (reason,) = unfiled_copies(mailbox)
    assert (count, reason.code) == (1, ReasonCode.COMMAND_REJECTED)
    assert "OVERQUOTA" in str(reason)
    message.refresh_from_db()
    assert message.status == Status.SENT
    assert message.recipients.get().state == State.SENT

    server.sent.rejects = b""
    save_mailbox(mailbox)
    assert file_all(mailbox) == 1
    assert len(server.sent.messages) == 2


def test_a_rejected_login_counts_once_for_all_copies(server: ImapServer, mailbox: Mailbox) -> None:
    server.sent.rejects_login = True
    for number in range(3):
        queue(mailbox, number, State.SENT)
    assert file_all(mailbox) == 0
    assert file_all(mailbox) == 0
    assert server.sent.commands.count("LOGIN") == 1
    assert unfiled_copies(mailbox)[0] == 3
    assert set(SentCopy.objects.values_list("attempts", flat=True)) == {1}


def test_a_mailbox_that_waits_for_a_person_is_not_logged_in_to(
    server: ImapServer, mailbox: Mailbox
) -> None:
    queue(mailbox, 1, State.SENT)
    Mailbox.objects.update(next_fetch_at=None)
    assert file_all(mailbox) == 0
    assert server.sent.commands == []
    assert SentCopy.objects.get().attempts == 0


def test_a_copy_that_another_process_appends_is_skipped(
    server: ImapServer, mailbox: Mailbox
) -> None:
    queue(mailbox, 1, State.SENT)
    counts = []

    def during(command: str) -> None:
        if command == "APPEND":
            counts.append(len(due_mailboxes("default")))
            connections.close_all()  # of the server's thread

    server.sent.before = during
    assert file_all(mailbox) == 1
    assert counts == [0]


def test_interrupted_attempts_end(server: ImapServer, mailbox: Mailbox) -> None:
    message = queue(mailbox, 1, State.SENT)
    find_copies("default")
    SentCopy.objects.update(attempts=ATTEMPTS_MAX)
    assert file_mailbox(mailbox.pk, "default") == 0
    assert "APPEND" not in server.sent.commands
    assert message.sent_copy.reason.code == ReasonCode.SENT_COPY_INTERRUPTED


def test_a_look_continues_where_the_last_one_ended(
    server: ImapServer, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "_AT_ONCE", 2)
    for number in range(5):
        queue(mailbox, number, State.SENT)
    counts = []
    for _ in range(3):
        find_copies("default")
        counts.append(SentCopy.objects.count())
    assert counts == [2, 4, 5]


def test_one_look_serves_all_mailboxes(server: ImapServer, mailbox: Mailbox) -> None:
    """Each scan reads the latest messages of the whole site."""
    others = []
    for number in range(3):
        account = Account.objects.create(
            name=f"Other {number}", from_address=USER, host="a", port=1
        )
        other = Mailbox(account=account, protocol=MailProtocol.IMAP, host="a", files_sent=True)
        save_mailbox(other, password=PASSWORD)
        others.append(other)
    late, idle = others[0], others[1]
    now = database_now()
    Mailbox.objects.filter(pk=mailbox.pk).update(files_from=now - dt.timedelta(hours=2))
    Mailbox.objects.filter(pk=idle.pk).update(is_active=False)
    age = dt.timedelta(minutes=30)
    first = queue(mailbox, 1, State.SENT, age=age)
    queue(late, 2, State.SENT, age=age)  # before it was switched on
    queue(idle, 3, State.SENT)
    second = queue(late, 4, State.SENT)
    with CaptureQueriesContext(connections["default"]) as queries:
        find_copies("default")
    copies = set(SentCopy.objects.values_list("pk", "mailbox_id"))
    assert copies == {(first.pk, mailbox.pk), (second.pk, late.pk)}
    scans = [one["sql"] for one in queries if '"outbox_message"."listed_at" >= ' in one["sql"]]
    assert len(scans) == 1
    marks = dict(Mailbox.objects.values_list("pk", "files_from"))
    mark = marks[mailbox.pk]
    assert mark is not None
    assert mark >= now
    assert marks[late.pk] == late.files_from  # ahead: nothing before is wanted


@pytest.mark.skipif(
    "connections['default'].vendor != 'sqlite'", reason="PostgreSQL reads an empty table as a whole"
)
def test_a_scan_reads_the_index_of_the_latest_messages(mailbox: Mailbox) -> None:
    with CaptureQueriesContext(connections["default"]) as queries:
        find_copies("default")
    [scan] = [one["sql"] for one in queries if '"outbox_message"."listed_at" >= ' in one["sql"]]
    with connections["default"].cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {scan}")
        plan = [str(row[-1]) for row in cursor.fetchall()]
    assert any("outbox_message_newest (listed_at>?" in line for line in plan), plan


def test_a_message_that_failed_long_ago_is_forgotten(mailbox: Mailbox) -> None:
    message = queue(mailbox, 1, State.FAILED, status=Status.FAILED, folder=Folder.FAILED)
    find_copies("default")
    Message.objects.update(listed_at=database_now() - dt.timedelta(days=15))
    make_due(message)
    find_copies("default")
    assert not SentCopy.objects.exists()


def test_a_message_is_removed_with_its_copy(mailbox: Mailbox) -> None:
    message = queue(mailbox, 1, State.SENT)
    assert file_all(mailbox) == 1
    with transaction.atomic():
        delete_messages([message.pk], "default")
    assert not SentCopy.objects.exists()


def test_the_periodic_run_stores_copies_in_a_thread(server: ImapServer, mailbox: Mailbox) -> None:
    queue(mailbox, 1, State.SENT)
    LastRun.objects.all().delete()
    assert runner.file_in_background("default") == 1
    assert runner.file_in_background("default") == 0, "the next scan is later"
    wait_until(lambda: not runner._running.filings, within=30, what="the thread ended")
    assert len(server.sent.messages) == 1

"""A process that fetches a mailbox is killed at each step.

Afterwards each message is stored once, and the server has none of them. The table of
docs/reliability.md has the results.
"""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from dev.processes import wait_until
from outbox.db.clock import database_now
from outbox.inbound import fetch
from outbox.inbound.fetch import fetch_mailbox
from outbox.inbound.mail_server import MailboxBusyError, open_mail_server
from outbox.inbound.server_login import login_for
from outbox.models import Account, InboundMessage, InboundSource, Mailbox, OnServer, ServerMessage
from tests.acceptance.conftest import ROOT
from tests.integration.fetching.conftest import make_mailbox, message
from tests.integration.fetching.pop_server import PopServer
from tests.mailbox_servers.base import PASSWORD, USER
from tests.mailbox_servers.dovecot import PROGRAM, Dovecot

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.every_database,
    pytest.mark.timeout(300),
]
MESSAGES = 5
# What the killed process leaves: messages that are stored, and messages on the server.
POINTS = [
    ("before the commit", 0, MESSAGES),
    ("after the commit", MESSAGES, MESSAGES),
    ("after DELE", MESSAGES, MESSAGES),
    ("before QUIT", MESSAGES, MESSAGES),
    ("after QUIT", MESSAGES, 0),
]


@pytest.fixture
def account(ann: User) -> Account:
    return Account.objects.create(
        owner=ann, name="Work", from_address="ann@example.org", host="127.0.0.1"
    )


@pytest.fixture
def server() -> Iterator[PopServer]:
    with PopServer() as running:
        yield running


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    if PROGRAM is None:
        pytest.skip("the package dovecot-pop3d is not installed")
    with Dovecot() as running:
        yield running


def fetch_and_die(environment: dict[str, str], *arguments: str, within: float = 120) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.fetch_worker", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert ended.returncode == -9, ended.stdout + ended.stderr[-2_000:]


def end_lease(mailbox: Mailbox) -> None:
    past = database_now() - dt.timedelta(seconds=1)
    Mailbox.objects.filter(pk=mailbox.pk, lease_until__gt=past).update(lease_until=past)


def fetch_again(mailbox: Mailbox) -> None:
    """Fetch after the lease of the dead process has ended."""
    end_lease(mailbox)
    outcome = fetch_mailbox(mailbox.pk)
    assert not outcome.reason, outcome.reason
    assert outcome.is_complete


def check_all_stored_once() -> None:
    subjects = sorted(InboundMessage.objects.values_list("subject", flat=True))
    assert subjects == [f"Number {number}" for number in range(MESSAGES)]
    for row in InboundSource.objects.all():
        number = int(row.message.subject.split()[1])
        assert row.read() == message(number)
    assert ServerMessage.objects.count() == MESSAGES
    assert not ServerMessage.objects.filter(deleted_at=None).exists(), "as the server's listing"


@pytest.mark.parametrize(("point", "stored", "left"), POINTS)
def test_a_killed_fetch_stores_each_message_once(
    account: Account,
    server: PopServer,
    site_environment: dict[str, str],
    point: str,
    stored: int,
    left: int,
) -> None:
    mailbox = make_mailbox(account, server, on_server=OnServer.DELETE)
    server.mailbox.messages = {str(number): message(number) for number in range(MESSAGES)}
    fetch_and_die(site_environment, point)
    wait_until(lambda: not server.mailbox.lock.locked(), within=30, what="the session ended")
    assert InboundMessage.objects.count() == stored
    assert len(server.mailbox.messages) == left
    assert not ServerMessage.objects.exclude(deleted_at=None).exists(), "QUIT is not known"
    fetch_again(mailbox)
    assert server.mailbox.messages == {}
    check_all_stored_once()


def mailbox_of(account: Account, dovecot: Dovecot) -> Mailbox:
    mailbox = Mailbox(
        account=account,
        host="127.0.0.1",
        port=dovecot.ports["pop3s"],
        security="tls",
        username=USER,
        on_server=OnServer.DELETE,
    )
    mailbox.secret = PASSWORD
    mailbox.save()
    return mailbox


@pytest.mark.system
@pytest.mark.parametrize(("point", "stored", "left"), POINTS)
def test_with_dovecot(
    account: Account,
    dovecot: Dovecot,
    settings: LazySettings,
    site_environment: dict[str, str],
    point: str,
    stored: int,
    left: int,
) -> None:
    mailbox = mailbox_of(account, dovecot)
    dovecot.deliver(*map(message, range(MESSAGES)))
    environment = site_environment | {"OUTBOX_CA_FILE": dovecot.ca_file}
    fetch_and_die(environment, point)
    assert InboundMessage.objects.count() == stored
    assert len(dovecot.stored()) == left
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": dovecot.ca_file}
    wait_until(lambda: _is_free(mailbox), within=60, what="Dovecot noticed the end")
    fetch_again(mailbox)
    assert dovecot.stored() == []
    check_all_stored_once()


def _is_free(mailbox: Mailbox) -> bool:
    try:
        open_mail_server(login_for(mailbox, "default")).abandon()
    except MailboxBusyError:
        return False
    return True


MANY = 100_000
SECONDS = 40.0  # of a session: to fetch all messages would take an hour on a slow machine


@pytest.mark.system
@pytest.mark.timeout(1_800)
def test_with_many_messages(
    account: Account,
    dovecot: Dovecot,
    settings: LazySettings,
    site_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sessions of a mailbox with 100,000 messages fetch the newest thousands, and two are killed.

    After each, no message is lost or stored twice, and the rows agree with the server's listing.
    """
    mailbox = mailbox_of(account, dovecot)
    dovecot.deliver(*map(message, range(MANY)), with_sizes=True)
    every = {path.name for path in dovecot.stored()}
    assert len(every) == MANY
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": dovecot.ca_file}
    environment = site_environment | {"OUTBOX_CA_FILE": dovecot.ca_file}

    fetch_and_die(environment, "after the commit", "1001", within=600)  # before the 1,001st DELE
    assert check_listing(mailbox, every) == MANY
    first = InboundMessage.objects.count()
    assert first > 1_000

    end_lease(mailbox)
    fetch_and_die(environment, "before QUIT", "1", str(SECONDS), within=600)
    assert check_listing(mailbox, every) == MANY
    second = InboundMessage.objects.count()
    assert second > first

    end_lease(mailbox)
    monkeypatch.setattr(fetch, "SESSION_SECONDS", SECONDS)
    monkeypatch.setattr(fetch, "FETCH_SECONDS", 0.0)  # one session
    outcome = fetch_mailbox(mailbox.pk)
    assert not outcome.reason, outcome.reason
    assert outcome.deleted == outcome.stored > 0
    assert check_listing(mailbox, every) == MANY - outcome.deleted

    # Another program deletes what was not fetched, so that a session reaches the end.
    known = set(ServerMessage.objects.values_list("uid", flat=True))
    for path in dovecot.stored():
        if _uid(path) not in known:
            path.unlink()
    monkeypatch.setattr(fetch, "SESSION_SECONDS", 600.0)
    fetch_again(mailbox)
    assert check_listing(mailbox, known) == 0
    assert InboundMessage.objects.count() == second + outcome.stored


def check_listing(mailbox: Mailbox, every: set[str]) -> int:
    """Check that the rows agree with the server's listing; return how many messages it has."""
    wait_until(lambda: _is_free(mailbox), within=120, what="Dovecot noticed the end")
    server = open_mail_server(login_for(mailbox, "default"))
    listed = {one.uid for one in server.messages()}
    server.abandon()
    rows = dict(ServerMessage.objects.values_list("uid", "deleted_at"))
    assert listed <= every
    assert every - listed <= rows.keys(), "what is no longer on the server is stored"
    assert {uid for uid, at in rows.items() if at is None} == listed & rows.keys()
    messages = InboundMessage.objects.values_list("message_id", flat=True)
    assert len(set(messages)) == len(messages) == len(rows), "each message is stored once"
    return len(listed)


def _uid(path: Path) -> str:
    return path.name.partition(":")[0]


@pytest.mark.system
def test_dovecot_by_imap(account: Account, dovecot: Dovecot, settings: LazySettings) -> None:
    """The same mailbox by the other protocol: what happens on the server does not depend on it."""
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": dovecot.ca_file}
    mailbox = Mailbox(
        account=account,
        protocol="imap",
        host="127.0.0.1",
        port=dovecot.ports["imaps"],
        security="tls",
        username=USER,
    )
    mailbox.secret = PASSWORD
    mailbox.save()
    dovecot.deliver(*map(message, range(MESSAGES)))
    fetch_again(mailbox)
    fetch_again(mailbox)
    assert InboundMessage.objects.count() == MESSAGES
    assert len(dovecot.stored()) == MESSAGES
    Mailbox.objects.update(on_server=OnServer.DELETE)
    fetch_again(mailbox)
    assert dovecot.stored() == []
    check_all_stored_once()

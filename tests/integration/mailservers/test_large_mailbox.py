"""A mailbox with 100,000 messages on Dovecot: bounded work, and a kill at any point loses nothing.

All are listed in each session. The newest 2,000 are fetched and deleted, by processes that are
killed. The others were fetched before, so that the test takes minutes and not an hour.
"""

import itertools
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.db.clock import database_now
from outbox.inbound.fetch import fetch_mailbox
from outbox.inbound.listing import STAYS_AFTER
from outbox.inbound.mail_server import Listed, Timeouts, open_mail_server
from outbox.models import Account, InboundMessage, Mailbox, OnServer, ServerMessage
from tests.integration.mailservers.test_real_servers import login_at, needed
from tests.mailbox_servers import dovecot
from tests.mailbox_servers.dovecot import PASSWORD, USER, Dovecot

COUNT = 100_000
NEW = 2_000
PATIENT = Timeouts(line=600, response=600)  # the first login reads the whole directory
BATCH = 100  # messages in one transaction

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(1_200),  # usually two minutes
]


def message(number: int) -> bytes:
    """Return a message that refers to another one, as replies do."""
    return (
        f"From: bob@example.com\r\nTo: {USER}\r\nSubject: Number {number}\r\n"
        f"Message-ID: <{number}@example.com>\r\nReferences: <{number // 4}@example.org>\r\n"
        "\r\nHello.\r\n"
    ).encode()


@pytest.fixture
def server(settings: LazySettings) -> Iterator[Dovecot]:
    needed(dovecot.PROGRAM, "dovecot-pop3d")
    with Dovecot() as running:
        settings.OUTBOX = settings.OUTBOX | {"CA_FILE": running.ca_file}
        yield running


@pytest.fixture
def mailbox(server: Dovecot) -> Mailbox:
    owner = User.objects.create_user("ann", password="for this test")
    account = Account.objects.create(
        owner=owner, name="Work", from_address="a@example.org", host="127.0.0.1"
    )
    found = Mailbox(
        account=account,
        host="localhost",
        port=server.ports["pop3s"],
        security="tls",
        username=USER,
        on_server=OnServer.DELETE,
    )
    found.secret = PASSWORD
    found.save()
    return found


def listing(server: Dovecot) -> list[Listed]:
    found = open_mail_server(login_at(server, "pop3", "tls"), timeouts=PATIENT)
    try:
        return found.messages()
    finally:
        found.abandon()


def known_before(mailbox: Mailbox, listed: list[Listed]) -> None:
    """Record messages as fetched, and as some that the server does not delete."""
    now = database_now()
    rows = (
        ServerMessage(mailbox=mailbox, uid=one.uid, seen_at=now, returned=STAYS_AFTER)
        for one in listed
    )
    ServerMessage.objects.bulk_create(rows, batch_size=1_000)


def killed(environment: dict[str, str], point: str, number: int) -> None:
    """Fetch in a process that is killed when it is at a point for the nth time."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.fetch_worker", point, str(number)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    Mailbox.objects.update(lease_until=None)  # which other processes wait 90 seconds for


def stored() -> list[str]:
    return list(InboundMessage.objects.values_list("message_id", flat=True))


def test_nothing_is_lost_or_stored_twice_by_kills(
    server: Dovecot, mailbox: Mailbox, site_environment: dict[str, str]
) -> None:
    """Items 142, 143 and 146."""
    server.deliver(*map(message, range(COUNT)))
    listed = listing(server)
    assert len(listed) == COUNT
    known_before(mailbox, listed[:-NEW])
    environment = site_environment | {"OUTBOX_CA_FILE": server.ca_file}

    for point, number in (("after the commit", 1), ("after DELE", 250), ("before QUIT", 1)):
        before = set(stored())
        killed(environment, point, number)
        after = stored()
        assert len(after) == len(set(after)), f"stored twice, killed {point}"
        assert before < set(after), "each process continues where the one before was killed"
        assert len(server.stored()) == COUNT, "nothing is deleted without QUIT"
    assert set(stored()) == {f"{number}@example.com" for number in range(COUNT - NEW, COUNT)}

    with CaptureQueriesContext(connection) as captured:
        outcome = fetch_mailbox(mailbox.pk)
    assert (outcome.stored, outcome.deleted, outcome.is_complete) == (0, NEW, True)
    assert len(captured) < COUNT / 1_000 + 40
    assert len(stored()) == NEW
    present = ServerMessage.objects.filter(deleted_at=None).values_list("uid", flat=True)
    assert {one.uid for one in listing(server)} == set(present)
    assert len(present) == COUNT - NEW

    _check_work(server, mailbox)


def _check_work(server: Dovecot, mailbox: Mailbox) -> None:
    """Check that the last batches of a fetch take no more statements than the first ones."""
    server.deliver(*map(message, range(COUNT, COUNT + NEW)))
    with CaptureQueriesContext(connection) as captured:
        assert fetch_mailbox(mailbox.pk).stored == NEW
    is_batch = re.compile(r'INSERT INTO "outbox_inboundmessage"').match
    starts = [at for at, query in enumerate(captured.captured_queries) if is_batch(query["sql"])]
    assert len(starts) == NEW / BATCH
    work = [end - start for start, end in itertools.pairwise(starts)]
    half = len(work) // 2
    assert max(work) < BATCH / 2, "not one for each message"
    assert sum(work[half : 2 * half]) <= sum(work[:half])

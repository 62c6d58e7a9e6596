r"""A process is killed after it appended the copy of a sent message, and before it knows that.

Afterwards the copy is in the \Sent mailbox once.
"""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from outbox.api.mailboxes import save_mailbox
from outbox.db.clock import database_now
from outbox.inbound.filing import due_mailboxes, file_mailbox
from outbox.models import Account, Mailbox, SentCopy, State
from tests.acceptance.conftest import ROOT
from tests.integration.fetching.test_filing import queue
from tests.mailbox_servers.base import PASSWORD, USER
from tests.mailbox_servers.dovecot import PROGRAM, Dovecot

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.every_database,
    pytest.mark.system,
    pytest.mark.timeout(300),
]


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    if PROGRAM is None:
        pytest.skip("the package dovecot-imapd is not installed")
    with Dovecot() as running:
        yield running


def test_a_killed_process_leaves_one_copy(
    ann: User, dovecot: Dovecot, settings: LazySettings, site_environment: dict[str, str]
) -> None:
    mailbox = Mailbox(
        account=Account.objects.create(
            owner=ann, name="Work", from_address="ann@example.org", host="127.0.0.1"
        ),
        protocol="imap",
        host="127.0.0.1",
        port=dovecot.ports["imaps"],
        security="tls",
        username=USER,
        files_sent=True,
    )
    save_mailbox(mailbox, password=PASSWORD)
    message = queue(mailbox, 1, State.SENT)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.filing_worker"],
        env=site_environment | {"OUTBOX_CA_FILE": dovecot.ca_file},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == -9, ended.stdout + ended.stderr[-2_000:]
    (path,) = dovecot.maildir.glob(".*/*/1*")
    assert path.name.endswith(":2,S")
    copy = SentCopy.objects.get()
    assert copy.filed_at is None
    assert not due_mailboxes("default"), "the dead process has its lease"

    SentCopy.objects.update(next_at=database_now() - dt.timedelta(seconds=1))
    settings.OUTBOX = settings.OUTBOX | {"CA_FILE": dovecot.ca_file}
    assert due_mailboxes("default") == [mailbox.pk]
    assert file_mailbox(mailbox.pk, "default") == 1
    assert list(dovecot.maildir.glob(".*/*/1*")) == [path]
    assert path.read_bytes().replace(b"\r\n", b"\n") == message.source.read().replace(
        b"\r\n", b"\n"
    )
    copy.refresh_from_db()
    assert copy.filed_at is not None

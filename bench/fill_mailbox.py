"""Create the mailbox that `make fill` measures: schema, users, account, contacts and messages.

Django must be set up on an empty database.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from bench.fill_received import ReceivedFiller
from bench.fill_rows import SENDER, Filler, timed
from bench.fill_words import Words
from dev.processes import Process, wait_until
from outbox.mail.addresses import parse_address
from outbox.models import Account, Contact, Mailbox, OnUncertain, ShareDecision, Template

READER = "robin"
OTHERS = 20
CONTACTS = 5_000
CONNECTIONS = 20


def make(count: int, received: int) -> None:
    """Fill the database of Django."""
    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory(prefix="outbox-fill-") as folder:
        ready = Path(folder) / "port"
        server = Process([sys.executable, "-m", "bench.fill_server", str(ready)])
        try:
            wait_until(ready.exists, within=60, what="the mail server", process=server)
            _fill(count, received, int(ready.read_text()))
        finally:
            server.stop()


def _fill(count: int, received: int, port: int) -> None:
    words = Words()
    reader = User.objects.create(username=READER)
    others = [User.objects.create(username=f"other{number}") for number in range(OTHERS)]
    sender = parse_address(SENDER)
    account = Account.objects.create(
        owner=reader,
        name="Mail",
        from_name=sender.name,
        from_address=sender.spec,
        host="127.0.0.1",
        port=port,
        security="none",
        max_connections=CONNECTIONS,
        on_uncertain=OnUncertain.HOLD,
        tested_at=timezone.now(),
    )
    account.users.add(*others)
    ShareDecision.objects.bulk_create(
        ShareDecision(account=account, user=one, is_accepted=True) for one in others
    )
    for number in range(20):
        Template.objects.create(owner=reader, name=f"Template {number}", subject="Hello", text="…")
    known = (parse_address(f"{one.name} <{one.address}>") for one in words.people[:CONTACTS])
    Contact.objects.remember(reader.pk, known, timezone.now(), most=CONTACTS)
    Filler(reader, others, account, words).fill(count, os.environ)
    Mailbox.objects.create(account=account, host="127.0.0.1")
    with timed("receive"):
        ReceivedFiller(reader, others, account, words).fill(received)

"""The mailbox that `make fill` measures: its schema, its people and account, its mail, all checked.

Needs Django set up on an empty database.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from bench.fill_rows import SENDER_HEADER, Keys, fill
from bench.fill_words import Words
from outbox.mail.addresses import parse_address
from outbox.models import Account, Destination, SearchEntry, Template, Worker
from outbox.models.search import put_in

READER = "robin"
OTHERS = 20
CHECKED = 40  # search entries


def make(url: str, count: int) -> None:
    """Fill the database at the URL, which Django uses too."""
    call_command("migrate", verbosity=0)
    total = fill(url, _keys(), Words(), count)
    _check_entries(total)


def _keys() -> Keys:
    reader = User.objects.create(username=READER)
    others = [User.objects.create(username=f"other{number}") for number in range(OTHERS)]
    address = parse_address(SENDER_HEADER)
    now = timezone.now()
    account = Account.objects.create(
        owner=reader, name="Mail", from_name=address.name, from_address=address.spec,
        host="mx.example.net", tested_at=now,
    )  # fmt: skip
    destination = Destination.objects.create(account=account, key="smarthost")
    worker = Worker.objects.create(
        host="worker.example", pid=1, version="1", started_at=now, heartbeat_at=now, lease_until=now
    )
    for number in range(20):
        Template.objects.create(owner=reader, name=f"Template {number}", subject="Hello", text="…")
    return Keys(reader.pk, [one.pk for one in others], account.pk, destination.pk, worker.pk)


def _check_entries(total: int) -> None:
    """See that what was filled in is found by the very terms that the app would have written."""
    keys = list(range(1, total + 1, max(total // CHECKED, 1)))
    filled = _terms(keys)
    put_in(keys, "default")
    written = _terms(keys)
    different = [key for key in keys if filled[key] != written[key]]
    if different:
        key = different[0]
        raise SystemExit(f"Not as the app indexes it: {key}\n{filled[key]}\n{written[key]}")
    connection.close()


def _terms(keys: list[int]) -> dict[int, tuple[str, str]]:
    found = SearchEntry.objects.filter(pk__in=keys).values_list("pk", "head", "body")
    return {key: (head, body) for key, head, body in found}

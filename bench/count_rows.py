"""What `make bench-admin` fills for the operations dashboard: outcomes of 90 days, and the queue.

The counts are written by the function with which workers write them: minutes of every worker for
two days, hours before that, as the sweep leaves them. Django must be set up.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from django.db import transaction
from django.db.models import F

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.delivery import snapshot
from outbox.delivery.old_counts import COMPACTED_AFTER
from outbox.mail.server_replies import FailureKind, normalized_reply
from outbox.models import CountMark, Destination, Recipient, Worker, reply_group
from outbox.models.delivery_count import CountKey, add

WORKERS = 4
DOMAINS = 4_000
REPLIES = 400
IN_MINUTE = 15  # rows of one worker
IN_HOUR = 200  # rows of all workers
_OUTCOMES = ("sent", "deferred", "failed", "expired", "uncertain")
_WEIGHTS = (85, 9, 4.5, 1, 0.5)
_DESTINATIONS = ("gmail.com", "outlook.com", *(f"mx{n}.example.net" for n in range(298)))
_AT_ONCE = 200  # minutes or hours in one transaction


def make(account_ids: Sequence[int], using: str = "default") -> None:
    """Fill the counts, the destinations, the workers and the snapshot of the queue."""
    chosen = random.Random(1)  # noqa: S311  # the same rows each time
    keys = _reply_keys(using)
    workers = _workers(using)
    now = database_now(using)
    begins = []
    for minute, worker in _moments(now, workers):
        begins.append((minute, worker))
        if len(begins) == _AT_ONCE:
            _write(begins, account_ids, keys, chosen, using)
            begins.clear()
    _write(begins, account_ids, keys, chosen, using)
    CountMark.objects.using(using).update_or_create(
        pk=1, defaults={"compacted_until": _hour(now - COMPACTED_AFTER)}
    )
    _assign_destinations(account_ids, using)
    snapshot.refresh(using)


def _moments(now: dt.datetime, workers: Sequence[int]) -> Iterator[tuple[dt.datetime, int]]:
    hour = _hour(now - dt.timedelta(seconds=get_conf().count_retention)) + dt.timedelta(hours=1)
    detailed = _hour(now - COMPACTED_AFTER)
    while hour < detailed:
        yield hour, 0
        hour += dt.timedelta(hours=1)
    minute = detailed
    while minute <= now:
        for worker in workers:
            yield minute, worker
        minute += dt.timedelta(minutes=1)


def _hour(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _write(
    begins: Sequence[tuple[dt.datetime, int]],
    account_ids: Sequence[int],
    keys: Sequence[int],
    chosen: random.Random,
    using: str,
) -> None:
    counts: Counter[CountKey] = Counter()
    for minute, worker in begins:
        rows = IN_MINUTE if worker else IN_HOUR
        for outcome in chosen.choices(_OUTCOMES, _WEIGHTS, k=rows):
            account = account_ids[int(len(account_ids) * chosen.random() ** 2)]
            reply = 0 if outcome == "sent" else keys[int(len(keys) * chosen.random() ** 3)]
            key = CountKey(minute, worker, account, _domain(chosen), outcome, reply)
            counts[key] += chosen.randrange(1, 40)
    with transaction.atomic(using=using):
        add(counts, using)


def _domain(chosen: random.Random) -> str:
    kind = chosen.random()
    if kind < 0.3:  # as in admin_rows
        return "gmail.com"
    if kind < 0.4:
        return "outlook.com"
    return f"domain{int(DOMAINS * chosen.random() ** 3)}.example"


def _reply_keys(using: str) -> list[int]:
    kinds = tuple(FailureKind)
    replies = [
        normalized_reply(
            550 if number % 3 else 451, "5.1.1", f"Rejected by rule {_letters(number)}"
        )
        for number in range(REPLIES)
    ]
    with transaction.atomic(using=using):
        reply_group.store(
            ((reply, kinds[number % len(kinds)]) for number, reply in enumerate(replies)), using
        )
    return [reply.key for reply in replies]


def _letters(number: int) -> str:
    """Return a word without digits, since a normalized reply has none."""
    return "".join(chr(ord("a") + number // 26**place % 26) for place in range(3))


def _workers(using: str) -> list[int]:
    now = database_now(using)
    rows = [
        Worker(
            host=f"worker{number}.example.com",
            pid=number + 1,
            version="1",
            started_at=now,
            heartbeat_at=now,
            lease_until=now + dt.timedelta(days=365),
        )
        for number in range(WORKERS)
    ]
    for row in rows:
        row.save(using=using, force_insert=True)
    return [row.pk for row in rows]


def _assign_destinations(account_ids: Sequence[int], using: str) -> None:
    """Create destinations, and give one to every recipient that waits."""
    rows = Destination.objects.using(using)
    made = rows.bulk_create(
        Destination(account_id=account_ids[number % len(account_ids)], key=key)
        for number, key in enumerate(_DESTINATIONS)
    )
    number = F("pk") % len(made)
    waiting = Recipient.objects.using(using).filter(next_attempt_at__isnull=False)
    waiting.update(destination_id=made[0].pk + number)

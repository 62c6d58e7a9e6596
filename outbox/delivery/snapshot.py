"""The snapshot of the queue: how many recipients wait, for how long, and where.

It reads all waiting recipients, so one process makes it and everyone reads the result. Of a long
queue it reads the index by destination, and estimates states and ages from a sample of the rows. It
is made less often then: it takes no more than a twentieth of one connection's time.
"""

import datetime as dt
from collections import Counter
from time import monotonic
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Count, Min, Q, QuerySet

from outbox.db.bulk import fetch
from outbox.db.clock import database_now
from outbox.delivery.due import waiting
from outbox.models import DUE, QueueSnapshot, Recipient
from outbox.models.delivery_count import DOMAIN_MAX

INTERVAL = dt.timedelta(seconds=15)
_PAUSE_FACTOR = 20  # times what a snapshot took, until the next
AGES = (5, 10, 20, 40, 80, 160, 320, 640, 1440)  # minutes: the limits of the ages, as in qshape
DOMAINS_SHOWN = 20  # the largest ones; the others are one row
SAMPLE = 100_000  # recipients of a longer queue whose states and ages are read, more or less
_ONE = 1  # the id of the only row

# What follows the last "@", in lower case. SQLite has no function for it.
_DOMAIN = {
    "postgresql": "lower(split_part(r.address, '@', -1))",
    "sqlite": "lower(replace(r.address, rtrim(r.address, replace(r.address, '@', '')), ''))",
}
# A recipient that was never tried waits since it was due, the others since their first attempt.
_SINCE = "COALESCE(r.first_attempt_at, r.next_attempt_at)"
# An even spread of the ids, which does not depend on how many recipients a message has.
_SPREAD = 65_536
_IS_SAMPLED = f"(r.id %% 65521) * 40503 %% {_SPREAD} < %s"
_LATER = len(AGES) + 1  # the number of what is scheduled for later, after those of the ages
_DETAILS = f"""
SELECT r.state, {{domain}} AS domain,
    CASE WHEN {_SINCE} > %s THEN {_LATER} {{ages}} ELSE {len(AGES)} END AS age, COUNT(*)
FROM outbox_recipient r WHERE r.next_attempt_at IS NOT NULL AND {_IS_SAMPLED}
GROUP BY 1, 2, 3"""  # noqa: S608  # constants only


class _Queue(NamedTuple):
    """How many recipients wait, and how many of them are due, by destination."""

    waiting: Counter[int]
    due: Counter[int]
    oldest_due_at: dt.datetime | None


class _Details(NamedTuple):
    """The states and the ages of the recipients that wait."""

    states: Counter[str]
    ages: dict[str, list[int]]  # by domain


def refresh(using: str) -> int:
    """Replace the snapshot if it is due; return 1 if it was. One process does so at a time."""
    rows = QueueSnapshot.objects.using(using)
    now = database_now(using)
    rows.get_or_create(pk=_ONE, defaults={"next_at": now})
    # The process that changes the row makes the snapshot, without an open transaction. If it ends
    # before it has finished, the next one comes an interval later.
    if not rows.filter(pk=_ONE, next_at__lte=now).update(next_at=now + INTERVAL):
        return 0
    started = monotonic()
    values = _measure(now, using)
    took = dt.timedelta(seconds=monotonic() - started)
    next_at = now + max(INTERVAL, _PAUSE_FACTOR * took)
    rows.filter(pk=_ONE).update(
        at=now, next_at=next_at, took_ms=took // dt.timedelta(milliseconds=1), **values
    )
    return 1


def _measure(now: dt.datetime, using: str) -> dict[str, Any]:
    queue = _read_index(now, using)
    depth = queue.waiting.total()
    one_in = max(depth // SAMPLE, 1)
    if one_in == 1:
        queue = _read_rows(now, using)
        depth = queue.waiting.total()
    details = _details(now, one_in, depth, using)
    stopped = Recipient.objects.using(using).stopped().order_by()
    by_state = details.states + Counter(dict(stopped.values_list("state").annotate(Count("pk"))))
    return {
        "depth": depth,
        "due": queue.due.total(),
        "oldest_due_at": queue.oldest_due_at,
        "one_in": one_in,
        "by_state": dict(by_state),
        "by_destination": [
            [pk, number, queue.due[pk]] for pk, number in sorted(queue.waiting.items())
        ],
        "by_domain": _largest(details.ages),
    }


def _read_index(now: dt.datetime, using: str) -> _Queue:
    """Count in the index, which has no state: what is being sent is due, too."""
    counts = (
        _waiting(using)
        .values_list("destination_id")
        .annotate(
            number=Count("next_attempt_at"),
            due=Count("next_attempt_at", filter=Q(next_attempt_at__lte=now)),
        )
    )
    found, due = Counter[int](), Counter[int]()
    for destination_id, number, number_due in counts:
        found[destination_id or 0] = number
        due[destination_id or 0] = number_due
    first = min(waiting(using).values(), default=None)
    return _Queue(found, due, first if first and first <= now else None)


def _read_rows(now: dt.datetime, using: str) -> _Queue:
    """Count the rows."""
    is_due = Q(next_attempt_at__lte=now, state__in=DUE)
    counts = (
        _waiting(using)
        .values_list("destination_id")
        .annotate(
            number=Count("pk"),
            due=Count("pk", filter=is_due),
            first_due_at=Min("next_attempt_at", filter=is_due),
        )
    )
    found, due = Counter[int](), Counter[int]()
    oldest: list[dt.datetime] = []
    for destination_id, number, number_due, first_due_at in counts:
        found[destination_id or 0] = number
        due[destination_id or 0] = number_due
        oldest += [first_due_at] if first_due_at else []
    return _Queue(found, due, min(oldest, default=None))


def _waiting(using: str) -> QuerySet[Recipient]:
    return Recipient.objects.using(using).filter(next_attempt_at__isnull=False).order_by()


def _details(now: dt.datetime, one_in: int, depth: int, using: str) -> _Details:
    """Return the states and ages, estimated from one recipient in so many."""
    connection = connections[using]
    adapt = connection.ops.adapt_datetimefield_value
    ages = " ".join(f"WHEN {_SINCE} > %s THEN {number}" for number in range(len(AGES)))
    limits = [adapt(now - dt.timedelta(minutes=minutes)) for minutes in AGES]
    sql = _DETAILS.format(domain=_DOMAIN[connection.vendor], ages=ages)
    rows = fetch(using, sql, [adapt(now), *limits, _SPREAD // one_in])
    states = Counter[str]()
    found: dict[str, list[int]] = {}
    for state, domain, age, number in rows:
        states[state] += number
        if age != _LATER:
            found.setdefault(domain[:DOMAIN_MAX], [0] * (len(AGES) + 1))[age] += number
    factor = depth / states.total() if one_in > 1 and states else 1
    return _Details(
        Counter({state: round(number * factor) for state, number in states.items()}),
        {name: [round(number * factor) for number in row] for name, row in found.items()},
    )


def _largest(found: dict[str, list[int]]) -> list[tuple[str, list[int]]]:
    """Return the ages by domain: the largest domains, those of providers, and "" for the rest."""
    if not found:
        return []
    from outbox.net.providers import provider_of  # a process without messages starts without it

    ordered = sorted(found.items(), key=lambda each: (-sum(each[1]), each[0]))
    shown = [
        one
        for place, one in enumerate(ordered)
        if one[0] and (place < DOMAINS_SHOWN or provider_of(one[0]) is not None)
    ]
    names = {name for name, _ages in shown}
    others = [ages for name, ages in ordered if name not in names]
    rest = [("", [sum(column) for column in zip(*others, strict=True)])] if others else []
    return [*shown, *rest]

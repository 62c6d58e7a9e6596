"""Request the pages, measure them, and print the results as Markdown."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from bench.fill_mailbox import READER
from bench.fill_visits import LIMITS, Visit, Visits
from bench.fill_weights import collect_static, weigh
from bench.fill_words import Words
from outbox.models import Message

SUCCESS = {200, 204}
WEIGHT_LIMIT = 150_000  # bytes


@dataclass(frozen=True, slots=True)
class Figures:
    """The time and the queries of the requests of one visit."""

    milliseconds: list[float]
    queries: list[int]

    def percentile(self, share: int) -> float:
        """Return a percentile of the time of a request."""
        if not self.milliseconds[1:]:
            return self.milliseconds[0]  # a small mailbox may have one such page only
        return statistics.quantiles(self.milliseconds, n=100, method="inclusive")[share - 1]

    @property
    def query_range(self) -> str:
        """Return the minimum and maximum number of queries."""
        least, most = min(self.queries), max(self.queries)
        return str(least) if least == most else f"{least} to {most}"


def clock() -> float:
    """Return the milliseconds of the clock."""
    return time.perf_counter() * 1000


def show(requests: int, only: str, now: Callable[[], float] = clock) -> None:
    """Print the tables; `only` selects pages by a part of their group and name.

    `now` returns milliseconds: of the clock, or of the processor.
    """
    collect_static()
    reader = User.objects.get(username=READER)
    client = Client(HTTP_HOST="localhost", HTTP_ACCEPT_LANGUAGE="en")
    client.force_login(reader)
    every = Visits(reader, Words(), requests).all()
    visits = [visit for visit in every if only in f"{visit.group}: {visit.name}"]
    for visit in visits:  # load modules and templates before the measurement
        client.get(visit.addresses[0])
    gc.collect()
    gc.freeze()  # as mailsite.gunicorn does
    _head(reader)
    for group in dict.fromkeys(visit.group for visit in visits):
        _group(client, group, [visit for visit in visits if visit.group == group], now)
    if not only:
        _weights(client)


def _head(reader: User) -> None:
    mine = Message.objects.visible_to(reader).count()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), pg_database_size(current_database())"
        )
        version, size = cursor.fetchone()
    print(
        f"PostgreSQL {version.split()[0]}, {size / 1e9:.1f} GB: {mine:,} messages of one person, "
        f"{Message.objects.count() - mine:,} messages of others."
    )


def _group(client: Client, group: str, visits: Sequence[Visit], now: Callable[[], float]) -> None:
    print(f"\n| {group} | median ms | 95th percentile ms | queries | |\n|---|---|---|---|---|")
    for visit in visits:
        figures = measure(client, visit, now)
        slow = figures.percentile(95)
        verdict = "" if slow < LIMITS[group] else "**over**"
        print(
            f"| {visit.name} | {figures.percentile(50):.1f} | {slow:.1f} "
            f"| {figures.query_range} | {verdict} |",
            flush=True,
        )


def measure(client: Client, visit: Visit, now: Callable[[], float] = clock) -> Figures:
    """Request each address once."""
    figures = Figures([], [])
    for address in visit.addresses:
        with _counted() as counts:
            began = now()
            response = client.get(address)
            figures.milliseconds.append(now() - began)
        if response.status_code not in SUCCESS:
            raise RuntimeError(f"{address} returned {response.status_code}")
        figures.queries.append(len(counts))
    return figures


@contextmanager
def _counted() -> Iterator[list[None]]:
    counts: list[None] = []

    def count(execute: Any, *args: Any) -> Any:
        counts.append(None)
        return execute(*args)

    with connection.execute_wrapper(count):
        yield counts


def _weights(client: Client) -> None:
    print("\n| First load | HTML KB | all KB | later KB | |\n|---|---|---|---|---|")
    key = Message.objects.filter(status="sent", recipient_count=1, owner__username=READER)
    forty = Message.objects.filter(recipient_count=40, status="sent", owner__username=READER)
    pages = {
        "Outbox": reverse("outbox:list"),
        "Sent": reverse("outbox:folder", args=["sent"]),
        "Failed, by reply": reverse("outbox:failed-by-reply"),
        "Search": reverse("outbox:search"),
        "A message to one": reverse("outbox:message", args=[key.order_by("-pk")[0].pk]),
        "A message to forty": reverse("outbox:message", args=[forty.order_by("-pk")[0].pk]),
        "Compose": reverse("outbox:compose"),
        "Contacts": reverse("outbox:contacts"),
        "Accounts": reverse("outbox:accounts"),
        "Templates": reverse("outbox:templates"),
        "Preferences": reverse("outbox:preferences"),
    }
    for name, address in pages.items():
        weight = weigh(client, address)
        verdict = "" if weight.first < WEIGHT_LIMIT else "**over**"
        print(
            f"| {name} | {weight.html / 1000:.1f} | {weight.first / 1000:.1f} "
            f"| {weight.later / 1000:.1f} | {verdict} |"
        )

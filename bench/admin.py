"""`make bench-admin`: the speed of the admin's pages about messages, as Markdown.

    python -m bench.admin [--count 1000000] [--requests 40] [--only WORD]

The pages are requested in this process through all of Django: middleware, session, view and
template. The time is what this process and its connection to PostgreSQL spend on the processor:
other work on the machine hardly changes it. The data is kept in `.cache` for the next run.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import hashlib
import json
import os
import random
import statistics
import time
from pathlib import Path

from bench.fill import KEPT, ROOT, server

LIMIT = 150  # milliseconds, 95th percentile
MADE_BY = ("bench/admin_rows.py", "bench/count_rows.py", "outbox/migrations")
LIST = "/admin/outbox/message/"
DASHBOARD = "/admin/outbox/operations/"
PERIODS = ("hour", "day", "week")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.admin", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--only", default="", help="pages with this in their name")
    options = parser.parse_args()
    mark = {"count": options.count, "sources": _digest()}
    kept = KEPT.with_name("admin") / str(options.count)
    with server(kept, mark, as_it_is=False) as is_filled:
        import django

        django.setup()
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        from bench import admin_rows

        if not is_filled:
            began = time.monotonic()
            admin_rows.make(options.count)
            (kept / "made.json").write_text(json.dumps(mark))
            print(f"Filled in {time.monotonic() - began:.0f} s.")
        _show(options.count, options.requests, options.only)


def _digest() -> str:
    digest = hashlib.sha256()
    for name in MADE_BY:
        path = ROOT / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [Path(path)]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _show(count: int, requests: int, only: str) -> None:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from bench.admin_rows import VIEWER

    connection.settings_dict |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username=VIEWER))
    client.get(LIST)
    gc.collect()
    gc.freeze()  # as mailsite.gunicorn does
    print("| Page | median ms | 95th percentile ms | queries | |\n|---|---|---|---|---|")
    for title, pages in _pages(count).items():
        if only not in title:
            continue
        chosen = random.Random(1)  # noqa: S311  # the same pages each time
        times, queries = [], set()
        for number in range(requests + 2):
            address = pages(chosen)
            began = processor_time()
            status = client.get(address).status_code
            took = processor_time() - began
            if status != 200:
                raise SystemExit(f"{address}: {status}")
            if number >= 2:  # the first ones fill caches
                times.append(took)
        for _ in range(5):
            with CaptureQueriesContext(connection) as captured:
                client.get(pages(chosen))
            queries.add(len(captured))
        slow = statistics.quantiles(times, n=20)[18]
        counted = str(min(queries)) if len(queries) == 1 else f"{min(queries)} to {max(queries)}"
        mark = "**over**" if slow > LIMIT else ""
        print(
            f"| {title} | {statistics.median(times):.1f} | {slow:.1f} | {counted} | {mark} |",
            flush=True,
        )


def processor_time() -> float:
    """Return the milliseconds that this process and its database connection have computed.

    The data fits into memory, so that this is the time of a request on an idle machine.
    """
    from django.db import connection

    connection.ensure_connection()
    processes = (os.getpid(), connection.connection.info.backend_pid)
    spent = (Path(f"/proc/{pid}/schedstat").read_text().split()[0] for pid in processes)
    return sum(map(int, spent)) / 1e6


def _pages(count: int) -> dict[str, object]:
    from django.utils import timezone
    from django.utils.http import urlencode

    from outbox.models import Message
    from outbox.web.folders.pagination import Cursor

    now = timezone.now()

    def listed(**query: object):
        return lambda chosen: (
            f"{LIST}?"
            + urlencode(
                {name: value(chosen) if callable(value) else value for name, value in query.items()}
            )
        )

    def cursor(chosen: random.Random) -> str:
        message = Message.objects.only("listed_at").get(pk=chosen.randrange(100, count))
        return str(Cursor.of(message))

    def day(chosen: random.Random) -> str:
        return str((now - dt.timedelta(days=chosen.randrange(1, 1000))).date())

    def one_day(chosen: random.Random) -> str:
        chosen_day = day(chosen)
        return f"{LIST}?since={chosen_day}&until={chosen_day}"

    def domain(chosen: random.Random) -> str:
        return f"domain{chosen.randrange(500)}.example"

    def word(low: int, high: int):
        return lambda chosen: f"word{chosen.randrange(low, high)}"

    def page(keys, query: str = ""):
        return lambda chosen: f"{LIST}{chosen.choice(keys)}/change/{query}"

    def keys(**conditions: object) -> list[int]:
        found = Message.objects.filter(**conditions).order_by("-pk")
        return list(found.values_list("pk", flat=True)[:200])

    def dashboard(period: str, part: str = ""):
        return lambda chosen: f"{DASHBOARD}{part}?period={period}"

    states = (
        "sent", "failed", "cancelled", "deferred", "queued", "sending", "held", "uncertain",
        "scheduled", "partial", "expired", "bounced", "failures",
    )  # fmt: skip
    codes = ("4", "451", "5", "550", "552", "521", "5.1", "5.7.1", "5.3", "599")
    return {
        "all messages": listed(),
        "all messages, deep": listed(before=cursor),
        "all messages, back up": listed(after=cursor),
        "all messages, oldest": listed(oldest=1),
        **{f"state {state}": listed(state=state) for state in states},
        "state sent, deep": listed(state="sent", before=cursor),
        "state failed, deep": listed(state="failed", before=cursor),
        **{f"code {code}": listed(code=code) for code in codes},
        "code 550, deep": listed(code="550", before=cursor),
        "domain gmail.com": listed(domain="gmail.com"),
        "domain gmail.com, deep": listed(domain="gmail.com", before=cursor),
        "domain, uncommon": listed(domain=lambda c: f"domain{c.randrange(50, 4000)}.example"),
        "domain of no message": listed(domain="nowhere.example"),
        "provider Gmail": listed(provider="smtp.gmail.com"),
        "provider of no message": listed(provider="smtp.qq.com"),
        "account, common": listed(account=2),
        "account, rare": listed(account=12),
        "tag, common": listed(tag="shop"),
        "tag, rare": listed(tag="rare"),
        "origin, common": listed(origin="backend"),
        "origin, rare": listed(origin="report"),
        "since a day": listed(since=day),
        "until a day": listed(until=day),
        "one day": one_day,
        "one day, code 521": lambda c: f"{one_day(c)}&code=521",
        "failed and domain": listed(state="failed", domain=domain),
        "failed and a word": listed(state="failed", q=word(0, 500)),
        "code 550 and gmail.com": listed(code="550", domain="gmail.com"),
        "code 521 and tag": listed(code="521", tag="shop"),
        "cancelled and rare tag": listed(state="cancelled", tag="rare"),
        "search: address": listed(q=lambda c: f"user{c.randrange(200000)}@gmail.com"),
        "search: beginning of an address": listed(q=lambda c: f"to:user{c.randrange(1000, 20000)}"),
        "search: short beginning": listed(q="to:u"),
        "search: @domain": listed(q=lambda c: f"@domain{c.randrange(4000)}.example"),
        "search: invoice": listed(q="subject:invoice"),
        "search: common word": listed(q=word(0, 20)),
        "search: uncommon word": listed(q=word(500, 5000)),
        "search: two words": lambda c: f"{LIST}?q={word(0, 50)(c)}+{word(0, 500)(c)}",
        "search: phrase": lambda c: f"{LIST}?q=%22{word(0, 50)(c)}+{word(0, 50)(c)}%22",
        "search: no match": listed(q="nowherefound"),
        "search: number": listed(q=lambda c: c.randrange(1000, count)),
        "search: Message-ID": listed(q=lambda c: f"{c.randrange(1, count)}@mail.example.com"),
        "search: queue id": listed(q=lambda c: f"queue:Q{c.randrange(1, count)}N0"),
        "search: queue id without prefix": listed(q=lambda c: f"Q{c.randrange(1, count)}N0"),
        "message, sent": page(keys(status="sent", recipient_count=1)),
        "message, failed": page(keys(status="failed")),
        "message, deferred": page(keys(status="deferred")),
        f"message to {5_003}": page([count]),
        "message with its text": page(keys(status="sent")[:50], "?content=text"),
        "recipients": lambda c: "/admin/outbox/recipient/",
        "recipients, by address": lambda c: f"/admin/outbox/recipient/?q=user{c.randrange(9999)}",
        "attempts": lambda c: "/admin/outbox/attempt/",
        "audit log": lambda c: "/admin/outbox/auditentry/",
        "destinations": lambda c: "/admin/outbox/destination/",
        **{f"dashboard, {period}": dashboard(period) for period in PERIODS},
        **{f"dashboard refreshing, {period}": dashboard(period, "live/") for period in PERIODS},
    }


if __name__ == "__main__":
    main()

"""Fetch the mailboxes that are due, and append copies of sent messages, in threads of a worker.

Fetching neither occupies the engine that delivers nor a Celery task. The number of threads is
limited (the setting `fetch_concurrency`). One server may be slow for an hour, so a due mailbox
waits at most for a free thread, not for a round.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

from django.db import connections
from django.db.models import Q, QuerySet

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.inbound import filing
from outbox.models import LastRun, Mailbox

logger = logging.getLogger(__name__)
_STOPS_WITHIN = 5.0  # seconds; a session reacts within a fraction of a second
_FILING = "sent copies"
FILING_PERIOD = dt.timedelta(seconds=30)  # from one scan to the next, in whatever process
_FILING_THREADS = 2  # besides those that fetch
Threads = dict[int, tuple[threading.Thread, threading.Event]]  # by mailbox


class _Running:
    """The threads of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_stopping = False
        self.fetches: Threads = {}
        self.filings: Threads = {}


_running = _Running()


def due_mailboxes(using: str) -> QuerySet[Mailbox]:
    """Return the mailboxes that are due and that no process fetches, the longest due first."""
    now = database_now(using)
    rows = Mailbox.objects.using(using).filter(
        Q(lease_until=None) | Q(lease_until__lte=now),
        is_active=True,
        account__is_active=True,
        next_fetch_at__lte=now,
    )
    return rows.order_by("next_fetch_at", "pk")


def fetch_in_background(using: str) -> int:
    """Start a thread for each due mailbox, as far as this process may have more; count them."""
    with _running.lock:
        free = get_conf().fetch_concurrency - len(_running.fetches)
        if free <= 0 or _running.is_stopping:
            return 0
        due = due_mailboxes(using).exclude(pk__in=list(_running.fetches))
        ids = list(due.values_list("pk", flat=True)[:free])
        for pk in ids:
            _start(_running.fetches, f"outbox-fetch-{pk}", _fetch, pk, using)
    return len(ids)


def file_in_background(using: str) -> int:
    """Find copies of sent messages, and append them in a thread for each mailbox; count them."""
    if not filing.filing_mailboxes(using).exists():
        return 0
    if not LastRun.claim(_FILING, FILING_PERIOD, using):
        return 0
    filing.find_copies(using)
    with _running.lock:
        most = min(_FILING_THREADS, get_conf().fetch_concurrency)
        free = most - len(_running.filings)
        if free <= 0 or _running.is_stopping:
            return 0
        ids = filing.due_mailboxes(using, without=list(_running.filings))[:free]
        for pk in ids:
            _start(_running.filings, f"outbox-filing-{pk}", _file, pk, using)
    return len(ids)


def stop() -> None:
    """End the threads of this process. What was committed stays, and the next one continues."""
    ends_at = time.monotonic() + _STOPS_WITHIN
    for thread in request_stop():
        thread.join(max(ends_at - time.monotonic(), 0))


def request_stop() -> list[threading.Thread]:
    """Stop the threads of this process without waiting for them; return them."""
    with _running.lock:
        _running.is_stopping = True
        threads = [*_running.fetches.values(), *_running.filings.values()]
    for _thread, stopped in threads:
        stopped.set()
    return [thread for thread, _stopped in threads]


def _start(
    threads: Threads,
    name: str,
    work: Callable[[int, str, threading.Event], object],
    pk: int,
    using: str,
) -> None:
    stopped = threading.Event()
    arguments = [threads, work, pk, using, stopped]
    thread = threading.Thread(target=_run, args=arguments, name=name, daemon=True)
    threads[pk] = thread, stopped
    thread.start()


def _run(
    threads: Threads,
    work: Callable[[int, str, threading.Event], object],
    mailbox_id: int,
    using: str,
    stopped: threading.Event,
) -> None:
    try:
        work(mailbox_id, using, stopped)
    except DATABASE_UNAVAILABLE as error:
        logger.warning("Mailbox %d has to wait for the database: %s", mailbox_id, error)
    except Exception:
        logger.exception("The thread of mailbox %d failed.", mailbox_id)
    finally:
        connections.close_all()
        with _running.lock:
            del threads[mailbox_id]


def _fetch(mailbox_id: int, using: str, stopped: threading.Event) -> None:
    from outbox.inbound.fetch import fetch_mailbox  # the rules for bounces are compiled

    fetch_mailbox(mailbox_id, using, stop=stopped, only_due=True)


def _file(mailbox_id: int, using: str, stopped: threading.Event) -> None:
    filing.file_mailbox(mailbox_id, using, stop=stopped)

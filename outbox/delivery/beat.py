"""Beat: sweep and call webhooks every few seconds, where no Celery has a schedule for it.

Each of the two has a thread of its own, so that a receiver that is down keeps no sweep waiting. It
decides nothing: how often it acts changes nothing but how soon something is found.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connections

from outbox.conf import get_conf
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.sweep import sweep
from outbox.delivery.webhooks import call_all_due

logger = logging.getLogger(__name__)
_END_WITHIN = 5.0  # seconds for a round in hand; a killed one is taken up by whoever comes next


@contextmanager
def beating(using: str) -> Iterator[None]:
    """Do both at once and then every OUTBOX["SWEEP_EVERY"] seconds, until the block ends."""
    is_over = threading.Event()
    threads = [
        threading.Thread(target=_repeat, args=(act, using, is_over), name=name, daemon=True)
        for name, act in (("outbox-sweep", sweep), ("outbox-webhooks", call_all_due))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join(_END_WITHIN)


def _repeat(act: Callable[[str], object], using: str, is_over: threading.Event) -> None:
    try:
        while not is_over.is_set():
            _act(act, using)
            is_over.wait(get_conf().sweep_every)
    finally:
        connections.close_all()


def _act(act: Callable[[str], object], using: str) -> None:
    try:
        act(using)
    except DATABASE_AWAY as error:
        logger.warning("The beat has to wait for the database: %s", error)
        connections.close_all()
    except Exception:
        logger.exception("A round of the beat failed; the next one tries again.")

"""Deliver without Celery: in place of worker and beat, or by cron."""

import logging
import signal
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.db import close_old_connections

from outbox.api.bulk_actions import run_bulk_operations
from outbox.api.failures import report_failures
from outbox.api.periodic import run_periodic_work
from outbox.conf import get_conf
from outbox.delivery import process
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.engine import Engine
from outbox.delivery.sweep import sweep
from outbox.delivery.webhooks import call_all_due
from outbox.management.output import OutboxCommand
from outbox.models import State

logger = logging.getLogger(__name__)
_LOOK_EVERY = 0.1  # seconds between two looks whether a signal came


class Command(OutboxCommand):
    help = (
        "Deliver what is due, and sweep every few seconds, until stopped; "
        "with --until-empty, sweep once and deliver until nothing is due."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--until-empty", action="store_true", help="end when nothing is due any more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = get_conf().database
        if options["until_empty"]:
            self.stdout.write(_summary(_deliver_all(using)))
        else:
            _deliver_until_stopped(using)


def _summary(outcomes: Mapping[State, int]) -> str:
    """Return the outcomes as one line, such as "delivered 1, deferred 2"; they count recipients."""
    counts = [
        f"{'delivered' if state == State.SENT else state.value} {outcomes[state]:,}"
        for state in State
        if outcomes.get(state)
    ]
    return ", ".join(counts) or "Nothing was due."


def _deliver_all(using: str) -> Mapping[State, int]:
    """Deliver what is due and return how many recipients came to which state."""
    sweep(using)
    report_failures(using)
    run_bulk_operations(using)
    engine = Engine(until_empty=True)
    try:
        previous = {
            number: signal.signal(number, lambda *_: engine.stop())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # not the main thread: whoever called us handles signals
        previous = {}
    try:
        engine.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    call_all_due(using)  # of what just happened, too
    return engine.outcomes


def _deliver_until_stopped(using: str) -> None:
    """Do as a worker and beat would; a database that is away for a while ends nothing.

    A signal is only noted: raised amid a sweep or the start of an engine, it could be lost there.
    """
    asked: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _: asked.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    while not asked:
        try:
            run_periodic_work(using)
        except DATABASE_AWAY as error:
            logger.warning("The sweep has to wait for the database: %s", error)
        close_old_connections()
        _rest(get_conf().sweep_every, asked)
    for number, handler in previous.items():  # who asks again wants no patience
        signal.signal(number, handler)
    process.stop()  # which lets conversations end


def _rest(seconds: float, asked: list[int]) -> None:
    """Wait for the time of the next sweep, or until asked to end."""
    over_at = time.monotonic() + seconds
    while not asked and (left := over_at - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_EVERY))  # a handler may take no lock, so nothing can wake it

"""Deliver without Celery: instead of worker and beat, or with cron."""

import datetime as dt
import logging
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.checks import Tags
from django.db import close_old_connections

from outbox.conf import get_conf
from outbox.db import clock
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery import discarded_files, orphaned_files, retention
from outbox.delivery.due import is_any_due
from outbox.delivery.sweep import sweep
from outbox.management.output import OutboxCommand
from outbox.models import BulkOperation, DomainCheck, FailureDigest, LastRun, Message, State
from outbox.models.domain_check import DOMAINS_FOUND
from outbox.webhooks.calls import call_all_due

logger = logging.getLogger(__name__)
_SIGNAL_CHECK_INTERVAL = 0.1  # seconds
_PRUNE_SECONDS = 20  # of one run; the next one continues
_CHECK_SECONDS = 20  # of one run, after which it begins no check of a sender domain


class Command(OutboxCommand):
    help = (
        "Deliver due messages, and sweep every few seconds, until stopped. With --until-empty, "
        "sweep once and deliver until nothing is due."
    )
    # The settings are checked. The checks of templates and URLs would import every page.
    requires_system_checks = (Tags.compatibility,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until-empty", action="store_true", help="exit when nothing is due")
        parser.add_argument(
            "--attached",
            action="store_true",
            help="exit when the standard input ends; each of its lines wakes the engine",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = get_conf().database
        if options["until_empty"]:
            self.stdout.write(_summary(_deliver_all(using)))
        else:
            _deliver_until_stopped(using, is_attached=options["attached"])


def _summary(outcomes: Mapping[State, int]) -> str:
    """Return the number of recipients by outcome, such as "sent 1, deferred 2"."""
    counts = [f"{state.value} {outcomes[state]:,}" for state in State if outcomes.get(state)]
    return ", ".join(counts) or "Nothing was due."


def _deliver_all(using: str) -> Mapping[State, int]:
    """Deliver what is due and return how many recipients came to which state.

    Started by cron every minute, it mostly finds nothing due. It then imports neither the API nor
    the engine, which would take longer than everything else.
    """
    sweep(using)
    if _has_background_work(using):
        from outbox.api.bulk_actions import run_bulk_operations
        from outbox.api.failures import report_failures

        report_failures(using)
        run_bulk_operations(using)
    outcomes = _drain() if is_any_due(using) else {}
    call_all_due(using)  # also those of the deliveries
    orphaned_files.discard_if_due(using)
    retention.prune_if_due(using, _PRUNE_SECONDS)
    discarded_files.delete_all(using)
    if get_conf().alarm_interval:
        from outbox.api.alarms.schedule import check_if_due

        check_if_due(using)
    if _has_due_domain(using):  # last, since a DNS server may not respond
        from outbox.api.domain_checks import check_due

        check_due(using, _CHECK_SECONDS)
    return outcomes


def _has_background_work(using: str) -> bool:
    """Return whether failures may have to be reported or bulk operations to be performed."""
    return (
        Message.objects.using(using).filter(failure_unreported=True).exists()
        or FailureDigest.objects.using(using).filter(due_at__isnull=False).exists()
        or BulkOperation.objects.using(using).filter(finished_at=None).exists()
    )


def _has_due_domain(using: str) -> bool:
    """Return whether a sender domain is to be checked, or the list of them is old."""
    now, seconds = clock.now(), get_conf().domain_check_interval
    if DomainCheck.objects.using(using).filter(due_at__lte=now).exists():
        return True
    recent = LastRun.objects.using(using).filter(
        pk=DOMAINS_FOUND, at__gt=now - dt.timedelta(seconds=seconds)
    )
    return bool(seconds) and not recent.exists()


def _drain() -> Mapping[State, int]:
    from outbox.delivery.engine import Engine

    engine = Engine()
    try:
        previous = {
            number: signal.signal(number, lambda *_: engine.stop())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # not the main thread: the caller handles signals
        previous = {}
    try:
        engine.drain()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return engine.outcomes


def _deliver_until_stopped(using: str, *, is_attached: bool) -> None:
    """Run what worker and beat would run; wait while the database is unavailable.

    A signal is only recorded: an exception inside a sweep or the start of an engine could be lost.
    """
    from outbox.api.periodic import run_periodic_work
    from outbox.delivery import process
    from outbox.inbound import runner

    received: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    if is_attached:
        threading.Thread(target=_obey_input, args=[received], daemon=True).start()
    while not received:
        try:
            run_periodic_work(using)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("The sweep has to wait for the database: %s", error)
        close_old_connections()
        _wait(get_conf().sweep_interval, received)
    for number, handler in previous.items():  # a second signal ends the process at once
        signal.signal(number, handler)
    runner.request_stop()
    process.stop()  # waits for running SMTP transactions
    runner.stop()


def _obey_input(received: list[int]) -> None:
    """Wake the engine for each line of the standard input. Stop when it ends."""
    from outbox.delivery import process

    for _ in sys.stdin.buffer:
        if not received:
            process.feed()
    received.append(signal.SIGTERM)


def _wait(seconds: float, received: list[int]) -> None:
    """Wait until the next sweep, or until a signal is received."""
    deadline = time.monotonic() + seconds
    while not received and (left := deadline - time.monotonic()) > 0:
        # A signal handler must not acquire a lock, so it cannot notify a waiting thread.
        time.sleep(min(left, _SIGNAL_CHECK_INTERVAL))  # until the next check for a signal

"""Celery's entry points. They contain no messages: the database is the queue."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import shared_task
from celery.app import app_or_default
from celery.signals import (
    celeryd_after_setup,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)

from outbox import wakeup
from outbox.api import domain_checks
from outbox.api.alarms.hosts import record_beat
from outbox.api.periodic import run_periodic_work
from outbox.conf import get_conf
from outbox.delivery import connection_tests, process
from outbox.delivery.standby import is_running
from outbox.inbound import runner
from outbox.inbound.runner import fetch_in_background

_RECYCLED = 0x9B  # billiard's exit code of a child that is replaced after its tasks
# A process that Celery replaces after each task would otherwise never deliver anything.
_RECYCLED_FINISHES_WITHIN = 5.0  # seconds
_THREADS = "celery.concurrency.thread"
_PREFORK = "celery.concurrency.prefork"


@shared_task(name="outbox.deliver", ignore_result=True)
def deliver() -> None:
    """Wake this process's engine."""
    wakeup.acknowledge()
    process.feed()


@shared_task(name="outbox.sweep", ignore_result=True)
def sweep() -> None:
    """Find due and orphaned work, then wake the engine."""
    wakeup.record_sweep(process.SILENT_INTERVALS * get_conf().sweep_interval)
    record_beat(get_conf().database)
    if process.has_just_swept():
        process.feed()
    else:
        _sweep()


@shared_task(name="outbox.test_connections", ignore_result=True)
def test_connections() -> None:
    """Make the connection tests that users requested."""
    if not process.is_apart():  # the other process finds them
        connection_tests.run_in_background(get_conf().database)


@shared_task(name="outbox.fetch", ignore_result=True)
def fetch() -> None:
    """Start to fetch the mailboxes that are due, each in a thread of this worker."""
    if not process.is_apart():  # the other process finds them
        fetch_in_background(get_conf().database)


@shared_task(name="outbox.check_domains", ignore_result=True)
def check_domains() -> None:
    """Start to check the sender domains that are due, in a thread of this worker."""
    if not process.is_apart():  # the other process finds them
        domain_checks.check_in_background(get_conf().database)


def _sweep() -> None:
    run_periodic_work(get_conf().database)


def _sweep_if_silent() -> None:
    """Sweep, unless another worker was asked to: of many processes, each is asked rarely."""
    if not wakeup.was_sweep_requested():
        _sweep()


def _start(**_: Any) -> None:
    """Start the engine without a task: Redis may be unavailable."""
    if _receives_wakeups():
        process.start(_sweep_if_silent)


def _start_parent(instance: Any, **_: Any) -> None:
    """Start the engine of a worker whose pool sends no `worker_process_init`, or watch the pool."""
    pool = instance.pool_cls
    is_green = getattr(pool, "is_green", False)
    if not _receives_wakeups():
        return
    if is_green or pool.__module__ == _THREADS:
        process.start(_sweep_if_silent, apart=is_green)
    elif pool.__module__ == _PREFORK:
        process.start_standby(partial(_has_lost_children, instance))


def _has_lost_children(worker: Any) -> bool:
    """Return whether every process of a running worker's pool has ended."""
    if worker.pool is None or not worker.pool.active:
        return False  # the worker starts or stops
    return not any(is_running(pid) for pid in worker.pool.info["processes"])


def _receives_wakeups() -> bool:
    """Return whether this worker consumes the queue of the wake-ups, and may deliver."""
    app = app_or_default()
    queue = get_conf().celery_queue or app.amqp.router.route({}, deliver.name)["queue"].name
    return queue in app.amqp.queues.consume_from


def _stop_child(exitcode: int = 0, **_: Any) -> None:
    runner.request_stop()
    process.stop(finish_within=_RECYCLED_FINISHES_WITHIN if exitcode == _RECYCLED else 0)
    runner.stop()


def _stop(**_: Any) -> None:
    runner.request_stop()
    process.stop()  # first: the engine may need the rest of the grace period
    runner.stop()


worker_process_init.connect(_start)  # a prefork child, or a worker with the pool “solo”, starts
celeryd_after_setup.connect(_start_parent)
worker_process_shutdown.connect(_stop_child)
worker_shutdown.connect(_stop)  # a worker without children ends

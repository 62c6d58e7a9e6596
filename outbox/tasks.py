"""Celery's entry points. They carry no mail: the database is the queue."""

from typing import Any

from celery import shared_task
from celery.signals import worker_process_shutdown, worker_shutdown

from outbox import bell
from outbox.api.periodic import run_periodic_work
from outbox.conf import get_conf
from outbox.delivery import process


@shared_task(name="outbox.deliver", ignore_result=True)
def deliver() -> None:
    """Wake this process's engine."""
    bell.heard()
    process.feed()


@shared_task(name="outbox.sweep", ignore_result=True)
def sweep() -> None:
    """Find what no bell told, then wake the engine."""
    run_periodic_work(get_conf().database)


@worker_process_shutdown.connect  # a prefork child ends
@worker_shutdown.connect  # a worker without children ends
def _stop(**_: Any) -> None:
    process.stop()

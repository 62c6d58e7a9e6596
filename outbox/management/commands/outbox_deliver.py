"""Deliver without Celery: in place of worker and beat, or by cron."""

import contextlib
import signal
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from outbox.conf import get_conf
from outbox.delivery.beat import beating
from outbox.delivery.engine import Engine
from outbox.delivery.sweep import sweep
from outbox.delivery.webhooks import call_all_due


class Command(BaseCommand):
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
        engine = Engine(until_empty=options["until_empty"])
        with _stopped_by_signals(engine):
            if options["until_empty"]:
                sweep(using)
                engine.run()
                call_all_due(using)  # of what just happened, too
            else:
                with beating(using):
                    engine.run()


@contextlib.contextmanager
def _stopped_by_signals(engine: Engine) -> Iterator[None]:
    try:
        previous = {
            number: signal.signal(number, lambda *_: engine.stop())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # not the main thread: whoever called us handles signals
        previous = {}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

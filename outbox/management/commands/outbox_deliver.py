"""Deliver without Celery: for cron and for tests."""

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from outbox.conf import get_conf
from outbox.delivery.engine import Engine
from outbox.delivery.sweep import sweep
from outbox.delivery.webhooks import call_due


class Command(BaseCommand):
    help = "Sweep, then deliver what is due. Runs until stopped, or with --until-empty until done."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--until-empty", action="store_true", help="end when nothing is due any more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        sweep(get_conf().database)
        call_due()
        engine = Engine(until_empty=options["until_empty"])
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

"""Write anew what mail is found by."""

from typing import Any

from django.core.management.base import CommandParser

from outbox.conf import get_conf
from outbox.management.output import OutboxCommand
from outbox.models.search import put_in_anew


class Command(OutboxCommand):
    help = (
        "Write anew what every person's mail is found by: after rows were restored or changed by "
        "hand, or after a release whose notes ask for it. Mail goes on meanwhile; stopped, it can "
        "begin again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--at-once", type=int, default=200, help="messages in one transaction (200)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        looked_at = 0
        for looked_at in put_in_anew(get_conf().database, max(options["at_once"], 1)):
            if options["verbosity"] > 1:
                self.stdout.write(f"{looked_at:,} messages so far")
        self.stdout.write(f"Messages that can be found: {looked_at:,}.")

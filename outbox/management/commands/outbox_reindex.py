"""Rebuild the search index."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from outbox.conf import get_conf
from outbox.management.output import OutboxCommand
from outbox.models.inbound_search import reindex_received
from outbox.models.search import reindex


class Command(OutboxCommand):
    help = (
        "Rebuild the search index: after rows were restored or changed by hand, or if release "
        "notes require it. Deliveries continue at the same time. The command can be stopped and "
        "repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--at-once", type=int, default=200, help="messages in one transaction (200)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using, at_once = get_conf().database, max(options["at_once"], 1)
        found = self._follow(reindex(using, at_once), options["verbosity"])
        self.stdout.write(f"Messages that can be found: {found:,}.")
        if received := self._follow(reindex_received(using, at_once), options["verbosity"]):
            self.stdout.write(f"Received messages that can be found: {received:,}.")

    def _follow(self, batches: Iterator[int], verbosity: int) -> int:
        """Return the number of messages after the last batch."""
        looked_at = 0
        for looked_at in batches:
            if verbosity > 1:
                self.stdout.write(f"{looked_at:,} messages so far")
        return looked_at

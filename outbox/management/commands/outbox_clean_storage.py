"""Delete stored files that no message refers to."""

from typing import Any

from django.core.management.base import CommandParser

from outbox.conf import get_conf
from outbox.delivery import discarded_files, orphaned_files
from outbox.management.output import OutboxCommand


class Command(OutboxCommand):
    help = (
        "Delete stored files of transactions that were rolled back. Workers do it for the last "
        "week; the command is for older files. Files of the last two days are not touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=int, default=365, help="how many days to search (default 365)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = get_conf().database
        count = orphaned_files.discard_orphans(using, days=options["days"])
        discarded_files.delete_all(using)
        self.stdout.write(f"Files deleted: {count}.")

"""Remove what has expired: content, conversations and whole messages."""

import datetime as dt
from typing import Any

from django.core.management.base import CommandParser

from outbox.conf import get_conf
from outbox.delivery import discarded_files
from outbox.delivery.retention import Pass, totals
from outbox.management.output import OutboxCommand
from outbox.models import Account
from outbox.models.retention import Part, Retention, retention_of

_LABELS = {Part.MESSAGE: "messages", Part.CONTENT: "content", Part.TRANSCRIPT: "conversations"}


class Command(OutboxCommand):
    help = (
        "Remove content, conversations and messages whose retention has ended. Workers do it every "
        "hour. Only messages are touched whose delivery has ended for every recipient. Deliveries "
        "continue at the same time. The command can be stopped and repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count only, remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        using = get_conf().database
        self.stdout.write(f"Settings: {_describe(retention_of(None))}.")
        for account in Account.objects.using(using).order_by("pk"):
            if (kept := retention_of(account)) != retention_of(None):
                self.stdout.write(f"Account {account.name} ({account.pk}): {_describe(kept)}.")
        found = totals(Pass(using).run(dry_run=options["dry_run"]))
        if not options["dry_run"]:
            discarded_files.delete_all(using)
        text = ", ".join(f"{count:,} {name}" for name, count in found.items()) or "nothing"
        self.stdout.write(f"{'To remove' if options['dry_run'] else 'Removed'}: {text}.")


def _describe(retention: Retention) -> str:
    return ", ".join(f"{label} {_period(retention.of(part))}" for part, label in _LABELS.items())


def _period(kept: dt.timedelta | None) -> str:
    return "forever" if kept is None else f"for {kept / dt.timedelta(days=1):g} days"

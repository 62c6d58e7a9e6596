"""Export and erase everything about one address."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox.api import erasure
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.management.output import OutboxCommand

_OWNER_ONLY = 0o600
_NAMED = 20  # messages


class Command(OutboxCommand):
    help = (
        "Export and erase everything about one email address: messages to it, replies, "
        "conversations, drafts, contacts, and its traces in every other table and file. Messages "
        "with other recipients keep those. Deliveries continue at the same time. The command can "
        "be stopped and repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="the email address")
        parser.add_argument("--export", metavar="FILE", help="write everything to a new file first")
        parser.add_argument("--dry-run", action="store_true", help="count and export only")
        parser.add_argument("--no-input", action="store_true", help="do not ask for confirmation")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            traces = erasure.traces_of(options["address"])
        except InvalidMessageError as error:
            raise CommandError(str(error)) from error
        if options["export"]:
            self._export(traces, options["export"])
        for table, count in erasure.survey(traces).items():
            self.stdout.write(f"{table}: {count:,} rows have the address.")
        if options["dry_run"]:
            self.stdout.write("Nothing was erased. Stored messages and files were not read.")
            return
        if not options["no_input"]:
            self._confirm(traces.address.spec)
        self._erase(traces.address.spec, options["verbosity"])

    def _export(self, traces: erasure.Traces, name: str) -> None:
        try:
            number = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ONLY)
        except FileExistsError as error:
            raise CommandError(f"The file {name} exists. Name a new one.") from error
        except OSError as error:
            raise CommandError(f"The file {name} cannot be written: {error.strerror}.") from error
        with os.fdopen(number, "w", encoding="utf-8") as file:
            count = erasure.write_export(traces, get_conf().database, file)
            file.flush()
            os.fsync(file.fileno())
        self.stdout.write(f"Exported to {Path(name).resolve()}: {count:,} messages.")

    def _confirm(self, address: str) -> None:
        self.stdout.write("This cannot be undone. Type the address to erase it:")
        if input().strip().lower() != address.lower():
            raise CommandError("The addresses differ. Nothing was erased.")

    def _erase(self, address: str, verbosity: int) -> None:
        progress = self.stdout.write if verbosity > 1 else lambda _text: None
        try:
            done = erasure.erase_address(address, progress=progress)
        except (erasure.AddressInUseError, erasure.AuditLogLockedError) as error:
            raise CommandError(str(error)) from error
        changes = done.changes
        for label, count in (
            ("Messages deleted", changes.deleted),
            ("Messages that keep other recipients", changes.changed),
            ("Stored messages without the address now", changes.sources_changed),
            ("Contents removed", changes.sources_removed),
            ("Drafts deleted", changes.drafts_deleted),
            ("Attachments removed", changes.files_removed),
            ("Contacts deleted", done.contacts),
            ("Suppressions kept as a hash", done.suppressions),
            ("Webhook calls deleted", done.webhook_calls),
            ("Other rows changed", done.rows.total()),
        ):
            self.stdout.write(f"{label}: {count:,}")
        if not done.is_complete:
            raise CommandError(_unfinished(done))


def _unfinished(done: erasure.Erased) -> str:
    """Return what still has the address, and when to run the command again."""
    ids = sorted(done.changes.in_delivery)
    parts = ["Not finished."]
    if ids:
        named = ", ".join(map(str, ids[:_NAMED])) + (", …" if len(ids) > _NAMED else "")
        parts.append(
            f"{len(ids):,} messages are still being delivered to other recipients, and keep the "
            f"address: {named}."
        )
        if done.delivered_until is not None:
            parts.append(f"They have ended by {done.delivered_until:%Y-%m-%d %H:%M:%S %Z}.")
        else:
            parts.append("Some of them wait until a person releases or cancels them.")
    left = ", ".join(f"{table} ({count})" for table, count in done.left.items())
    return " ".join([*parts, "Run the command again.", f"Rows left: {left or 'none'}."])

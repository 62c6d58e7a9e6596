"""Import the queue and the history of another email app."""

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser

from outbox import api
from outbox.exceptions import NoAccountError
from outbox.management.importing.history import copy_history
from outbox.management.importing.mailer import Mailer
from outbox.management.importing.post_office import PostOffice
from outbox.management.importing.queue import Skipped, import_queue
from outbox.management.importing.source import ImportSource, ImportSourceError
from outbox.management.output import OutboxCommand
from outbox.models import Account

SOURCES = {"post_office": PostOffice, "mailer": Mailer}


class Command(OutboxCommand):
    help = (
        "Import the queue and the history of django-post_office (post_office) or django-mailer "
        "(mailer). Stop its senders first. Nothing is imported twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("app", choices=SOURCES)
        parser.add_argument("--account", help="the account to send with, by name")
        parser.add_argument("--without-history", action="store_true", help="only the queue")
        parser.add_argument("--dry-run", action="store_true", help="count, but change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        source = _source(options["app"])
        if options["dry_run"]:
            self._count(source)
            return
        account = _account(options["account"])
        problems = [] if options["without_history"] else self._copy(source, account)
        problems += self._import_queue(source, account)
        if problems:
            raise CommandError("\n".join([f"{len(problems)} not imported:", *problems]))

    def _count(self, source: ImportSource) -> None:
        past = sum(1 for _ in source.history())
        self.stdout.write(
            f"{source.name}: {len(source.queued_ids())} queued, {past} in its history."
        )

    def _copy(self, source: ImportSource, account: Account | None) -> list[str]:
        copied, problems = 0, []
        for one in copy_history(source, account):
            if isinstance(one, int):
                copied += 1
            else:
                problems.append(f"history {one}")
        self.stdout.write(f"{source.name}: {copied} of its history copied.")
        return problems

    def _import_queue(self, source: ImportSource, account: Account | None) -> list[str]:
        imported, problems = 0, []
        try:
            with source.paused():
                for one in import_queue(source, account):
                    if isinstance(one, Skipped):
                        problems.append(f"queued {one.pk}: {one.why}")
                    else:
                        imported += 1
        except ImportSourceError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{source.name}: {imported} imported.")
        return problems


def _source(label: str) -> ImportSource:
    if not apps.is_installed(label):
        raise CommandError(f"{label} is not in INSTALLED_APPS. Keep it until the import is done.")
    return SOURCES[label]()


def _account(name: str | None) -> Account | None:
    """Return the named account, or the default one. Raise CommandError if there is none."""
    try:
        return api.default_account() if name is None else api.account_named(name)
    except NoAccountError as error:
        raise CommandError(str(error)) from error

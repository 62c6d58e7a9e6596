"""Take over what another app has queued, and copy its history."""

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser

from outbox import api
from outbox.exceptions import NoAccountError
from outbox.management.importing.history import copy_history
from outbox.management.importing.mailer import Mailer
from outbox.management.importing.neighbour import Neighbour, NeighbourError
from outbox.management.importing.post_office import PostOffice
from outbox.management.importing.taking import Left, take_over
from outbox.management.output import OutboxCommand
from outbox.models import Account

NEIGHBOURS = {"post_office": PostOffice, "mailer": Mailer}


class Command(OutboxCommand):
    help = (
        "Take over what waits in django-post_office (post_office) or django-mailer (mailer), and "
        "copy its history. Stop its senders first. Whatever was imported is not imported again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("app", choices=NEIGHBOURS)
        parser.add_argument("--account", help="the account to send with, by name")
        parser.add_argument("--without-history", action="store_true", help="only what waits")
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        neighbour = _neighbour(options["app"])
        if options["dry_run"]:
            self._count(neighbour)
            return
        account = _account(options["account"])
        problems = [] if options["without_history"] else self._copy(neighbour, account)
        problems += self._take(neighbour, account)
        if problems:
            raise CommandError("\n".join([f"{len(problems)} left where they are:", *problems]))

    def _count(self, neighbour: Neighbour) -> None:
        past = sum(1 for _ in neighbour.past())
        self.stdout.write(
            f"{neighbour.name}: {len(neighbour.waiting())} waiting, {past} in its history."
        )

    def _copy(self, neighbour: Neighbour, account: Account | None) -> list[str]:
        copied, problems = 0, []
        for one in copy_history(neighbour, account):
            if isinstance(one, int):
                copied += 1
            else:
                problems.append(f"history {one}")
        self.stdout.write(f"{neighbour.name}: {copied} of its history copied.")
        return problems

    def _take(self, neighbour: Neighbour, account: Account | None) -> list[str]:
        taken, problems = 0, []
        try:
            with neighbour.at_rest():
                for one in take_over(neighbour, account):
                    if isinstance(one, Left):
                        problems.append(f"queued {one.pk}: {one.why}")
                    else:
                        taken += 1
        except NeighbourError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{neighbour.name}: {taken} taken over.")
        return problems


def _neighbour(label: str) -> Neighbour:
    if not apps.is_installed(label):
        raise CommandError(f"{label} is not in INSTALLED_APPS: put it back until all is imported.")
    return NEIGHBOURS[label]()


def _account(name: str | None) -> Account | None:
    """Return the account that was named, having seen that there is one to send with."""
    try:
        return api.default_account() if name is None else api.account_named(name)
    except NoAccountError as error:
        raise CommandError(str(error)) from error

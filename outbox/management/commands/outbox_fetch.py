"""Fetch the mailboxes of accounts now, in this process."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox.api.mailboxes import fetch_account
from outbox.conf import get_conf
from outbox.inbound.fetch import Outcome
from outbox.inbound.runner import due_mailboxes
from outbox.management.output import OutboxCommand
from outbox.models import Account, Mailbox
from outbox.testing.dialogue import shown


class Command(OutboxCommand):
    help = (
        "Fetch received messages now. Workers do it every few minutes, as each mailbox is "
        "configured. Without an argument, the mailboxes that are due are fetched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("accounts", nargs="*", help="names or ids of accounts")
        parser.add_argument(
            "--all", action="store_true", help="every active mailbox, also one that is not due"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["accounts"] and options["all"]:
            raise CommandError("Accounts and --all exclude each other.")
        accounts = self._accounts(options["accounts"], every=options["all"])
        if not accounts:
            self.stdout.write(
                "No mailbox is due." if not options["all"] else "There is no mailbox."
            )
        failed = [account for account in accounts if not self._fetch(account)]
        if failed:
            names = ", ".join(shown(account.name) for account in failed)
            raise CommandError(f"Not fetched: {names}.")

    def _accounts(self, given: list[str], *, every: bool) -> list[Account]:
        using = get_conf().database
        if given:
            return [_account(name, using) for name in given]
        rows = Mailbox.objects.using(using).filter(is_active=True, account__is_active=True)
        found = rows.order_by("pk") if every else due_mailboxes(using)
        return [row.account for row in found.select_related("account")]

    def _fetch(self, account: Account) -> bool:
        outcome = fetch_account(account)
        assert outcome is not None
        self.stdout.write(shown(f"{account.name}: {_described(outcome)}"))
        return not outcome.reason


def _account(given: str, using: str) -> Account:
    accounts = Account.objects.using(using)
    found = list(accounts.filter(name=given)[:2])
    if not found and given.isdecimal():
        found = list(accounts.filter(pk=int(given)))
    if len(found) != 1:
        problem = "more than one account" if found else "no account"
        raise CommandError(f"There is {problem} {shown(given)!r}. Use its id.")
    if not Mailbox.objects.using(using).filter(pk=found[0].pk).exists():
        raise CommandError(f"The account {shown(given)!r} has no mailbox to fetch.")
    return found[0]


def _described(outcome: Outcome) -> str:
    if outcome.is_busy:
        return "another process fetches it."
    parts = [f"{outcome.stored:,} new"]
    parts += [f"{outcome.skipped:,} skipped"] if outcome.skipped else []
    parts += [f"{outcome.deleted:,} deleted from the server"] if outcome.deleted else []
    text = ", ".join(parts) + "."
    return f"{text} {outcome.reason}" if outcome.reason else text

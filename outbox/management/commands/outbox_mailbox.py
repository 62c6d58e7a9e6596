"""List the mailboxes of the local mail server, or print a message."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox.management.output import OutboxCommand
from outbox.testing.dialogue import shown
from outbox.testing.mailboxes import Mailboxes, StoredMessage
from outbox.testing.mailserver import DIRECTORY


class Command(OutboxCommand):
    """List the mailboxes, list the messages of one, or print a message."""

    help = "List the mailboxes of the local mail server, the messages of one, or print a message."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", nargs="?", help="the mailbox to list")
        parser.add_argument("number", nargs="?", type=int, help="the message; 1 is the oldest one")
        parser.add_argument(
            "--directory",
            type=Path,
            default=DIRECTORY,
            help=f"directory of the mail server ({DIRECTORY})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        mailboxes = Mailboxes(options["directory"])
        address, number = options["address"], options["number"]
        if address is None:
            self._list_mailboxes(mailboxes)
        elif number is None:
            self._list_messages(mailboxes.messages(address), address)
        else:
            self._show(mailboxes.messages(address), address, number)

    def _list_mailboxes(self, mailboxes: Mailboxes) -> None:
        addresses = mailboxes.addresses()
        if not addresses:
            self.stdout.write(f"There are no messages in {mailboxes.directory.parent.absolute()}.")
        for address in addresses:
            self.stdout.write(f"{len(mailboxes.messages(address)):6}  {shown(address)}")

    def _list_messages(self, messages: list[StoredMessage], address: str) -> None:
        if not messages:
            raise CommandError(f"There are no messages for {shown(address)}.")
        for message in messages:
            parsed = message.parsed()
            line = (
                f"{message.number:4}  {message.received_at:%Y-%m-%d %H:%M:%S}  {message.size:>9,}  "
                f"{parsed['From'] or ''}  {parsed['Subject'] or ''}"
            )
            self.stdout.write(shown(line))

    def _show(self, messages: list[StoredMessage], address: str, number: int) -> None:
        if not 1 <= number <= len(messages):
            raise CommandError(
                f"There is no message {number} for {shown(address)}, only {len(messages)}."
            )
        text = messages[number - 1].source.decode("utf-8", "replace").replace("\r\n", "\n")
        self.stdout.write("\n".join(map(shown, text.split("\n"))))

"""Create the first user and the first account of a demo site."""

import secrets
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser
from django.db import transaction

from outbox.management.output import OutboxCommand
from outbox.models import Account
from outbox.models.account import Security

USER = "admin"
HOST = "127.0.0.1"


class Command(OutboxCommand):
    """Create them once; if the user exists, only update the port of the local mail server."""

    help = (
        f"Create a superuser '{USER}' with a random password, stored in a file, and an account "
        "that sends through a local mail server. An existing user is not changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--login-file", type=Path, required=True, help="for the password")
        parser.add_argument("--smtp-port", type=int, required=True, help="of the mail server")
        parser.add_argument(
            "--smtp-port-before",
            type=int,
            help="its former port: accounts with that port are updated",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if get_user_model().objects.filter(username=USER).exists():
            update_port(options["smtp_port_before"], options["smtp_port"])
        else:
            create_demo(options["login_file"], options["smtp_port"])


@transaction.atomic
def create_demo(login_file: Path, port: int) -> None:
    """Create user and account; the file is written first, so that the password is not lost."""
    password = secrets.token_urlsafe(12)
    write_privately(login_file, f"user: {USER}\npassword: {password}\n")
    user = get_user_model().objects.create_superuser(USER, f"{USER}@example.com", password)
    Account.objects.create(
        owner=user,
        name="Local mail server",
        from_name="Admin",
        from_address=f"{USER}@example.com",
        host=HOST,
        port=port,
        security=Security.NONE,
    )
    if not Account.objects.filter(is_app_default=True).exists():
        Account.objects.create(
            name="Apps",
            from_address="apps@example.com",
            host=HOST,
            port=port,
            security=Security.NONE,
            is_app_default=True,
            is_trusted=True,
        )


def update_port(before: int | None, now: int) -> None:
    """Update the port of the accounts that use the local mail server."""
    if before is not None and before != now:
        Account.objects.filter(host=HOST, port=before).update(port=now)


def write_privately(path: Path, text: str) -> None:
    """Write a file that only the owner can read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)

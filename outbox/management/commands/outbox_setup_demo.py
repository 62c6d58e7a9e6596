"""Make the first user and the first account of a site that is only being tried out."""

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
    """Do so once: with a user of that name there, only the local mail server's port is kept up."""

    help = (
        f"Make a superuser '{USER}' with a random password, kept in a file, and an account that "
        "sends through a local mail server. Changes nothing for a user who is already there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--login-file", type=Path, required=True, help="gets the password")
        parser.add_argument("--smtp-port", type=int, required=True, help="of the mail server")
        parser.add_argument(
            "--smtp-port-before",
            type=int,
            help="where it was: accounts of that port follow it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if get_user_model().objects.filter(username=USER).exists():
            follow(options["smtp_port_before"], options["smtp_port"])
        else:
            make(options["login_file"], options["smtp_port"])


@transaction.atomic
def make(login_file: Path, port: int) -> None:
    """Make user and account; the file is written first, so that no password is ever lost."""
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
        is_app_default=not Account.objects.filter(is_app_default=True).exists(),
    )


def follow(before: int | None, now: int) -> None:
    """Move the accounts of the local mail server to where it listens now."""
    if before is not None and before != now:
        Account.objects.filter(host=HOST, port=before).update(port=now)


def write_privately(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)

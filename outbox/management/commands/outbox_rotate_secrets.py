"""Encrypt every stored password anew with the first of OUTBOX["SECRET_KEYS"]."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from outbox.conf import get_conf
from outbox.models import Account
from outbox.models.secrets import SecretUnreadableError, rotate


class Command(BaseCommand):
    help = (
        "Encrypt every stored password anew with the first of the secret keys. "
        "Afterwards the older keys may be taken out of the setting."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = Account.objects.using(get_conf().database).exclude(secret_encrypted="")
        unreadable = [str(account) for account in accounts.iterator() if not _rotate(account)]
        self.stdout.write(f"Encrypted anew: {accounts.count() - len(unreadable)}.")
        if unreadable:
            names = ", ".join(unreadable)
            raise CommandError(f"No key opens the password of: {names}. Enter it again.")


def _rotate(account: Account) -> bool:
    """Guarded by the old text, so that a password saved meanwhile is not overwritten."""
    try:
        renewed = rotate(account.secret_encrypted)
    except SecretUnreadableError:
        return False
    same = Account.objects.using(account._state.db).filter(
        pk=account.pk, secret_encrypted=account.secret_encrypted
    )
    same.update(secret_encrypted=renewed)
    return True

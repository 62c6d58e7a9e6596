"""Encrypt every stored secret anew with the first of OUTBOX["SECRET_KEYS"]."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from outbox.conf import get_conf
from outbox.management.output import OutboxCommand
from outbox.models import Account, Webhook
from outbox.models.secrets import SecretUnreadableError, rotate


class Command(OutboxCommand):
    help = (
        "Encrypt every stored password, and every webhook's secret, anew with the first of the "
        "secret keys. Afterwards the older keys may be taken out of the setting."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rotated, unreadable = 0, []
        for holder in _holders(get_conf().database):
            if _rotate(holder):
                rotated += 1
            else:
                unreadable.append(str(holder))
        self.stdout.write(f"Encrypted anew: {rotated}.")
        if unreadable:
            names = ", ".join(unreadable)
            raise CommandError(f"No key opens the secret of: {names}. Enter it again.")


def _holders(using: str) -> Iterator[Account | Webhook]:
    yield from Account.objects.using(using).exclude(secret_encrypted="").iterator()
    yield from Webhook.objects.using(using).exclude(secret_encrypted="").iterator()


def _rotate(holder: Account | Webhook) -> bool:
    """Guarded by the old text, so that a secret saved meanwhile is not overwritten."""
    try:
        renewed = rotate(holder.secret_encrypted)
    except SecretUnreadableError:
        return False
    same = (
        type(holder)
        ._default_manager.using(holder._state.db)
        .filter(pk=holder.pk, secret_encrypted=holder.secret_encrypted)
    )
    same.update(secret_encrypted=renewed)
    return True

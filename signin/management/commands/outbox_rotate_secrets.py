"""Encrypt the keys of authenticators again, together with the secrets of the outbox.

This command replaces that of the outbox, because this app precedes it in INSTALLED_APPS.
"""

from typing import Any

from django.core.management.base import CommandError

from outbox.management.commands import outbox_rotate_secrets
from outbox.models.secrets import SecretUnreadableError, rotate
from signin.models import Authenticator


class Command(outbox_rotate_secrets.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            super().handle(*args, **options)
        finally:  # an unreadable password of an account does not keep the old key in use here
            unreadable = [one for one in Authenticator.objects.all() if not _rotate(one)]
        if unreadable:
            names = ", ".join(map(str, unreadable))
            raise CommandError(f"No key decrypts: {names}. Remove the second factor of the user.")


def _rotate(authenticator: Authenticator) -> bool:
    """Encrypt the key again, and return whether it could be decrypted."""
    try:
        renewed = rotate(authenticator.key_encrypted, authenticator.encrypted_for)
    except SecretUnreadableError:
        return False
    Authenticator.objects.filter(
        pk=authenticator.pk, key_encrypted=authenticator.key_encrypted
    ).update(key_encrypted=renewed)
    return True

"""Encrypt every stored secret again, with the first of OUTBOX["SECRET_KEYS"]."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from outbox.conf import get_conf
from outbox.management.output import OutboxCommand
from outbox.models import Account, Mailbox, OAuthProvider, OAuthToken, SigningKey, Webhook
from outbox.models.secrets import SecretUnreadableError, rotate


class Command(OutboxCommand):
    help = (
        "Encrypt every password, every token, every webhook's secret and every DKIM key again, "
        "with the first of the secret keys. Then the other keys can be removed from the setting."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rotated, unreadable = 0, []
        for holder, column in _secrets(get_conf().database):
            if _rotate(holder, column):
                rotated += 1
            elif not isinstance(holder, OAuthToken):  # void after its account was changed
                unreadable.append(str(holder))
        self.stdout.write(f"Encrypted again: {rotated}.")
        if unreadable:
            names = ", ".join(unreadable)
            raise CommandError(f"No key decrypts the secret of: {names}. Enter it again.")


Holder = Account | Mailbox | Webhook | SigningKey | OAuthProvider | OAuthToken
_COLUMNS: tuple[tuple[type[Holder], str], ...] = (
    (Account, "secret_encrypted"),
    (Mailbox, "secret_encrypted"),
    (Webhook, "secret_encrypted"),
    (Webhook, "former_secret_encrypted"),
    (SigningKey, "private_encrypted"),
    (OAuthProvider, "secret_encrypted"),
    (OAuthProvider, "key_encrypted"),
    (OAuthToken, "refresh_encrypted"),
    (OAuthToken, "access_encrypted"),
)


def _secrets(using: str) -> Iterator[tuple[Holder, str]]:
    """Yield each row with a secret, and the column of the secret."""
    for model, column in _COLUMNS:
        rows: Any = model._default_manager.using(using).exclude(**{column: ""})
        if model is OAuthToken:
            rows = rows.select_related("account", "provider")
        if model is Mailbox:
            rows = rows.select_related("account")  # its name
        for row in rows.iterator():
            yield row, column


def _rotate(holder: Holder, column: str) -> bool:
    """Encrypt a secret again, unless it was changed after it was read; return whether it could."""
    stored = getattr(holder, column)
    try:
        renewed = rotate(stored, _purpose_of(holder, column))
    except SecretUnreadableError:
        return False
    same = type(holder)._default_manager.using(holder._state.db)
    same.filter(**{"pk": holder.pk, column: stored}).update(**{column: renewed})
    return True


def _purpose_of(holder: Holder, column: str) -> str:
    if isinstance(holder, OAuthProvider | OAuthToken):
        return holder.purpose_of(column)
    return holder.encrypted_for

"""Secrets at rest: Fernet with rotating keys. A secret is never shown, logged or sent back."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core.exceptions import ImproperlyConfigured

from outbox.conf import get_conf


class SecretUnreadableError(Exception):
    """No key in OUTBOX["SECRET_KEYS"] opens this secret; it has to be entered again."""


def _fernet() -> MultiFernet:
    keys = get_conf().secret_keys
    if not keys:
        raise ImproperlyConfigured(
            'OUTBOX["SECRET_KEYS"] is empty: no password can be stored. '
            "Set OUTBOX_SECRET_KEYS to a Fernet key."
        )
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(plain: str) -> str:
    """Encrypt with the first key; the empty string stays empty."""
    return _fernet().encrypt(plain.encode()).decode() if plain else ""


def decrypt(token: str) -> str:
    """Decrypt with whichever key fits. Raises SecretUnreadableError."""
    if not token:
        return ""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadableError(
            "The stored password cannot be read with the present keys; enter it again."
        ) from error


def rotate(token: str) -> str:
    """Encrypt anew with the first key. Raises SecretUnreadableError."""
    return encrypt(decrypt(token))

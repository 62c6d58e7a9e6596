"""Secrets at rest, encrypted by Fernet with rotating keys. They are never displayed or logged.

Each secret is encrypted for a purpose, which the key is derived from. A ciphertext that is copied
to a row with another purpose cannot be decrypted there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from outbox.conf import get_conf

if TYPE_CHECKING:  # most processes read no secret
    from cryptography.fernet import MultiFernet

_BOUND = "bound:"  # precedes a ciphertext whose key is derived from the purpose
_KEY_BYTES = 32


class SecretUnreadableError(Exception):
    """The stored secret cannot be used; it has to be entered again."""


def encrypt(plain: str, purpose: str) -> str:
    """Encrypt with the first key, for a purpose. The empty string stays empty."""
    if not plain:
        return ""
    return _BOUND + _fernet(purpose).encrypt(plain.encode()).decode()


def decrypt(stored: str, purpose: str) -> str:
    """Decrypt with any of the keys. Raise SecretUnreadableError, also for another purpose."""
    if not stored:
        return ""
    from cryptography.fernet import InvalidToken

    # Secrets of an earlier version have no purpose; `outbox_rotate_secrets` adds it.
    fernet = _fernet(purpose if is_bound(stored) else "")
    try:
        return fernet.decrypt(stored.removeprefix(_BOUND).encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadableError(
            "The stored password cannot be read with the present keys; enter it again."
        ) from error


def rotate(stored: str, purpose: str) -> str:
    """Encrypt again, with the first key. Raise SecretUnreadableError."""
    return encrypt(decrypt(stored, purpose), purpose)


def make_token(plain: str, purpose: str) -> str:
    """Encrypt with the first key, for a purpose, in a form that is a part of a URL."""
    return encrypt(plain, purpose).removeprefix(_BOUND).rstrip("=")


def read_token(token: str, purpose: str) -> str:
    """Decrypt what `make_token` returned, with any of the keys. Raise SecretUnreadableError."""
    return decrypt(f"{_BOUND}{token}{'=' * (-len(token) % 4)}", purpose)


def keyed_hashes(text: str, purpose: str) -> list[str]:
    """Return the hash of a text with each key, the first one first.

    Without keys, Django's secret key is used.
    """
    return [hmac.new(key, text.encode(), hashlib.sha256).hexdigest() for key in _hash_keys(purpose)]


def _hash_keys(purpose: str) -> list[bytes]:
    keys = get_conf().secret_keys
    if not keys:
        return [hashlib.sha256(f"{purpose}:{settings.SECRET_KEY}".encode()).digest()]
    return [_derived_once(key, purpose) for key in keys]


@lru_cache(maxsize=16)
def _derived_once(key: str, purpose: str) -> bytes:
    return _derived(key, purpose)


def is_bound(stored: str) -> bool:
    """Return whether a ciphertext can be decrypted only for the purpose it was encrypted for."""
    return stored.startswith(_BOUND)


def _fernet(purpose: str) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet

    keys = get_conf().secret_keys
    if not keys:
        raise ImproperlyConfigured(
            'OUTBOX["SECRET_KEYS"] is empty: no password can be stored. '
            "Set OUTBOX_SECRET_KEYS to a Fernet key."
        )
    return MultiFernet([Fernet(_derived(key, purpose) if purpose else key) for key in keys])


def _derived(key: str, purpose: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derivation = HKDF(SHA256(), length=_KEY_BYTES, salt=None, info=purpose.encode())
    return base64.urlsafe_b64encode(derivation.derive(base64.urlsafe_b64decode(key)))

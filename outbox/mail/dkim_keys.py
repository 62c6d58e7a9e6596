"""DKIM keys: a pair, and the DNS record that publishes its public half (RFC 6376 3.6, RFC 8463)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from outbox.exceptions import TranslatableError
from outbox.mail.mailbox import to_a_labels
from outbox.texts import gettext_noop

if TYPE_CHECKING:  # most processes sign nothing
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = RSAPrivateKey | Ed25519PrivateKey

RSA_BITS = 2048  # RFC 8301 3.2; a record of a longer key may not fit into one UDP reply
MAX_NAME = 253  # characters of a DNS name, without the last dot
_MAX_STRING = 255  # bytes of one string of a TXT record (RFC 1035 3.3.14)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class Algorithm(StrEnum):
    """How a key signs. The values are those of the tag a= of a signature."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"

    @property
    def key_type(self) -> str:
        """The tag k= of the DNS record."""
        return self.value.partition("-")[0]


class KeyNameError(TranslatableError, ValueError):
    """The domain or the selector cannot be published in the DNS."""


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """A private key as PEM, and the public key as the DNS record has it."""

    private_pem: str
    public: str


def clean_domain(text: str) -> str:
    """Return a domain in lower-case A-labels. Raise KeyNameError."""
    try:
        domain = to_a_labels(text.strip().rstrip(".")).lower()
    except UnicodeError:
        domain = ""
    if not _DOMAIN.fullmatch(domain) or len(domain) > MAX_NAME:
        raise KeyNameError(gettext_noop("“%(text)s” is not a domain"), text=text[:60])
    return domain


def clean_selector(text: str, domain: str) -> str:
    """Return a selector in lower case. Raise KeyNameError."""
    selector = text.strip().lower()
    if not _SELECTOR.fullmatch(selector) or len(record_name(selector, domain)) > MAX_NAME:
        template = gettext_noop("“%(text)s” is not a selector: use letters, digits and hyphens")
        raise KeyNameError(template, text=text[:60])
    return selector


def generate_pair(algorithm: Algorithm) -> KeyPair:
    """Return a new pair of keys."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    if algorithm == Algorithm.RSA:
        pair: PrivateKey = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        public = pair.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    else:
        pair = ed25519.Ed25519PrivateKey.generate()
        public = pair.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
    private = pair.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return KeyPair(private.decode(), base64.b64encode(public).decode())


def load_private(pem: str) -> PrivateKey:
    """Return a private key that `generate_pair` made. Raise ValueError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # The check of the primes takes 100 ms. The key is our own, and its ciphertext authentic.
    key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, (RSAPrivateKey, Ed25519PrivateKey)):
        raise ValueError("neither an RSA nor an Ed25519 key")  # noqa: TRY004  # the text is wrong
    return key


def record_name(selector: str, domain: str) -> str:
    """Return the name of the DNS record."""
    return f"{selector}._domainkey.{domain}"


def record_text(algorithm: Algorithm, public: str) -> str:
    """Return the content of the DNS record, as one text."""
    return f"v=DKIM1; k={algorithm.key_type}; p={public}"


def quoted_strings(text: str) -> str:
    """Return the content of a TXT record as a zone file has it: strings of at most 255 bytes."""
    starts = range(0, len(text), _MAX_STRING)
    return " ".join(f'"{text[start : start + _MAX_STRING]}"' for start in starts)

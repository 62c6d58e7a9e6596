"""Signed assertions (RFC 7523): how an app proves its identity with a private key.

A Google service account signs for the mailbox that it uses. A Microsoft app signs with the key
of a certificate, whose thumbprint the assertion names.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

_LIFETIME = 600  # seconds
_SKEW = 60  # seconds by which the provider's clock may be slow


class KeyInvalidError(ValueError):
    """The text is neither the JSON file of a service account nor a PEM certificate with its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A private key, with what its assertions name."""

    private_key: str = field(repr=False)  # PEM
    issuer: str = ""  # the email address of a service account
    key_id: str = ""
    thumbprint: str = ""  # of a certificate: the SHA-256 hash in Base64

    @property
    def is_service_account(self) -> bool:
        """Return whether it is a Google service account, which uses the mailbox of a user."""
        return bool(self.issuer)

    @classmethod
    def load(cls, text: str) -> "Signer":
        """Return the signer of a service account's JSON file, or of a PEM file.

        The PEM file contains a certificate and its private key. Raise KeyInvalidError.
        """
        signer = cls._of_service_account(text) if text.lstrip().startswith("{") else cls._of(text)
        signer._key()
        return signer

    @classmethod
    def _of_service_account(cls, text: str) -> "Signer":
        try:
            found = json.loads(text)
            return cls(
                private_key=str(found["private_key"]),
                issuer=str(found["client_email"]),
                key_id=str(found.get("private_key_id", "")),
            )
        except (ValueError, KeyError) as error:
            raise KeyInvalidError("not the JSON file of a service account") from error

    @classmethod
    def _of(cls, text: str) -> "Signer":
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            certificate = x509.load_pem_x509_certificate(text.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise KeyInvalidError("no certificate in it") from None
        thumbprint = _base64(certificate.fingerprint(SHA256()))
        return cls(private_key=text, thumbprint=thumbprint)

    def sign(self, issuer: str, audience: str, now: float, claims: dict[str, str]) -> str:
        """Return a signed JWT. Raise KeyInvalidError."""
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.hashes import SHA256

        # Microsoft wants PS256 with the SHA-256 thumbprint, Google RS256.
        header = {"alg": "PS256" if self.thumbprint else "RS256", "typ": "JWT"}
        if self.thumbprint:
            header["x5t#S256"] = self.thumbprint
        if self.key_id:
            header["kid"] = self.key_id
        issued_at = int(now) - _SKEW
        body: dict[str, Any] = {
            "iss": issuer,
            "aud": audience,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": int(now) + _LIFETIME,
            "jti": secrets.token_urlsafe(16),
            **claims,
        }
        signed = f"{_part(header)}.{_part(body)}"
        pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=hashlib.sha256().digest_size)
        scheme = pss if self.thumbprint else padding.PKCS1v15()
        signature: bytes = self._key().sign(signed.encode(), scheme, SHA256())
        return f"{signed}.{_base64(signature)}"

    def _key(self) -> Any:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(_key_block(self.private_key).encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyInvalidError("no private key without a password in it") from None
        if not isinstance(key, RSAPrivateKey):
            raise KeyInvalidError("not an RSA key")
        return key


def _key_block(pem: str) -> str:
    """Return the private key of a PEM file, which may contain the certificate before it."""
    for kind in ("PRIVATE KEY", "RSA PRIVATE KEY"):
        begin, end = f"-----BEGIN {kind}-----", f"-----END {kind}-----"
        if begin in pem and end in pem:
            return begin + pem.partition(begin)[2].partition(end)[0] + end + "\n"
    return pem


def _part(values: dict[str, Any]) -> str:
    return _base64(json.dumps(values, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

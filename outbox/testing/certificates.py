"""Certificates for servers under test: one authority, and the ways a certificate can be wrong.

Generated at each start, for loopback names only; they protect nothing.
"""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NAMES = ("localhost", "mail.localhost")
_ADDRESSES = ("127.0.0.1", "::1")
_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Certificate(StrEnum):
    """Which certificate a server presents."""

    GOOD = "good"
    EXPIRED = "expired"  # since yesterday
    WRONG_NAME = "wrong-name"  # for another host
    UNTRUSTED = "untrusted"  # self-signed


class Authority:
    """A certificate authority with its files in a directory; `ca_file` is what a client trusts."""

    def __init__(self, directory: Path, names: Sequence[str] = _NAMES) -> None:
        """`names` are the host names in its certificates."""
        self._directory = directory
        self._names = tuple(names)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Outbox test authority")
        certificate = (
            _builder(self._name, self._name, self._key, self._key, days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_CA_USAGE, critical=True)
        )
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def context(self, kind: Certificate) -> ssl.SSLContext:
        """Return a server's TLS context with a certificate of this kind."""
        files = self._directory / f"{kind}.pem"
        if not files.exists():
            files.write_bytes(self._make(kind))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files)
        return context

    def _make(self, kind: Certificate) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        names = ("elsewhere.example",) if kind is Certificate.WRONG_NAME else self._names
        addresses = () if kind is Certificate.WRONG_NAME else _ADDRESSES
        alternatives = [
            *map(x509.DNSName, names),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        ]
        subject = _name(names[0])
        issuer = subject if kind is Certificate.UNTRUSTED else self._name
        signer = key if kind is Certificate.UNTRUSTED else self._key
        days = -1 if kind is Certificate.EXPIRED else 30
        certificate = _builder(subject, issuer, key, signer, days=days).add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return secret + _pem(certificate.sign(signer, hashes.SHA256()))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    days: int,
) -> x509.CertificateBuilder:
    """Return a builder of certificates that VERIFY_X509_STRICT accepts."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)

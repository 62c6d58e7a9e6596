"""TLS for this client: 1.2 or newer, verified, with a cause for each failure."""

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.exhaustion import exhaustion_reason, is_exhausted
from outbox.smtp.facts import TlsFacts
from outbox.smtp.faults import FaultKind

# OpenSSL's verify codes (X509_V_ERR_…); all others: not signed by a trusted authority.
_CAUSES = {
    9: FaultKind.CERT_EXPIRED,  # not valid yet
    10: FaultKind.CERT_EXPIRED,
    62: FaultKind.CERT_NAME,  # host name
    64: FaultKind.CERT_NAME,  # IP address
}


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that trusts the authorities in `ca_file` and those of the system.

    A changed file is read again, so that a renewed authority needs no restart. Raises OSError if
    the file cannot be read, and ssl.SSLError if it contains no certificate.
    """
    return _context(ca_file, Path(ca_file).stat().st_mtime_ns if ca_file else 0)


@lru_cache(maxsize=16)  # loading the authorities of the system takes tens of milliseconds
def _context(ca_file: str | None, _changed_at: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_facts(tls: ssl.SSLObject) -> TlsFacts:
    """Return the facts of a connection after a verified handshake."""
    certificate: dict[str, Any] = dict(tls.getpeercert() or {})
    cipher = tls.cipher()
    return TlsFacts(
        version=tls.version() or "",
        cipher=cipher[0] if cipher else "",
        subject=_name(certificate.get("subject", ())),
        issuer=_name(certificate.get("issuer", ())),
        not_after=str(certificate.get("notAfter", "")),
        verified=bool(certificate),
    )


def tls_cause(error: BaseException) -> tuple[FaultKind, Reason]:
    """Return why a handshake failed."""
    if is_exhausted(error):
        return FaultKind.EXHAUSTED, exhaustion_reason(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = _CAUSES.get(error.verify_code, FaultKind.CERT_UNTRUSTED)
        cause = error.verify_message.removesuffix(".")  # that of the sentence follows
        return kind, Reason(ReasonCode.CERTIFICATE_REJECTED, cause=cause)
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return FaultKind.TLS, Reason(ReasonCode.TLS_NOT_SPOKEN)
        cause = (error.reason or "unknown reason").replace("_", " ").lower()
        return FaultKind.TLS, Reason(ReasonCode.TLS_HANDSHAKE_FAILED, cause=cause)
    if isinstance(error, TimeoutError):
        return FaultKind.TIMEOUT, Reason(ReasonCode.TLS_HANDSHAKE_TIMEOUT)
    return FaultKind.TLS, Reason(ReasonCode.TLS_HANDSHAKE_CLOSED)


def _name(rdns: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    return ", ".join(f"{key}={value}" for rdn in rdns for key, value in rdn)

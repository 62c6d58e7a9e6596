"""TLS as this client demands it: 1.2 or newer, verified, and a cause for each failure."""

import ssl
from functools import lru_cache
from typing import Any

from outbox.smtp.facts import TlsFacts
from outbox.smtp.faults import FaultKind

# OpenSSL's verify codes (X509_V_ERR_…); all others mean that nobody trusted vouches for it.
_CAUSES = {
    9: FaultKind.CERT_EXPIRED,  # not valid yet
    10: FaultKind.CERT_EXPIRED,
    62: FaultKind.CERT_NAME,  # host name
    64: FaultKind.CERT_NAME,  # IP address
}


@lru_cache(maxsize=16)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Make the context once: reading the system's authorities takes tens of milliseconds."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_facts(tls: ssl.SSLObject) -> TlsFacts:
    """Describe the connection after a handshake that verified."""
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


def tls_cause(error: BaseException) -> tuple[FaultKind, str]:
    """Tell what a failed handshake was about, and say it in a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        kind = _CAUSES.get(error.verify_code, FaultKind.CERT_UNTRUSTED)
        return kind, f"the server's certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return FaultKind.TLS, "the server does not speak TLS from the first byte on this port"
        reason = (error.reason or "unknown reason").replace("_", " ").lower()
        return FaultKind.TLS, f"the TLS handshake failed: {reason}"
    if isinstance(error, TimeoutError):
        return FaultKind.TIMEOUT, "the TLS handshake took too long"
    return FaultKind.TLS, "the server hung up during the TLS handshake"


def _name(rdns: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    return ", ".join(f"{key}={value}" for rdn in rdns for key, value in rdn)

"""What a server's certificate proves at the levels of TLS that delivery by MX has.

`verify`: signed by a trusted authority, and for the host (MTA-STS). `dane`: one that TLSA
records announce. `opportunistic`: nothing is required, and what was achieved is recorded.
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509 import verification

from outbox.net.resolve import matches_host
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp.dane import check_chain, load_certificate, matches_dane
from outbox.smtp.facts import TlsFacts, TlsLevel
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.server import Security, Server
from outbox.smtp.tls import tls_context, tls_facts

_ENCODING_DER = 2  # of the private class for certificates before Python 3.13
_FILE_MAX = 200_000  # bytes of a file with one authority
_SHOWN = 3  # names of a certificate in a reason
_CHECKERS = ThreadPoolExecutor(2, thread_name_prefix="outbox-certificates")


def peer_context(server: Server) -> ssl.SSLContext:
    """Return the context for a server. Raise OSError and ssl.SSLError as `tls_context` does."""
    if server.security in {Security.STARTTLS, Security.TLS}:
        return tls_context(server.ca_file)
    return _mx_context(
        server.ca_file,
        Path(server.ca_file).stat().st_mtime_ns if server.ca_file else 0,
        is_signed=server.security is Security.VERIFY,
    )


@lru_cache(maxsize=16)
def _mx_context(ca_file: str | None, _changed_at: int, *, is_signed: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # the name is compared after the handshake
    if not is_signed:
        context.verify_mode = ssl.CERT_NONE
    return context


async def check_peer(server: Server, tls: ssl.SSLObject) -> tuple[TlsFacts, TlsLevel, Reason]:
    """Return facts, level and why it is not a higher one. Raise SmtpFault if it is too low.

    Certificates of an unknown server are checked in a thread: they may be chosen to take long.
    """
    if server.security in {Security.STARTTLS, Security.TLS}:
        return tls_facts(tls), TlsLevel.VERIFIED, NO_REASON
    if server.security is Security.VERIFY:
        _check_name(server, tls)
        return tls_facts(tls), TlsLevel.VERIFIED, NO_REASON
    chain = presented_chain(tls)
    level_of = _dane_level if server.security is Security.DANE else _opportunistic_level
    loop = asyncio.get_running_loop()
    level, why = await loop.run_in_executor(_CHECKERS, level_of, server, chain)
    return _facts(tls, chain, is_verified=level is not TlsLevel.ENCRYPTED), level, why


def presented_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Return the certificates that the server sent, in DER, its own first."""
    public = getattr(tls, "get_unverified_chain", None)  # since Python 3.13
    if public is not None:
        return list(public())
    private = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
    if private is not None:
        return [one.public_bytes(_ENCODING_DER) for one in private() or ()]
    own = tls.getpeercert(binary_form=True)
    return [own] if own else []


def _check_name(server: Server, tls: ssl.SSLObject) -> None:
    """Raise SmtpFault unless the certificate is for the host (RFC 8461 4.2)."""
    certificate: dict[str, Any] = dict(tls.getpeercert() or {})
    found = [name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS"]
    host = server.wire_host
    if not any(matches_host(pattern, host) for pattern in found):
        shown = ", ".join([*found[:_SHOWN], *(["…"] if len(found) > _SHOWN else [])])
        reason = Reason(ReasonCode.CERTIFICATE_NAMES, found=shown or "—", names=host)
        raise SmtpFault(Phase.TLS, FaultKind.CERT_NAME, reason)


def _dane_level(server: Server, chain: Sequence[bytes]) -> tuple[TlsLevel, Reason]:
    """Return the level. Raise SmtpFault if usable records match none of the certificates."""
    if not any(one.is_usable for one in server.tlsa):
        # TLS is required nevertheless (RFC 7672 2.2), and it is.
        return TlsLevel.ENCRYPTED, Reason(ReasonCode.DANE_UNUSABLE, host=server.host)
    if not matches_dane(chain, server.tlsa, _names(server)):
        reason = Reason(ReasonCode.DANE_MISMATCH, host=server.host)
        raise SmtpFault(Phase.TLS, FaultKind.CERT_UNTRUSTED, reason)
    return TlsLevel.DANE, NO_REASON


def _opportunistic_level(server: Server, chain: Sequence[bytes]) -> tuple[TlsLevel, Reason]:
    why = _unverified_because(server, chain)
    return TlsLevel.ENCRYPTED if why else TlsLevel.VERIFIED, why


def _unverified_because(server: Server, chain: Sequence[bytes]) -> Reason:
    """Return why a certificate is not valid for the host; NO_REASON if it is."""
    host = server.wire_host
    try:
        name = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return _verification(server.ca_file, chain, x509.DNSName(host))
    return _verification(server.ca_file, chain, name)


def _verification(
    ca_file: str | None, chain: Sequence[bytes], name: x509.DNSName | x509.IPAddress
) -> Reason:
    try:
        store = _authorities(ca_file, Path(ca_file).stat().st_mtime_ns if ca_file else 0)
        check_chain(chain, store, name)
    except (OSError, ValueError) as error:
        return Reason(ReasonCode.CERTIFICATE_REJECTED, cause=str(error))
    return NO_REASON


@lru_cache(maxsize=4)  # parsing the authorities of the system takes tens of milliseconds
def _authorities(ca_file: str | None, _changed_at: int) -> verification.Store:
    """Return the trusted authorities. Raise ValueError if there is none.

    OpenSSL verifies as part of the handshake only, which would fail then; so the files are read.
    """
    found = dict.fromkeys(tls_context(ca_file).get_ca_certs(binary_form=True))
    folder = ssl.get_default_verify_paths().capath
    for path in sorted(Path(folder).glob("*.[0-9]")) if folder else ():
        with suppress(OSError, ValueError):
            if path.stat().st_size <= _FILE_MAX:
                found[ssl.PEM_cert_to_DER_cert(path.read_text("ascii").strip())] = None
    certificates = []
    for der in found:
        with suppress(ValueError):
            certificates.append(load_certificate(der))
    return verification.Store(certificates)


def _facts(tls: ssl.SSLObject, chain: Sequence[bytes], *, is_verified: bool) -> TlsFacts:
    cipher = tls.cipher()
    subject = issuer = not_after = ""
    with suppress(ValueError, IndexError):
        own = load_certificate(chain[0])
        subject, issuer = own.subject.rfc4514_string(), own.issuer.rfc4514_string()
        not_after = f"{own.not_valid_after_utc:%b %d %H:%M:%S %Y GMT}"
    return TlsFacts(
        version=tls.version() or "",
        cipher=cipher[0] if cipher else "",
        subject=subject,
        issuer=issuer,
        not_after=not_after,
        verified=is_verified,
    )


def _names(server: Server) -> tuple[str, ...]:
    return server.tls_names or (server.wire_host,)

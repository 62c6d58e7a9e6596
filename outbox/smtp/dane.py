"""DANE: whether a certificate is one that the owner of a DNS zone published (RFC 7672).

The records are data. Whether DNSSEC validated them is known where they were looked up. Usages 0 and
1 are unusable for SMTP (RFC 7672 3.1.3).
"""

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification

_TRUST_ANCHOR, _END_ENTITY = 2, 3
_WHOLE, _KEY = 0, 1
_FULL = 0
_HASHES = {1: hashlib.sha256, 2: hashlib.sha512}
_HASH_LENGTHS = {1: 32, 2: 64}
_INVALID = (
    verification.VerificationError,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
_CHAIN_MAX = 6  # certificates of a server that are looked at
_DEPTH_MAX = 4  # authorities between one of them and an anchor: the number of paths is a power
_ANCHORS_MAX = 4


@dataclass(frozen=True, slots=True)
class Tlsa:
    """A TLSA record (RFC 6698)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def is_authority(self) -> bool:
        """Whether the record is about an authority and not about the server's certificate."""
        return self.usage == _TRUST_ANCHOR

    @property
    def is_usable(self) -> bool:
        """Whether SMTP can use the record. Others are ignored."""
        length = _HASH_LENGTHS.get(self.matching)
        return (
            self.usage in {_TRUST_ANCHOR, _END_ENTITY}
            and self.selector in {_WHOLE, _KEY}
            and self.matching in {_FULL, *_HASHES}
            and (len(self.data) == length if length else bool(self.data))
        )


def matches_dane(chain: Sequence[bytes], records: Sequence[Tlsa], names: Sequence[str]) -> bool:
    """Return whether a server's certificates, in DER with its own first, match a usable record.

    A record of usage 3 is about the server's own certificate, whose name and dates then mean
    nothing (RFC 7672 3.1.1). One of usage 2 is about an authority: the server's certificate has to
    be signed by it, be in date, and be for one of the names.
    """
    if not chain:
        return False
    usable = list(strongest(records))
    if any(one.usage == _END_ENTITY and _is_match(chain[0], one) for one in usable):
        return True
    anchors = [
        certificate
        for certificate in dict.fromkeys([*chain[1:_CHAIN_MAX], *_given_anchors(usable)])
        if any(one.usage == _TRUST_ANCHOR and _is_match(certificate, one) for one in usable)
    ]
    return any(
        is_valid_for(chain, [anchor], name) for anchor in anchors[:_ANCHORS_MAX] for name in names
    )


def strongest(records: Sequence[Tlsa]) -> Iterator[Tlsa]:
    """Yield the usable records, of hashes only the strongest kind (RFC 7671 9).

    A weaker one is there for clients that lack the stronger one.
    """
    groups: defaultdict[tuple[int, int], list[Tlsa]] = defaultdict(list)
    for one in records:
        if one.is_usable:
            groups[one.usage, one.selector].append(one)
    for group in groups.values():
        best = max(one.matching for one in group)
        yield from (one for one in group if one.matching in {_FULL, best})


def is_valid_for(chain: Sequence[bytes], anchors: Sequence[bytes], name: str) -> bool:
    """Return whether a server's certificate is signed by an anchor, in date, and for a name."""
    try:
        check_chain(chain, _store(anchors), x509.DNSName(name))
    except ValueError:
        return False
    return True


def check_chain(
    chain: Sequence[bytes], store: verification.Store, name: x509.DNSName | x509.IPAddress
) -> None:
    """Raise ValueError, with the cause, if a server's certificate is not valid for a name."""
    leaf, *others = [load_certificate(one) for one in chain[:_CHAIN_MAX]]
    policy = verification.PolicyBuilder().store(store).max_chain_depth(_DEPTH_MAX)
    verifier = policy.build_server_verifier(name)
    try:
        verifier.verify(leaf, others)
    except _INVALID as error:
        raise ValueError(str(error)) from error


def load_certificate(der: bytes) -> x509.Certificate:
    """Parse a certificate. Raise ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd fields, which are not ours to correct
        try:
            return x509.load_der_x509_certificate(der)
        except x509.InvalidVersion as error:  # not a ValueError
            raise ValueError(str(error)) from error


def _store(anchors: Sequence[bytes]) -> verification.Store:
    return verification.Store([load_certificate(one) for one in anchors])


def _given_anchors(records: Sequence[Tlsa]) -> list[bytes]:
    """Return the authorities that records contain, which a server need not send."""
    return [
        one.data
        for one in records
        if (one.usage, one.selector, one.matching) == (_TRUST_ANCHOR, _WHOLE, _FULL)
    ]


def _is_match(der: bytes, record: Tlsa) -> bool:
    selected = der
    if record.selector == _KEY:
        try:
            key = load_certificate(der).public_key()
            selected = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except (ValueError, UnsupportedAlgorithm):
            return False
    digest = _HASHES.get(record.matching)
    return (digest(selected).digest() if digest else selected) == record.data

"""Certificates and TLSA records (RFC 7672)."""

import datetime as dt
import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.smtp import Tlsa
from outbox.smtp.dane import load_certificate, matches_dane, strongest
from tests.integration.smtp.certificates import SIGNS, Authority

HOST = "mx.test"
HASHES = {1: hashlib.sha256, 2: hashlib.sha512}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


def leaf(authority: Authority, *names: str, days: tuple[int, int] = (-1, 30)) -> bytes:
    authority.context(*names, days=days)
    text = (authority.directory / f"{names[0]}-{days[1]}.pem").read_text()
    return ssl.PEM_cert_to_DER_cert(text.partition("-----BEGIN PRIVATE")[0])


def root(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(Encoding.DER)


def record(usage: int, selector: int, matching: int, der: bytes) -> Tlsa:
    key = x509.load_der_x509_certificate(der).public_key()
    selected = (
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if selector else der
    )
    digest = HASHES.get(matching)
    return Tlsa(usage, selector, matching, digest(selected).digest() if digest else selected)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("usage", [2, 3])
def test_every_usable_form_matches(
    usage: int, selector: int, matching: int, authority: Authority
) -> None:
    own, ca = leaf(authority, HOST), root(authority)
    found = record(usage, selector, matching, own if usage == 3 else ca)
    assert matches_dane([own, ca], [found], [HOST])
    if usage == 3:
        assert not matches_dane([leaf(authority, HOST), ca], [found], [HOST])


def test_a_certificate_of_the_server_needs_neither_name_nor_dates(authority: Authority) -> None:
    own = leaf(authority, "other.test", days=(-9, -1))
    assert matches_dane([own], [record(3, 1, 1, own)], [HOST])


@pytest.mark.parametrize(
    ("names", "days"),
    [
        pytest.param(["other.test"], (-1, 30), id="another name"),
        pytest.param([HOST], (-9, -1), id="expired"),
    ],
)
def test_below_an_authority_name_and_dates_count(
    names: list[str], days: tuple[int, int], authority: Authority
) -> None:
    own, ca = leaf(authority, *names, days=days), root(authority)
    assert not matches_dane([own, ca], [record(2, 0, 1, ca)], [HOST])


def test_an_authority_within_the_record_need_not_be_sent(authority: Authority) -> None:
    own, ca = leaf(authority, HOST), root(authority)
    assert matches_dane([own], [record(2, 0, 0, ca)], ["other.test", HOST])
    assert not matches_dane([own], [record(2, 0, 1, ca)], [HOST])


def test_an_authority_counts_once_however_many_records_match(
    folder: Path, authority: Authority
) -> None:
    foreign = root(Authority(folder, "Foreign Authority"))
    own, ca = leaf(authority, HOST), root(authority)
    forms = [record(2, selector, matching, foreign) for selector in (0, 1) for matching in (0, 2)]
    assert matches_dane([own, foreign, foreign, ca], [*forms, record(2, 0, 2, ca)], [HOST])


def test_an_authority_that_is_sent_has_to_have_signed(folder: Path, authority: Authority) -> None:
    foreign = Authority(folder, "Foreign Authority")
    own, ca = leaf(authority, HOST), root(foreign)
    assert not matches_dane([own, ca], [record(2, 1, 1, ca)], [HOST])


def long_chain(length: int) -> list[bytes]:
    """Return a server's certificate, authorities below each other, and the one above all."""
    names = ["Anchor", *(f"Authority {number}" for number in range(length)), HOST]
    now = dt.datetime.now(dt.UTC)
    signer = ec.generate_private_key(ec.SECP256R1())
    issuer = names[0]
    made: list[bytes] = []
    for name in names:
        key = signer if name == issuer else ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=30))
        )
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
        ]
        if name == HOST:
            extensions.append((x509.SubjectAlternativeName([x509.DNSName(HOST)]), False))
        else:
            extensions.append((x509.BasicConstraints(ca=True, path_length=None), True))
            extensions.append((SIGNS, True))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        made.append(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER))
        signer, issuer = key, name
    return made[::-1]


def test_a_chain_has_a_maximum() -> None:
    """A server that sends many authorities of one name must not occupy the worker."""
    for length, fits in ((4, True), (5, False)):
        *chain, anchor = long_chain(length)
        assert matches_dane(chain, [record(2, 0, 0, anchor)], [HOST]) is fits


@pytest.mark.parametrize(
    "unusable",
    [
        Tlsa(0, 0, 1, bytes(32)),
        Tlsa(1, 1, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(3, 1, 0, b""),
        Tlsa(255, 255, 255, b"x"),
    ],
)
def test_other_records_are_ignored(unusable: Tlsa) -> None:
    assert not unusable.is_usable
    assert list(strongest([unusable])) == []


def test_of_hashes_only_the_strongest_kind_counts(authority: Authority) -> None:
    """RFC 7671 9: a forged certificate with the right weaker hash does not match."""
    own, other = leaf(authority, HOST), leaf(authority, HOST)
    records = [record(3, 1, 1, own), record(3, 1, 2, other)]
    assert not matches_dane([own], records, [HOST])
    assert matches_dane([other], records, [HOST])
    assert matches_dane([own], [record(3, 0, 1, own), records[1]], [HOST])


def test_a_certificate_of_an_unknown_version_is_invalid(authority: Authority) -> None:
    own, ca = leaf(authority, HOST), root(authority)
    version_3, version_6 = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")
    odd = own.replace(version_3, version_6, 1)
    with pytest.raises(ValueError, match="version"):
        load_certificate(odd)
    assert not matches_dane([odd, ca], [record(3, 1, 1, own), record(2, 1, 1, ca)], [HOST])


@settings(max_examples=60)
@given(byte=st.integers(0, 9_999), change=st.integers(1, 255))
def test_a_certificate_that_was_changed_never_matches(
    byte: int, change: int, authority: Authority
) -> None:
    own, ca = leaf(authority, HOST), root(authority)
    records = [record(2, 0, 2, ca), record(3, 0, 2, own), record(2, 1, 1, ca)]
    assert matches_dane([own, ca], records, [HOST])
    signed = x509.load_der_x509_certificate(own).tbs_certificate_bytes
    changed = bytearray(own)
    changed[own.index(signed) + byte % len(signed)] ^= change  # its length differs by the key
    assert not matches_dane([bytes(changed), ca], records, [HOST])


tlsa = st.builds(
    Tlsa, st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), st.binary(max_size=64)
)


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=80), max_size=4), st.lists(tlsa, max_size=6), st.text())
def test_bytes_without_a_certificate_never_match_by_key_or_authority(
    chain: list[bytes], records: list[Tlsa], name: str
) -> None:
    by_content = [one for one in records if one.usage != 3 or one.selector != 0]
    assert not matches_dane(chain, by_content, [name])

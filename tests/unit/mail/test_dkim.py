"""DKIM signatures, verified by another implementation."""

import re
import time
import tracemalloc

import pytest

from outbox.mail import dkim
from outbox.mail.dkim import (
    Signable,
    canonical_body,
    read_signatures,
    sender_domain,
    without_hashes,
)
from outbox.mail.dkim_keys import (
    Algorithm,
    KeyNameError,
    clean_domain,
    clean_selector,
    generate_pair,
    load_private,
    quoted_strings,
    record_name,
    record_text,
)
from tests.dkim_dns import records_of, verified

DOMAIN, SELECTOR = "example.org", "s1"
PAIRS = {algorithm: generate_pair(algorithm) for algorithm in Algorithm}
SOURCE = (
    b"Message-ID: <1@example.org>\r\nFrom:  Alice \t <alice@example.org>\r\n"
    b"To: bob@example.net,\r\n\tcarol@example.net\r\nSubject: a  long\r\n  subject\r\n"
    b"List-Unsubscribe: <mailto:a@b.example>\r\nList-Unsubscribe: <https://b.example/>\r\n"
    b"X-Other: 1\r\n\r\nHello,  Bob \t\r\n.\r\n\r\n\r\n"
)


def sign(source: bytes, algorithm: Algorithm = Algorithm.RSA) -> bytes:
    key = load_private(PAIRS[algorithm].private_pem)
    return Signable(source).sign(DOMAIN, SELECTOR, key)


def is_valid(source: bytes, algorithm: Algorithm) -> bool:
    name = f"{record_name(SELECTOR, DOMAIN)}."
    lookup = records_of({name: record_text(algorithm, PAIRS[algorithm].public)})
    [valid] = verified(source, lookup)
    return valid


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(SOURCE, id="folded and repeated fields"),
        pytest.param(b"From: a@example.org\r\n\r\n", id="no body"),
        pytest.param(b"From: a@example.org\r\n", id="only a header"),
        pytest.param(b"From: a@example.org\r\n\r\n\r\n\r\n", id="empty lines"),
        pytest.param("From: Jö <a@example.org>\r\n\r\ngrüße, 你好\r\n".encode(), id="UTF-8"),
        pytest.param(b"From: a@example.org\r\n\r\n \t\r\n  x  y\t\r\n \r\n", id="white space"),
        pytest.param(b"From: a@example.org\r\n\r\n.\r\n..\r\n.x\r\n", id="dots"),
    ],
)
def test_a_signature_is_valid(algorithm: Algorithm, source: bytes) -> None:
    assert is_valid(sign(source, algorithm) + source, algorithm)


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"Bob", b"Eve", id="body"),
        pytest.param(b"a  long", b"a short", id="subject"),
        pytest.param(b"From:", b"From: eve@example.com\r\nFrom:", id="another From"),
        pytest.param(b"https://b.example/", b"https://c.example/", id="the last of two fields"),
        pytest.param(b"mailto:a@b.example", b"mailto:c@b.example", id="the first of two fields"),
    ],
)
def test_a_change_invalidates_it(algorithm: Algorithm, old: bytes, new: bytes) -> None:
    signature = sign(SOURCE, algorithm)
    changed = SOURCE.replace(old, new, 1)
    assert changed != SOURCE
    assert not is_valid(signature + changed, algorithm)


def test_what_is_not_signed_may_change() -> None:
    assert is_valid(sign(SOURCE) + SOURCE.replace(b"X-Other: 1", b"X-Other: 2"), Algorithm.RSA)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_same_bytes_get_the_same_signature(algorithm: Algorithm) -> None:
    """An attempt that is repeated after a crash sends the same bytes."""
    assert sign(SOURCE, algorithm) == sign(SOURCE, algorithm)


def test_the_signature_covers_the_fields_that_the_message_has() -> None:
    [names] = re.findall(r"\bh=([^;]*);", sign(SOURCE).decode())
    assert re.sub(r"\s", "", names).split(":") == [
        "From", "From", "To", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe",
    ]  # fmt: skip


def test_its_lines_are_short_and_in_ascii() -> None:
    lines = sign(SOURCE).split(b"\r\n")
    assert lines[-1] == b""
    assert max(map(len, lines)) <= 78
    assert all(line.isascii() for line in lines)
    assert all(line.startswith(b" ") for line in lines[1:-1])


def test_what_is_stored_names_the_key_and_the_body() -> None:
    text = (sign(SOURCE) + sign(SOURCE, Algorithm.ED25519)).decode()
    first, second = read_signatures(text)
    assert (first.domain, first.selector, first.algorithm) == (DOMAIN, SELECTOR, "rsa-sha256")
    assert second.algorithm == "ed25519-sha256"
    assert first.body_hash == second.body_hash == Signable(SOURCE).body_hash


def test_without_hashes_only_the_names_remain() -> None:
    text = sign(SOURCE).decode()
    kept = without_hashes(text)
    [one] = read_signatures(kept)
    assert (one.domain, one.selector, one.algorithm) == (DOMAIN, SELECTOR, "rsa-sha256")
    assert one.body_hash == ""
    assert "bh=" not in kept
    assert " b=" not in kept


@pytest.mark.parametrize(
    ("body", "canonical"),
    [  # RFC 6376 3.4.5, and 3.4.4
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \r\n\t\r\n", b""),
        (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a", b"a\r\n"),
    ],
)
def test_the_body_is_canonicalized_as_the_rfc_says(body: bytes, canonical: bytes) -> None:
    assert b"".join(canonical_body(body)) == canonical


@pytest.mark.parametrize("size", range(1, 14))
def test_slices_of_the_body_make_no_difference(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"\r\n \t\r\na\t b \r\n\r\n \r\n\r\nc  \r\n\r\n\t\r\n"
    monkeypatch.setattr(dkim, "_SLICE", size)
    assert b"".join(canonical_body(body)) == b"\r\n\r\na b\r\n\r\n\r\n\r\nc\r\n"
    assert b"".join(canonical_body(body + b"d")).endswith(b"\r\n\r\n\r\nd\r\n")


def test_a_large_body_takes_little_memory() -> None:
    body = (b"ab\t" * 300 + b"\r\n") * 5_000
    tracemalloc.start()
    try:
        assert all(len(piece) < 1_000_000 for piece in canonical_body(body))
        _size, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * len(body)


def test_lines_of_spaces_take_linear_time() -> None:
    def seconds(lines: int) -> float:
        body = (b" " * 990 + b"x\r\n") * lines
        began = time.process_time()
        assert all(canonical_body(body))
        return time.process_time() - began

    assert seconds(8_000) < 40 * max(seconds(800), 0.001)


@pytest.mark.parametrize(
    ("header", "domain"),
    [
        ("Alice <alice@Example.ORG>", "example.org"),
        ("alice@bücher.example", "xn--bcher-kva.example"),
        ("a@one.example, b@two.example", "one.example"),
        ("no-address", ""),
        ("<>", ""),
    ],
)
def test_the_domain_is_that_of_the_author(header: str, domain: str) -> None:
    assert sender_domain(f"From: {header}\r\nSender: x@y.example\r\n\r\n".encode()) == domain


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        (" Example.ORG. ", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_domain_is_stored_as_the_dns_has_it(text: str, domain: str) -> None:
    assert clean_domain(text) == domain


@pytest.mark.parametrize("text", ["", "org", "a b.example", "-a.example", "a..b", "a" * 64 + ".b"])
def test_an_invalid_domain_is_refused(text: str) -> None:
    with pytest.raises(KeyNameError):
        clean_domain(text)


@pytest.mark.parametrize("text", ["", "_x", "a b", "a;b", "x" * 64, "a."])
def test_an_invalid_selector_is_refused(text: str) -> None:
    with pytest.raises(KeyNameError):
        clean_selector(text, DOMAIN)


def test_a_long_record_is_split_into_strings() -> None:
    text = record_text(Algorithm.RSA, PAIRS[Algorithm.RSA].public)
    strings = re.findall(r'"([^"]*)"', quoted_strings(text))
    assert len(strings) == 2
    assert max(map(len, strings)) <= 255
    assert "".join(strings) == text

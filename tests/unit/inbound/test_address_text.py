"""Addresses in texts and in the fields of reports (protocol item 127)."""

import pytest

from outbox.inbound.address_text import find_addresses, report_address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("rfc822; bob@far.test", "bob@far.test"),
        ("rfc822;<bob@far.test>", "bob@far.test"),
        ("RFC822 ;bob@far.test", "bob@far.test"),
        ("bob@far.test", "bob@far.test"),
        ('rfc822; "Bob" <bob@far.test>', "bob@far.test"),
        ("rfc822; bob+2Bx@far.test", "bob+x@far.test"),
        ("rfc822; bob+x@far.test", "bob+x@far.test"),
        ("rfc822; prvs+3D1@far.test", "prvs=1@far.test"),
        (r"utf-8; j\x{FC}rgen@far.test", "jürgen@far.test"),
        (r"utf-8; bob\x{110000}@far.test", "bob\ufffd@far.test"),
        (r"utf-8; bob\x{D800}@far.test", "bob\ufffd@far.test"),
        ('rfc822; "a b"@far.test', ""),
        ("rfc822; bob..x@far.test", "bob..x@far.test"),
        ("rfc822; bob@[192.0.2.1]", "bob@[192.0.2.1]"),
        ("x400; /PN=bob/", ""),
        ("rfc822; bob", ""),
        ("rfc822; bob@10.1.2.3", ""),
        ("", ""),
    ],
)
def test_a_field_has_one_address(value: str, address: str) -> None:
    assert report_address(value) == address


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("<a@far.test>: no", ["a@far.test"]),
        ("'a@far.test', b@far.test.", ["a@far.test", "b@far.test"]),
        ("mailto:a@far.test?subject=x", ["a@far.test"]),
        ("o=Far;dda:SMTP=a@far.test;", ["a@far.test"]),
        ("at 10@20.30 or @far.test", []),
        ("a@", []),
    ],
)
def test_addresses_of_a_text(text: str, addresses: list[str]) -> None:
    assert [found.address for found in find_addresses(text)] == addresses

"""Two spellings of one mailbox have one key."""

import pytest

from outbox.mail.addresses import Address, mailbox_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("Bob@FAR.Test", "Bob@far.test"),
        ("Root", "Root"),  # a user of the server, without a domain
        ("jane@BÜCHER.example", "jane@xn--bcher-kva.example"),
        ("jane@xn--bcher-kva.example", "jane@xn--bcher-kva.example"),
        ('"a@b"@Example.com', '"a@b"@example.com'),
        ("x@\ufffd", "x@\ufffd"),  # not a domain name
        ("", ""),
    ],
)
def test_only_the_domain_is_compared_without_regard_to_case(address: str, key: str) -> None:
    """Protocol item 57."""
    assert mailbox_key(address) == key


def test_a_parsed_address_has_the_same_key() -> None:
    address = Address("Jane", "Jane", "BÜCHER.example")
    assert address.key == mailbox_key(address.spec) == mailbox_key(address.wire)

"""Which servers a user may name."""

import pytest
from django.core.exceptions import ValidationError

from outbox.web.accounts.hosts import clean_host

INNER = [
    "localhost",
    "LOCALHOST.",
    "printer.local",
    "db.internal",
    "127.0.0.1",
    "127.1",  # a resolver takes it for 127.0.0.1
    "2130706433",  # likewise
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",  # noqa: S104  # this machine, when connected to
    "10.1.2.3",
    "172.16.0.9",
    "192.168.1.1",
    "169.254.169.254",  # a cloud's metadata
    "100.64.0.1",
    "::1",
    "[::1]",
    "fe80::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::",
]


@pytest.mark.parametrize("host", INNER)
def test_a_private_host_is_refused_unless_the_site_allows_it(host: str) -> None:
    with pytest.raises(ValidationError) as refused:
        clean_host(host, allow_private=False)
    assert refused.value.code == "private"
    assert clean_host(host, allow_private=True)


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        (" smtp.Example.com. ", "smtp.example.com"),
        ("8.8.8.8", "8.8.8.8"),
        ("[2001:4860:4860::8888]", "2001:4860:4860::8888"),
        ("post.bücher.example", "post.bücher.example"),
        ("mail_1.example.net", "mail_1.example.net"),
    ],
)
def test_a_public_host_is_taken_as_it_will_be_looked_up(typed: str, host: str) -> None:
    assert clean_host(typed, allow_private=False) == host


@pytest.mark.parametrize(
    "typed",
    [
        "smtp.example.com:587",
        "https://smtp.example.com",
        "smtp example com",
        "-smtp.example.com",
        "a..b",
        "x" * 64 + ".example.com",
        ".".join(["abcdefgh"] * 40),
        "smtp.example.com/../",
        "me@example.com",
        "",
    ],
)
def test_an_invalid_host_name_is_rejected(typed: str) -> None:
    with pytest.raises(ValidationError) as refused:
        clean_host(typed, allow_private=True)
    assert refused.value.code == "invalid"

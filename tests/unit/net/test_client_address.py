"""The address of a client: X-Forwarded-For counts as far as trusted proxies wrote it."""

import pytest

from outbox.net.client_address import client_address, network_of

PROXIES = ("10.0.0.0/8", "fd00::/8", "unix")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        pytest.param("203.0.113.7", "", "203.0.113.7", id="no proxy"),
        pytest.param("203.0.113.7", "198.51.100.1", "203.0.113.7", id="header of a client"),
        pytest.param("10.0.0.1", "203.0.113.7", "203.0.113.7", id="one proxy"),
        pytest.param("10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7", id="forged beginning"),
        pytest.param("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7", id="two proxies"),
        pytest.param("", "203.0.113.7", "203.0.113.7", id="proxy on a Unix socket"),
        pytest.param("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1", id="mapped address"),
        pytest.param("10.0.0.1", "", "10.0.0.1", id="proxy without the header"),
        pytest.param("10.0.0.1", "nonsense", "", id="no address"),
        pytest.param("10.0.0.1", "203.0.113.7\n", "203.0.113.7", id="line break"),
    ],
)
def test_the_address_is_the_last_one_that_no_trusted_proxy_has(
    peer: str, forwarded_for: str, address: str
) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == address


def test_no_proxy_is_trusted_by_default() -> None:
    assert client_address("127.0.0.1", "203.0.113.7", ()) == "127.0.0.1"
    assert client_address("", "203.0.113.7", ()) == ""


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_an_ipv6_client_counts_as_its_network(address: str, network: str) -> None:
    assert network_of(address) == network

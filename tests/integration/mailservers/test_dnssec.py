"""DANE with a resolver that validates DNSSEC: unbound, with a trust anchor and a signed zone."""

import asyncio
import os
import re
from collections.abc import Iterator

import pytest

from outbox.conf import get_conf
from outbox.delivery.tls_policy import HostPolicy, PolicySources, policy_for
from outbox.net.dns_resolver import DnsResolver
from outbox.net.mx import find_exchangers
from outbox.net.sites import shaping_of, site_of
from outbox.smtp import PlainText
from tests.unbound_server import PROGRAM, Unbound

IS_REQUIRED = bool(os.environ.get("MAIL_SERVERS_REQUIRED"))
RIGHT, FORGED = "ab" * 32, "cd" * 32
SIGNED = f"""
@ 60 MX 10 mx
mx 60 A 127.0.0.2
_25._tcp.mx 60 TLSA 3 1 1 {RIGHT}
forged 60 MX 10 mx2
mx2 60 A 127.0.0.3
_25._tcp.mx2 60 TLSA 3 1 1 {RIGHT}
without 60 MX 10 mx3
mx3 60 A 127.0.0.4
alias 60 MX 10 mx4
mx4 60 CNAME mx
outside 60 MX 10 mx5
mx5 60 CNAME mx.plain.test.
_25._tcp.mx5 60 TLSA 3 1 1 {RIGHT}
"""
PLAIN = f"""
@ 60 MX 10 mx
mx 60 A 127.0.0.5
_25._tcp.mx 60 TLSA 3 1 1 {RIGHT}
"""

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def forge(zone: str) -> str:
    """Change the TLSA record of one host after it was signed."""
    found, count = re.subn(rf"(_25\._tcp\.mx2\.\S+ .*TLSA 3 1 1 ){RIGHT}", rf"\g<1>{FORGED}", zone)
    assert count == 1
    return found


@pytest.fixture(scope="module")
def unbound() -> Iterator[Unbound]:
    if PROGRAM is None and not IS_REQUIRED:
        pytest.skip("the package unbound is not installed")
    signed, plain = {"signed.test": SIGNED}, {"plain.test": PLAIN}
    with Unbound(signed=signed, plain=plain, changed=forge) as server:
        yield server


def policy_of(server: Unbound, domain: str) -> HostPolicy:
    async def run() -> HostPolicy:
        resolver = DnsResolver([server.address], seconds=30.0)
        found = await find_exchangers(resolver, domain, is_allowed=lambda address: True)
        sources = PolicySources(conf=get_conf(), resolver=resolver)
        (policy,) = await policy_for(
            domain, found, shaping=shaping_of(site_of(found)), sources=sources
        )
        return policy

    return asyncio.run(run())


def test_records_of_a_signed_zone_mean_dane(unbound: Unbound) -> None:
    """Protocol item 124."""
    found = policy_of(unbound, "signed.test")
    assert (found.security, found.tls_names) == ("dane", ("mx.signed.test",))
    assert found.tlsa[0].data == bytes.fromhex(RIGHT)
    assert found.is_authentic


def test_a_forged_record_excludes_the_host(unbound: Unbound) -> None:
    """Protocol item 124: the resolver answers SERVFAIL, and nothing is sent in plain text."""
    assert policy_of(unbound, "forged.signed.test").refused.code == "tlsa_unknown"


def test_a_signed_zone_proves_that_there_is_no_record(unbound: Unbound) -> None:
    found = policy_of(unbound, "without.signed.test")
    assert (found.security, found.plain_text) == ("opportunistic", PlainText.AFTER_FAILURE)
    assert found.is_authentic


def test_records_of_a_zone_without_signatures_mean_nothing(unbound: Unbound) -> None:
    found = policy_of(unbound, "plain.test")
    assert found.security == "opportunistic"
    assert not found.is_authentic


@pytest.mark.parametrize(
    ("domain", "name"), [("alias", "mx.signed.test"), ("outside", "mx5.signed.test")]
)
def test_records_of_an_alias(unbound: Unbound, domain: str, name: str) -> None:
    """RFC 7672 2.2.2: an alias out of the signed zone has the records of its own name."""
    found = policy_of(unbound, f"{domain}.signed.test")
    assert (found.security, found.tls_names) == ("dane", (name,))

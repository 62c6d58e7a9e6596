"""The servers of a domain, found in a DNS server that fails as a scenario says."""

import asyncio
from collections.abc import Sequence

import pytest

from outbox.net.dns_resolver import DnsResolver
from outbox.net.mx import Exchangers, OwnHost, RoutingError, TlsaSet, find_exchangers, find_tlsa
from outbox.testing.dns_lab import DnsLab
from outbox.testing.pytest_plugin import StartDnsLab
from tests.integration.net.waiting import until

NO_HOST = OwnHost()
ZONE = """
    record example.org MX 20 b.example.org
    record example.org MX 10 a.example.org
    record a.example.org A 127.0.0.2
    record a.example.org AAAA ::1
    record b.example.org CNAME c.example.org
    record c.example.org A 127.0.0.3
    record alone.example.org A 127.0.0.4
    record null.example.org MX 0 .
    record null.example.org A 127.0.0.4
    record empty.example.org TXT "no server"
    record dead.example.org MX 10 gone.example.org
    record dead.example.org A 127.0.0.4
"""


def find(
    lab: DnsLab,
    domain: str,
    *,
    own_host: OwnHost = NO_HOST,
    seconds: float = 120.0,
    try_seconds: float | None = None,
    domain_seconds: float = 120.0,
) -> Exchangers:
    async def run() -> Exchangers:
        return await find_exchangers(
            DnsResolver([lab.address], seconds=seconds, try_seconds=try_seconds),
            domain,
            own_host=own_host,
            is_allowed=lambda address: True,
            seconds=domain_seconds,
        )

    return asyncio.run(run())


def addresses(found: Exchangers) -> list[tuple[str, Sequence[str]]]:
    return [(one.host, one.addresses) for one in found.hosts]


def failure(lab: DnsLab, domain: str, *, seconds: float = 120.0) -> tuple[str, bool]:
    with pytest.raises(RoutingError) as caught:
        find(lab, domain, seconds=seconds)
    return caught.value.reason.code, caught.value.is_permanent


def test_the_servers_are_tried_by_preference_with_all_addresses(dns_lab: StartDnsLab) -> None:
    """Protocol items 117 and 120; the second is an alias."""
    found = find(dns_lab(ZONE), "Example.ORG")
    assert addresses(found) == [
        ("a.example.org", ("::1", "127.0.0.2")),
        ("b.example.org", ("127.0.0.3",)),
    ]
    assert found.hosts[1].canonical == "c.example.org"


def test_a_domain_without_mx_records_is_its_own_server(dns_lab: StartDnsLab) -> None:
    found = find(dns_lab(ZONE), "alone.example.org")
    assert addresses(found) == [("alone.example.org", ("127.0.0.4",))]
    assert not found.has_mx


@pytest.mark.parametrize(
    ("domain", "code"),
    [
        ("null.example.org", "mx_null"),
        ("unknown.example.org", "domain_unknown"),
        ("empty.example.org", "mx_unusable"),
        pytest.param("dead.example.org", "mx_unusable", id="no fallback to its address"),
        ("a..b", "domain_invalid"),
        ("[127.0.0.1", "domain_invalid"),
    ],
)
def test_a_domain_without_a_server_fails_permanently(
    dns_lab: StartDnsLab, domain: str, code: str
) -> None:
    lab = dns_lab(ZONE)
    if domain.startswith("["):
        assert addresses(find(lab, "[127.0.0.1]")) == [("127.0.0.1", ("127.0.0.1",))]
        domain = "[127.0.0.1.2]"
    assert failure(lab, domain) == (code, True)


def test_an_address_literal_needs_no_lookup(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(ZONE)
    assert addresses(find(lab, "[IPv6:::1]")) == [("::1", ("::1",))]
    assert lab.queries == []


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("at mx: servfail", "dns_failed"),
        ("at mx: refused", "dns_failed"),
        ("at mx: lame", "dns_failed"),
        ("at mx: garbage", "dns_timeout"),
        ("at mx: no-reply", "dns_timeout"),
        ("at a <a.*>: servfail\nat aaaa <*>: servfail\nat a <b.*>: servfail", "dns_failed"),
    ],
)
def test_a_fault_of_dns_is_temporary(dns_lab: StartDnsLab, rule: str, code: str) -> None:
    """Protocol item 119: it never counts as a domain without records."""
    lab = dns_lab(f"{ZONE}\n{rule}")
    seconds = 0.5 if code == "dns_timeout" else 120.0
    assert failure(lab, "example.org", seconds=seconds) == (code, False)


def test_a_server_whose_addresses_are_unknown_leaves_the_others(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(f"{ZONE}\nat a <a.example.org>: servfail\nat aaaa <a.example.org>: servfail")
    found = find(lab, "example.org")
    assert addresses(found) == [("b.example.org", ("127.0.0.3",))]
    assert found.named == ("a.example.org", "b.example.org")


def test_a_truncated_response_is_asked_for_over_tcp(dns_lab: StartDnsLab) -> None:
    many = "\n".join(f"record many.test MX {number} h{number}.many.test" for number in range(150))
    lab = dns_lab(f"{many}\nrecord h0.many.test A 127.0.0.2")
    found = find(lab, "many.test", try_seconds=120.0)
    assert addresses(found) == [("h0.many.test", ("127.0.0.2",))]
    assert [query.transport for query in lab.queries if query.kind == "MX"] == ["udp", "tcp"]
    assert len(lab.asked("A")) == 10  # and no more, whatever the domain names


def test_servers_that_were_not_looked_up_may_have_addresses(dns_lab: StartDnsLab) -> None:
    """Those of equal preference are looked up in random order."""
    many = "\n".join(f"record many.test MX 10 h{number}.many.test" for number in range(30))
    lab = dns_lab(many)
    assert failure(lab, "many.test") == ("dns_failed", False)
    first = set(lab.asked("A"))
    failure(lab, "many.test")
    assert len(first) == 10
    assert set(lab.asked("A")) != first


def test_all_lookups_for_a_domain_have_one_limit(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(f"{ZONE}\nat a: no-reply\nat aaaa: no-reply")
    with pytest.raises(RoutingError) as caught:
        find(lab, "example.org", domain_seconds=0.5)
    assert (caught.value.reason.code, caught.value.is_permanent) == ("dns_timeout", False)


def test_lookups_for_a_domain_at_the_same_time_have_a_maximum(dns_lab: StartDnsLab) -> None:
    many = "\n".join(f"record many.test MX {number} h{number}.many.test" for number in range(9))
    lab = dns_lab(f"{many}\nat a: no-reply\nat aaaa: no-reply")

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=120.0, try_seconds=120.0)
        finding = asyncio.create_task(find_exchangers(resolver, "many.test"))
        await until(lambda: len(lab.queries) >= 5)
        await resolver.lookup("many.test", "TXT")  # another query would have arrived before
        assert len(lab.queries) == 6
        finding.cancel()

    asyncio.run(run())


def test_this_server_in_the_list_leaves_the_better_ones(dns_lab: StartDnsLab) -> None:
    own_host = OwnHost(addresses=frozenset({"127.0.0.3"}))
    assert [one.host for one in find(dns_lab(ZONE), "example.org", own_host=own_host).hosts] == [
        "a.example.org"
    ]


def test_private_servers_are_refused_by_default(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(ZONE)
    with pytest.raises(RoutingError) as caught:
        asyncio.run(find_exchangers(DnsResolver([lab.address]), "example.org"))
    assert caught.value.reason.code == "mx_forbidden"


def test_dnssec_counts_for_the_hosts_and_for_their_addresses(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(f"{ZONE}\nauthenticated example.org")
    found = find(lab, "example.org")
    assert found.is_authenticated
    assert [one.is_authenticated for one in found.hosts] == [True, True]
    assert not find(dns_lab(ZONE), "example.org").is_authenticated


TLSA_ZONE = f"""{ZONE}
    record _25._tcp.a.example.org TLSA 3 1 1 {"ab" * 32}
    record _25._tcp.b.example.org TLSA 3 1 1 {"cd" * 32}
"""


def tlsa_set(lab: DnsLab, position: int) -> TlsaSet:
    async def run() -> TlsaSet:
        resolver = DnsResolver([lab.address], seconds=120.0)
        found = await find_exchangers(resolver, "example.org", is_allowed=lambda address: True)
        return await find_tlsa(resolver, found, found.hosts[position])

    return asyncio.run(run())


def tlsa_of(lab: DnsLab, position: int) -> list[bytes]:
    return [one.data for one in tlsa_set(lab, position).records]


def test_tlsa_records_count_only_if_all_is_validated(dns_lab: StartDnsLab) -> None:
    """Protocol item 124."""
    lab = dns_lab(f"{TLSA_ZONE}\nauthenticated example.org")
    assert tlsa_of(lab, 0) == [bytes.fromhex("ab" * 32)]
    assert tlsa_of(lab, 1) == [bytes.fromhex("cd" * 32)]  # at the name before the alias
    lab.play(f"{TLSA_ZONE}\nauthenticated example.org\nat aaaa: servfail")
    assert tlsa_of(lab, 0) == [bytes.fromhex("ab" * 32)]  # the failure does not avoid DANE
    lab.play(f"{TLSA_ZONE}\nauthenticated a.example.org")  # not the MX records
    assert tlsa_of(lab, 0) == []
    lab.play(f"{TLSA_ZONE}\nauthenticated example.org\nat tlsa: servfail")
    with pytest.raises(RoutingError) as caught:
        tlsa_of(lab, 0)
    assert not caught.value.is_permanent


ALIAS = """
    record example.org MX 10 mx.example.org
    record mx.example.org CNAME host.other.test
    record host.other.test A 127.0.0.2
    authenticated example.org
"""
AT_ALIAS = f"record _25._tcp.mx.example.org TLSA 3 1 1 {'ab' * 32}"
AT_TARGET = f"record _25._tcp.host.other.test TLSA 3 1 1 {'cd' * 32}"
SIGNED_TARGET = "authenticated other.test"


@pytest.mark.parametrize(
    ("lines", "first_name", "data"),
    [
        pytest.param([SIGNED_TARGET, AT_TARGET, AT_ALIAS], "host.other.test", "cd", id="target"),
        pytest.param([SIGNED_TARGET, AT_ALIAS], "mx.example.org", "ab", id="alias"),
        pytest.param([AT_TARGET, AT_ALIAS], "mx.example.org", "ab", id="unsigned target"),
        pytest.param([AT_TARGET], "", "", id="unsigned target alone"),
    ],
)
def test_tlsa_records_of_an_alias_are_at_its_target_if_that_is_signed(
    dns_lab: StartDnsLab, lines: list[str], first_name: str, data: str
) -> None:
    """RFC 7672 2.2.2. The certificate may be for the alias and for the domain, too (3.2.2)."""
    found = tlsa_set(dns_lab("\n".join([ALIAS, *lines])), 0)
    assert [one.data for one in found.records] == ([bytes.fromhex(data * 32)] if data else [])
    names = ("mx.example.org", "example.org")
    expected = (first_name, *(name for name in names if name != first_name))
    assert found.names == (expected if data else ())


def test_an_alias_that_cannot_be_looked_up_is_a_fault(dns_lab: StartDnsLab) -> None:
    lab = dns_lab(f"{ALIAS}\n{AT_ALIAS}\nat cname: servfail")
    with pytest.raises(RoutingError) as caught:
        tlsa_set(lab, 0)
    assert not caught.value.is_permanent

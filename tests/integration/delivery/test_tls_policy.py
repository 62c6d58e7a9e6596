"""Which level of TLS is requested of each server of a domain: every row of the choice."""

import asyncio
from collections.abc import Callable

import pytest

from outbox.conf import get_conf
from outbox.delivery.tls_policy import HostPolicy, PolicySources, PolicyType, policy_for
from outbox.net.dns_resolver import DnsResolver
from outbox.net.mta_sts import KnownPolicy, Mode, Policy, PolicyError
from outbox.net.mta_sts_store import PolicyStore
from outbox.net.mx import find_exchangers
from outbox.net.shaping import Shaping, TlsFloor
from outbox.net.sites import shaping_of, site_of
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import PlainText, Security
from outbox.testing.dns_lab import DnsLab
from outbox.testing.pytest_plugin import StartDnsLab

ZONE = """
    record x.test MX 10 mx.x.test
    record x.test MX 20 backup.y.test
    record mx.x.test A 127.0.0.2
    record backup.y.test A 127.0.0.3
"""
SIGNED = "authenticated x.test\nauthenticated y.test"
STS = 'record _mta-sts.x.test TXT "v=STSv1; id=1"'
USABLE = f"record _25._tcp.mx.x.test TLSA 3 1 1 {'ab' * 32}"
AUTHORITY = f"record _25._tcp.mx.x.test TLSA 2 0 1 {'ab' * 32}"
UNUSABLE = f"record _25._tcp.mx.x.test TLSA 1 1 1 {'ab' * 32}"
UNREAD = PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain="x.test", cause="x"))


class Archive:
    """Policies in memory, as the database has them."""

    def __init__(self, known: KnownPolicy | None = None) -> None:
        self.known = known

    async def load(self, domain: str) -> KnownPolicy | None:
        return self.known

    async def save(self, domain: str, known: KnownPolicy) -> None:
        self.known = known


def sts_policy(mode: Mode) -> Callable[[str], Policy]:
    return lambda domain: Policy(mode, ("mx.x.test",), 86_400)


def blocked(domain: str) -> Policy:
    raise UNREAD


def policies(
    lab: DnsLab,
    *,
    fetch: Callable[[str], Policy] = blocked,
    floor: TlsFloor | None = None,
    requirement: str = "",
    archive: Archive | None = None,
    now: float = 1_000.0,
    pending_max: int = 200,
) -> tuple[HostPolicy, ...]:
    async def run() -> tuple[HostPolicy, ...]:
        resolver = DnsResolver([lab.address], seconds=120.0)
        found = await find_exchangers(resolver, "x.test", is_allowed=lambda address: True)
        site = site_of(found)
        store = PolicyStore(
            resolver, fetch, archive=archive, clock=lambda: now, pending_max=pending_max
        )
        overrides = {site.key: Shaping(tls_floor=floor)} if floor else {}
        try:
            return await policy_for(
                "x.test",
                found,
                shaping=shaping_of(site, overrides),
                sources=PolicySources(conf=get_conf(), resolver=resolver, sts=store),
                tls_requirement=requirement,
            )
        finally:
            store.close()

    return asyncio.run(run())


def levels(found: tuple[HostPolicy, ...]) -> list[str]:
    return [one.refused.code if one.refused else str(one.security) for one in found]


def test_without_any_policy_tls_is_opportunistic(dns_lab: StartDnsLab) -> None:
    found = policies(dns_lab(ZONE))
    assert levels(found) == ["opportunistic"] * 2
    assert {one.plain_text for one in found} == {PlainText.AFTER_FAILURE}
    assert not any(one.why or one.is_authentic for one in found)


@pytest.mark.parametrize(
    ("floor", "security"),
    [(TlsFloor.ENCRYPTED, "opportunistic"), (TlsFloor.VERIFIED, "verify")],
)
def test_the_floor_of_the_site_raises_it(
    dns_lab: StartDnsLab, floor: TlsFloor, security: str
) -> None:
    found = policies(dns_lab(ZONE), floor=floor)
    assert levels(found) == [security] * 2
    assert {one.plain_text for one in found} == {PlainText.NEVER}
    assert {one.why.code for one in found} == {"tls_by_floor"}


def test_usable_tlsa_records_mean_dane_for_that_host(dns_lab: StartDnsLab) -> None:
    """Protocol item 124."""
    found = policies(dns_lab("\n".join([ZONE, SIGNED, USABLE])))
    assert levels(found) == ["dane", "opportunistic"]
    assert found[0].tls_names == ("mx.x.test",)
    assert found[0].tlsa[0].data == bytes.fromhex("ab" * 32)
    assert (found[0].type, found[0].why.code) == (PolicyType.TLSA, "tls_by_dane")
    assert found[0].plain_text is PlainText.NEVER
    authority = policies(dns_lab("\n".join([ZONE, SIGNED, AUTHORITY])))
    assert authority[0].tls_names == ("mx.x.test", "x.test")


def test_tlsa_records_without_dnssec_mean_nothing(dns_lab: StartDnsLab) -> None:
    """Protocol item 124."""
    assert levels(policies(dns_lab(f"{ZONE}\n{USABLE}"))) == ["opportunistic"] * 2


def test_unusable_tlsa_records_require_encryption(dns_lab: StartDnsLab) -> None:
    found = policies(dns_lab("\n".join([ZONE, SIGNED, UNUSABLE])))
    assert levels(found) == ["opportunistic"] * 2
    assert [one.plain_text for one in found] == [PlainText.NEVER, PlainText.AFTER_FAILURE]
    assert found[0].why.code == "dane_unusable"


def test_a_failed_lookup_of_tlsa_records_excludes_the_host(dns_lab: StartDnsLab) -> None:
    """Protocol item 124: never plain text, and never MTA-STS instead."""
    lab = dns_lab("\n".join([ZONE, SIGNED, STS, "at tlsa <*.mx.x.test>: servfail"]))
    found = policies(lab, fetch=sts_policy(Mode.ENFORCE))
    assert levels(found) == ["tlsa_unknown", "mta_sts_other_host"]
    assert not found[0].is_usable


def test_an_enforced_policy_verifies_its_hosts_and_excludes_others(dns_lab: StartDnsLab) -> None:
    """Protocol item 122."""
    found = policies(dns_lab(f"{ZONE}\n{STS}"), fetch=sts_policy(Mode.ENFORCE))
    assert levels(found) == ["verify", "mta_sts_other_host"]
    assert (found[0].type, found[0].why.code) == (PolicyType.STS, "tls_by_sts")
    assert found[0].plain_text is PlainText.NEVER


def test_a_policy_in_testing_mode_requires_nothing(dns_lab: StartDnsLab) -> None:
    """Protocol item 122."""
    found = policies(dns_lab(f"{ZONE}\n{STS}"), fetch=sts_policy(Mode.TESTING))
    assert levels(found) == ["opportunistic"] * 2
    assert [one.fits for one in found] == [True, False]
    assert {one.type for one in found} == {PolicyType.STS}
    assert {one.why.code for one in found} == {"tls_sts_testing"}


def test_a_policy_that_could_not_be_read_for_our_own_reason_excludes_hosts_without_dane(
    dns_lab: StartDnsLab,
) -> None:
    lab = dns_lab(f"{ZONE}{SIGNED}\n{STS}\n{USABLE}")
    assert levels(policies(lab, pending_max=0)) == ["dane", "mta_sts_unread"]


def test_a_policy_of_mode_none_is_none(dns_lab: StartDnsLab) -> None:
    found = policies(dns_lab(f"{ZONE}\n{STS}"), fetch=sts_policy(Mode.NONE))
    assert levels(found) == ["opportunistic"] * 2
    assert {one.type for one in found} == {PolicyType.NONE}


def test_dane_precedes_mta_sts(dns_lab: StartDnsLab) -> None:
    """Protocol item 123."""
    lab = dns_lab("\n".join([ZONE, SIGNED, STS, USABLE]))
    other = Policy(Mode.ENFORCE, ("other.test",), 86_400)
    assert levels(policies(lab, fetch=lambda domain: other)) == ["dane", "mta_sts_other_host"]


def test_unusable_tlsa_records_do_not_lower_mta_sts(dns_lab: StartDnsLab) -> None:
    lab = dns_lab("\n".join([ZONE, SIGNED, STS, UNUSABLE]))
    found = policies(lab, fetch=sts_policy(Mode.ENFORCE))
    assert levels(found) == ["verify", "mta_sts_other_host"]


STORED = KnownPolicy("1", Policy(Mode.ENFORCE, ("mx.x.test",), 500), read_at=600.0)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(1_099.0, ["verify", "mta_sts_other_host"], id="live"),
        pytest.param(1_100.0, ["opportunistic"] * 2, id="expired"),
    ],
)
@pytest.mark.parametrize("line", ["at txt: servfail", "at txt: nxdomain", STS])
def test_a_stored_policy_holds_until_it_expires(
    dns_lab: StartDnsLab, line: str, now: float, expected: list[str]
) -> None:
    """Protocol item 123: also if DNS and the web server are blocked."""
    found = policies(dns_lab(f"{ZONE}\n{line}"), archive=Archive(STORED), now=now)
    assert levels(found) == expected


def test_a_policy_that_is_read_is_stored(dns_lab: StartDnsLab) -> None:
    archive = Archive()
    policies(dns_lab(f"{ZONE}\n{STS}"), fetch=sts_policy(Mode.ENFORCE), archive=archive)
    assert archive.known == KnownPolicy("1", sts_policy(Mode.ENFORCE)("x.test"), 1_000.0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], ["requiretls_unproven"] * 2, id="no policy"),
        pytest.param([STS], ["verify", "mta_sts_other_host"], id="MTA-STS"),
        pytest.param([SIGNED], ["verify", "verify"], id="DNSSEC"),
        pytest.param([SIGNED, USABLE], ["dane", "verify"], id="DANE"),
    ],
)
def test_a_message_that_requires_tls_needs_proof_of_the_server(
    dns_lab: StartDnsLab, lines: list[str], expected: list[str]
) -> None:
    """Protocol item 125 (RFC 8689 4.2.1)."""
    lab = dns_lab("\n".join([ZONE, *lines]))
    found = policies(lab, fetch=sts_policy(Mode.ENFORCE), requirement="required")
    assert levels(found) == expected


def test_a_message_for_which_tls_is_optional_ignores_the_domain_and_not_the_site(
    dns_lab: StartDnsLab,
) -> None:
    """RFC 8689 5; the floor is the sender's own."""
    lab = dns_lab("\n".join([ZONE, SIGNED, STS, "at tlsa: servfail"]))
    found = policies(lab, fetch=sts_policy(Mode.ENFORCE), requirement="optional")
    assert levels(found) == ["opportunistic"] * 2
    assert {one.why.code for one in found} == {"tls_optional"}
    assert not any(one.is_counted for one in found)
    assert all(one.is_counted for one in policies(lab, fetch=sts_policy(Mode.ENFORCE)))
    found = policies(lab, requirement="optional", floor=TlsFloor.ENCRYPTED)
    assert {(one.security, one.plain_text) for one in found} == {
        (Security.OPPORTUNISTIC, PlainText.NEVER)
    }

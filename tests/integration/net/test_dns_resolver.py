"""The resolver of delivery by MX: its cache, its limits, and when it trusts a response."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from outbox.net.dns_resolver import DnsFailedError, DnsResolver, RecordSet
from outbox.testing.dns_lab import DnsLab
from outbox.testing.pytest_plugin import StartDnsLab
from tests.integration.net.waiting import until


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(
    lab: DnsLab,
    work: Callable[[DnsResolver, Clock], Awaitable[None]],
    *,
    entries_max: int = 1_000,
    concurrent_max: int = 50,
    seconds: float = 120.0,
    try_seconds: float | None = None,
) -> None:
    async def whole() -> None:
        clock = Clock()
        resolver = DnsResolver(
            [lab.address],
            seconds=seconds,
            # By default as long, so that each lookup is one query, however busy the machine is.
            try_seconds=try_seconds or seconds,
            clock=clock,
            entries_max=entries_max,
            concurrent_max=concurrent_max,
        )
        await work(resolver, clock)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("name", "kind", "seconds"),
    [
        pytest.param("a.test", "A", 30, id="its own TTL"),
        pytest.param("long.test", "A", 3_600, id="at most an hour"),
        pytest.param("mx.test", "MX", 60, id="MX records at least a minute"),
        pytest.param("a.test", "MX", 20, id="no such record, by the SOA record"),
        pytest.param("none.a.test", "MX", 20, id="no such name"),
        pytest.param("none.far.test", "MX", 300, id="at most five minutes"),
        pytest.param("none.test", "MX", 0, id="no such name, without SOA record"),
        pytest.param("long.test", "MX", 0, id="no such record, without SOA record"),
    ],
)
def test_a_record_set_is_kept_for_its_ttl(
    dns_lab: StartDnsLab, name: str, kind: str, seconds: float
) -> None:
    lab = dns_lab(
        "record a.test 30 A 127.0.0.2\n"
        "record a.test SOA n.test h.test 1 2 3 4 20\n"
        "record far.test 9000 SOA n.test h.test 1 2 3 4 9000\n"
        "record mx.test 0 MX 10 a.test\n"
        "record long.test 999999 A 127.0.0.2"
    )

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        first = await resolver.lookup(name, kind)
        clock.now = max(seconds - 1, 0)
        if seconds:
            assert await resolver.lookup(name.upper(), kind) == first
        assert len(lab.queries) == 1
        clock.now = seconds
        await resolver.lookup(name, kind)
        assert len(lab.queries) == 2

    run(lab, work)


def test_a_failure_is_kept_for_a_few_seconds_only(dns_lab: StartDnsLab) -> None:
    lab = dns_lab("record a.test A 127.0.0.2\nat a 1: servfail")

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        for _ in range(3):
            with pytest.raises(DnsFailedError):
                await resolver.lookup("a.test", "A")
        assert len(lab.queries) == 1
        clock.now = 5.0
        assert len((await resolver.lookup("a.test", "A")).records) == 1

    run(lab, work)


def test_the_cache_has_a_maximum_and_keeps_what_is_used(dns_lab: StartDnsLab) -> None:
    lab = dns_lab("record test A 127.0.0.2")

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        for number in range(10):
            await resolver.lookup("test", "A")
            await resolver.lookup(f"n{number}.test", "A")
        assert lab.asked("A").count("test") == 1
        await resolver.lookup("n0.test", "A")
        assert lab.asked("A").count("n0.test") == 2

    run(lab, work, entries_max=3)


def test_a_large_record_set_is_not_kept(dns_lab: StartDnsLab) -> None:
    many = [f"record many.test A 127.0.{number // 250}.{number % 250}" for number in range(1_100)]
    lab = dns_lab("\n".join(many))

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        for _ in range(2):
            assert len((await resolver.lookup("many.test", "A")).records) == 1_100
        assert [one.transport for one in lab.queries] == ["udp", "tcp"] * 2

    run(lab, work)


def test_a_query_without_a_response_is_repeated(dns_lab: StartDnsLab) -> None:
    """It is the same lookup, whose result is kept."""
    lab = dns_lab("record a.test A 127.0.0.2\nat a 1: no-reply")

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        for _ in range(2):
            assert len((await resolver.lookup("a.test", "A")).records) == 1
        assert len(lab.queries) >= 2

    run(lab, work, try_seconds=0.2)


def test_concurrent_lookups_of_one_name_are_one_query(dns_lab: StartDnsLab) -> None:
    lab = dns_lab("record a.test A 127.0.0.2\nat a: late 0.1")

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        tasks = [asyncio.create_task(resolver.lookup("a.test", "A")) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # it began the lookup, and does not end it for the others
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(isinstance(one, RecordSet) and one.records for one in found[1:])
        assert len(lab.queries) == 1

    run(lab, work)


def test_lookups_at_the_same_time_have_a_maximum(dns_lab: StartDnsLab) -> None:
    names = [f"n{number}.test" for number in range(6)]
    lab = dns_lab("record test A 127.0.0.2\nat a: no-reply")

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        tasks = [asyncio.create_task(resolver.lookup(name, "A")) for name in names]
        await until(lambda: len(lab.queries) >= 2)
        other = DnsResolver([lab.address], seconds=120.0)
        await other.lookup("test", "AAAA")  # a third query would have arrived before
        assert sorted(lab.asked("A")) == names[:2]
        for task in tasks:
            task.cancel()

    run(lab, work, concurrent_max=2)


def test_the_limit_of_a_lookup_begins_when_it_has_a_slot(dns_lab: StartDnsLab) -> None:
    """Domains whose servers are silent must not make the lookups of others fail."""
    lab = dns_lab("record test A 127.0.0.2\nat a <*.silent.test>: no-reply")

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        names = [*(f"n{number}.silent.test" for number in range(3)), "test"]
        lookups = [resolver.lookup(name, "A") for name in names]
        async with asyncio.timeout(120.0):
            *silent, other = await asyncio.gather(*lookups, return_exceptions=True)
        assert {type(one) for one in silent} == {DnsFailedError}
        assert isinstance(other, RecordSet)

    run(lab, work, concurrent_max=1, seconds=2.0)


def test_the_system_may_get_other_servers(tmp_path: Path) -> None:
    """A host that gets another network gets another resolv.conf."""
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.43.8\n")

    async def trusts(resolver: DnsResolver) -> bool:
        with contextlib.suppress(DnsFailedError):  # whatever this host's own server responds
            await resolver.lookup("a.test", "A")
        return resolver.trusts_dnssec

    async def work() -> None:
        resolver = DnsResolver(resolv_conf=file, seconds=0.2)
        assert not resolver.trusts_dnssec
        other = tmp_path / "other.conf"
        other.write_text("nameserver 127.0.0.1\n")
        other.replace(file)
        assert await trusts(resolver)
        file.unlink()
        assert await trusts(resolver)  # the host's own server is asked

    asyncio.run(work())


@pytest.mark.parametrize(
    ("servers", "trusted", "trusts"),
    [
        (["127.0.0.1"], [], True),
        (["127.0.0.1:53", "[::1]:53"], [], True),
        (["192.0.43.8"], [], False),
        (["192.0.43.8"], ["192.0.43.8"], True),
        (["127.0.0.1", "192.0.43.8"], [], False),
        pytest.param(["127.0.0.11"], [], False, id="Docker"),
        (["127.0.0.11"], ["127.0.0.11"], True),
    ],
)
def test_the_ad_bit_counts_only_from_loopback_or_a_trusted_server(
    servers: list[str], trusted: list[str], trusts: bool
) -> None:
    """Protocol item 124: anyone on the path to another resolver can set it."""
    assert DnsResolver(servers, trusted=trusted).trusts_dnssec is trusts


@pytest.mark.parametrize("trusts", [True, False])
def test_the_ad_bit_is_ignored_without_trust(dns_lab: StartDnsLab, trusts: bool) -> None:
    lab = dns_lab("record a.test A 127.0.0.2\nauthenticated a.test")

    async def work(resolver: DnsResolver, clock: Clock) -> None:
        resolver.trusts_dnssec = trusts
        assert (await resolver.lookup("a.test", "A")).is_authenticated is trusts

    run(lab, work)

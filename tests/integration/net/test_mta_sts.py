"""Reading MTA-STS policies from a web server, by records in DNS."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from outbox.net.dns_resolver import DnsResolver
from outbox.net.mta_sts import KnownPolicy, Mode, Policy, PolicyError, fetch_policy
from outbox.net.mta_sts_store import PolicyStore
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.tls import tls_context
from outbox.testing.pytest_plugin import StartDnsLab
from tests.integration.net.test_http import reply, server
from tests.integration.net.waiting import until
from tests.integration.smtp.certificates import Authority

BODY = b"version: STSv1\nmode: enforce\nmx: mx.x.test\nmax_age: 86400\n"
POLICY = Policy(Mode.ENFORCE, ("mx.x.test",), 86_400)


def response(body: bytes = BODY, *, status: str = "200 OK", kind: str = "text/plain") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Location: https://mta-sts.x.test/\r\n\r\n".encode() + body


def fetch(
    folder: Path, source: bytes, *, name: str = "mta-sts.x.test", trusts: bool = True
) -> Policy:
    authority = Authority(folder)
    context = authority.context(name)
    serve, received = reply(source)

    def serve_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            serve(secured)

    with server(serve_tls) as port:
        found = fetch_policy(
            "x.test",
            is_allowed=lambda address: address == "127.0.0.1",
            resolve=lambda host: ["127.0.0.1"] if host == "mta-sts.x.test" else [],
            context=tls_context(str(authority.file) if trusts else None),
            port=port,
            seconds=30.0,
        )
    assert received[0].startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
    return found


def test_a_policy_is_read_over_https(tmp_path: Path) -> None:
    assert fetch(tmp_path, response(kind="text/plain; charset=utf-8")) == POLICY


@pytest.mark.parametrize(
    ("source", "code"),
    [
        pytest.param(response(status="301 Moved"), "mta_sts_unread", id="redirect"),
        pytest.param(response(status="404 Not Found"), "mta_sts_unread", id="missing"),
        pytest.param(response(kind="text/html"), "mta_sts_unread", id="HTML"),
        pytest.param(response(BODY + b"x: y\n" * 20_000), "mta_sts_unread", id="too large"),
        pytest.param(response(b"mode: enforce"), "mta_sts_invalid", id="invalid"),
        pytest.param(b"garbage\r\n\r\n", "mta_sts_unread", id="no HTTP"),
    ],
)
def test_another_response_is_rejected(tmp_path: Path, source: bytes, code: str) -> None:
    """Protocol item 121."""
    with pytest.raises(PolicyError) as caught:
        fetch(tmp_path, source)
    assert caught.value.reason.code == code


@pytest.mark.parametrize(("name", "trusts"), [("x.test", True), ("mta-sts.x.test", False)])
def test_the_certificate_has_to_be_valid(tmp_path: Path, name: str, trusts: bool) -> None:
    with pytest.raises(PolicyError) as caught:
        fetch(tmp_path, response(), name=name, trusts=trusts)
    assert "certificate verify failed" in str(caught.value)


def test_a_private_web_server_is_not_contacted() -> None:
    with pytest.raises(PolicyError, match="no address that may be contacted"):
        fetch_policy("x.test", resolve=lambda host: ["127.0.0.1"])


def test_a_policy_is_read_once_and_survives_faults(dns_lab: StartDnsLab) -> None:
    """Protocol item 123."""
    lab = dns_lab('record _mta-sts.x.test 0 TXT "v=STSv1; id=1"')
    results: list[Policy | None] = [POLICY]
    fetched: list[str] = []
    now = [0.0]

    def read(domain: str) -> Policy:
        fetched.append(domain)
        found = results[-1]
        if found is None:
            raise PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause="x"))
        return found

    async def run() -> None:
        resolver = DnsResolver([lab.address], clock=lambda: now[0])
        store = PolicyStore(resolver, read, clock=lambda: now[0])
        assert await asyncio.gather(*(store.policy_for("X.test") for _ in range(5))) == [POLICY] * 5
        assert fetched == ["x.test"]
        results.append(None)  # the web server fails from here on
        lab.play('record _mta-sts.x.test 0 TXT "v=STSv1; id=2"')
        now[0] = 300.0
        assert await store.policy_for("x.test") == POLICY
        await until(lambda: len(fetched) >= 2)
        assert fetched == ["x.test"] * 2
        lab.play("at txt: servfail")
        now[0] = 1_000.0
        assert await store.policy_for("x.test") == POLICY
        now[0] = 86_400.0
        assert await store.policy_for("x.test") is None
        store.close()

    asyncio.run(run())


def test_a_silent_web_server_delays_messages_for_a_limited_time(dns_lab: StartDnsLab) -> None:
    """A policy that is known is used at once."""
    lab = dns_lab('record _mta-sts.x.test 0 TXT "v=STSv1; id=1"')
    responds = threading.Event()
    now = [0.0]

    def read(domain: str) -> Policy:
        assert responds.wait(60.0)
        return POLICY

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0, clock=lambda: now[0])
        store = PolicyStore(resolver, read, clock=lambda: now[0], first_wait=0.1)
        async with asyncio.timeout(50.0):
            assert await store.policy_for("x.test") is None
            responds.set()
            while await store.policy_for("x.test") is None:
                pass
            responds.clear()
            lab.play('record _mta-sts.x.test 0 TXT "v=STSv1; id=2"')
            now[0] = 300.0
            assert await store.policy_for("x.test") == POLICY
        await until(lambda: bool(fetchers()))
        responds.set()
        store.close()
        await until(lambda: not fetchers())

    asyncio.run(run())


def test_a_store_that_is_closed_cancels_what_waits(dns_lab: StartDnsLab) -> None:
    """A silent web server must not delay the end of the process."""
    lab = dns_lab('record _mta-sts.x.test TXT "v=STSv1; id=1"')
    responds = threading.Event()

    def read(domain: str) -> Policy:
        assert responds.wait(60.0)
        return POLICY

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(resolver, read, clock=lambda: 1000.0, first_wait=60.0)
        waiting = asyncio.create_task(store.policy_for("x.test"))
        await until(lambda: bool(fetchers()))
        assert all(one.daemon for one in threading.enumerate() if one.name in fetchers())
        store.close()
        async with asyncio.timeout(50.0):
            await asyncio.wait({waiting})
        assert waiting.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await store.policy_for("x.test")
        responds.set()
        await until(lambda: not fetchers())

    asyncio.run(run())


def test_a_policy_that_could_not_be_read_for_our_own_reason_is_not_a_missing_one(
    dns_lab: StartDnsLab,
) -> None:
    """Silent web servers of some domains must not lower the protection of the others."""
    records = [f'record _mta-sts.d{n}.test TXT "v=STSv1; id=1"' for n in range(11)]
    lab = dns_lab("\n".join(records))
    responds = threading.Event()

    def read(domain: str) -> Policy:
        assert responds.wait(60.0)
        return POLICY

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(resolver, read, clock=lambda: 1000.0, first_wait=1.0, pending_max=9)
        found = await asyncio.gather(
            *(store.policy_for(f"d{number}.test") for number in range(11)), return_exceptions=True
        )
        # Eight are being read, one waits for a thread, and two found the queue full.
        assert found.count(None) == 8
        assert sum(isinstance(one, PolicyError) for one in found) == 3
        responds.set()
        await until(lambda: not store._pending)
        assert await store.policy_for("d10.test") == POLICY
        store.close()

    asyncio.run(run())


def test_policies_are_kept_longer_than_failures(dns_lab: StartDnsLab) -> None:
    """Those that are used are kept longest."""
    names = ["a", "b", "none", "c", "d"]
    records = [f'record _mta-sts.{name}.test 0 TXT "v=STSv1; id=1"' for name in names]
    lab = dns_lab("\n".join(records))
    fetched: list[str] = []

    def read(domain: str) -> Policy:
        fetched.append(domain)
        if domain == "none.test":
            raise PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause="x"))
        return POLICY

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(resolver, read, clock=lambda: 1000.0, entries_max=3)
        for name in ("a", "b", "none", "a", "c", "a", "d", "a", "c"):
            await store.policy_for(f"{name}.test")
        store.close()

    asyncio.run(run())
    assert fetched == [f"{name}.test" for name in names]  # b had to go for d


def test_a_full_store_keeps_what_it_has_just_read(dns_lab: StartDnsLab) -> None:
    """Otherwise the policy of the newest domain would be read for each message."""
    names = ["a", "b", "none"]
    lab = dns_lab("\n".join(f'record _mta-sts.{name}.test TXT "v=STSv1; id=1"' for name in names))
    fetched: list[str] = []
    archive = CountingArchive()

    def read(domain: str) -> Policy:
        fetched.append(domain)
        if domain == "none.test":
            raise PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause="x"))
        return POLICY

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(resolver, read, archive=archive, clock=lambda: 1000.0, entries_max=2)
        for name in [*names, "none", "a", "none"]:
            await store.policy_for(f"{name}.test")
        store.close()

    asyncio.run(run())
    assert fetched == [f"{name}.test" for name in names]
    # After a failed fetch, another process may have read the policy.
    assert archive.loaded == [*fetched, "none.test"]


def stored_policy(record_id: str = "1", *, mx: str = "mx.x.test", read_at: float) -> KnownPolicy:
    return KnownPolicy(record_id, Policy(Mode.ENFORCE, (mx,), 10 * 86_400), read_at)


def test_a_stored_policy_survives_a_full_memory_and_a_blocked_web_server(
    dns_lab: StartDnsLab,
) -> None:
    """Protocol item 123."""
    names = ["x", "a", "b", "c"]
    lab = dns_lab("\n".join(f'record _mta-sts.{name}.test TXT "v=STSv1; id=1"' for name in names))
    is_blocked = threading.Event()
    archive = MemoryArchive({"x.test": stored_policy(read_at=0.0)})

    def read(domain: str) -> Policy:
        if domain == "x.test":
            assert is_blocked.wait(60.0)
            raise PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause="x"))
        return POLICY

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(resolver, read, archive=archive, clock=lambda: 90_000.0, entries_max=2)
        assert await store.policy_for("x.test") is not None  # a day old, and being read again
        for name in ("a.test", "b.test", "c.test"):
            assert await store.policy_for(name) == POLICY
        is_blocked.set()
        await store.finish(60.0)
        assert await store.policy_for("x.test") is not None
        store.close()

    asyncio.run(run())


def test_a_policy_that_another_process_stored_is_found_while_dns_is_blocked(
    dns_lab: StartDnsLab,
) -> None:
    lab = dns_lab("at txt: servfail")
    archive = MemoryArchive({})
    now = [1_000.0]

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(resolver, unreadable, archive=archive, clock=lambda: now[0])
        assert await store.policy_for("x.test") is None
        archive.known["x.test"] = stored_policy(read_at=now[0])
        now[0] += 30.0
        assert await store.policy_for("x.test") is not None

    asyncio.run(run())


def test_a_newer_policy_of_another_process_is_used_after_a_failed_fetch(
    dns_lab: StartDnsLab,
) -> None:
    lab = dns_lab('record _mta-sts.x.test TXT "v=STSv1; id=2"')
    archive = MemoryArchive({"x.test": stored_policy(read_at=0.0)})

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(resolver, unreadable, archive=archive, clock=lambda: 1_000.0)
        known = await store.policy_for("x.test")
        assert known is not None
        assert known.mx == ("mx.x.test",)
        archive.known["x.test"] = stored_policy("2", mx="new.x.test", read_at=900.0)
        await store.finish(60.0)
        newer = await store.policy_for("x.test")
        assert newer is not None
        assert newer.mx == ("new.x.test",)

    asyncio.run(run())


def test_a_changed_policy_is_read_first_if_the_known_one_excludes_a_host(
    dns_lab: StartDnsLab,
) -> None:
    """A short process would end before it has read the policy in the background."""
    lab = dns_lab('record _mta-sts.x.test TXT "v=STSv1; id=2"')
    archive = MemoryArchive({"x.test": stored_policy(mx="old.x.test", read_at=0.0)})

    async def run() -> None:
        resolver = DnsResolver([lab.address], seconds=60.0)
        store = PolicyStore(
            resolver, lambda domain: POLICY, archive=archive, clock=lambda: 1_000.0, first_wait=60.0
        )
        assert await store.policy_for("x.test", ["mx.x.test"]) == POLICY
        assert archive.known["x.test"].id == "2"

    asyncio.run(run())


def unreadable(domain: str) -> Policy:
    raise PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause="x"))


class MemoryArchive:
    """An archive, as the database is one."""

    def __init__(self, known: dict[str, KnownPolicy]) -> None:
        self.known = known

    async def load(self, domain: str) -> KnownPolicy | None:
        return self.known.get(domain)

    async def save(self, domain: str, known: KnownPolicy) -> None:
        self.known[domain] = known


class CountingArchive:
    """An archive that has nothing."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    async def load(self, domain: str) -> None:
        self.loaded.append(domain)

    async def save(self, domain: str, known: KnownPolicy) -> None:
        pass


def fetchers() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("outbox-mta-sts")]

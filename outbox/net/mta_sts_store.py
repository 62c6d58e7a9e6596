"""The MTA-STS policies of domains, in memory, read again when their record changes or daily."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

from outbox.net.dns_resolver import DnsFailedError, DnsResolver
from outbox.net.lru import LruCache
from outbox.net.mta_sts import KnownPolicy, Mode, Policy, PolicyError, fetch_policy, parse_record
from outbox.net.threads import in_daemon_thread
from outbox.reasons import Reason, ReasonCode

_ENTRIES_MAX = 20_000  # domains with a policy, and as many without
_FETCHERS = 8  # threads of their own: silent web servers may occupy all of them
_THREAD = "outbox-mta-sts"
_PENDING_MAX = 200  # fetches, of which most wait for a thread
_FIRST_WAIT = 20.0  # seconds for the first policy of a domain; it is read to the end nevertheless
_LOOK_AGAIN = 30.0  # seconds after which the archive may have the policy of a domain without one


class Archive(Protocol):
    """Where policies survive the process, for all processes. Times are seconds of the epoch."""

    async def load(self, domain: str) -> KnownPolicy | None:
        """Return what is stored about a domain. What is raised ends the lookup."""

    async def save(self, domain: str, known: KnownPolicy) -> None:
        """Store a policy that was read. It must not raise."""


class PolicyStore:
    """Finds policies; used by one event loop. Concurrent questions about a domain are one fetch."""

    def __init__(
        self,
        resolver: DnsResolver,
        fetch: Callable[[str], Policy] = fetch_policy,
        *,
        archive: Archive | None = None,
        clock: Callable[[], float],
        entries_max: int = _ENTRIES_MAX,
        first_wait: float = _FIRST_WAIT,
        pending_max: int = _PENDING_MAX,
    ) -> None:
        """`fetch` reads the policy of a domain, blocks, and raises PolicyError.

        `clock` returns seconds since 1970: a stored policy is valid until a time of day.
        """
        self._fetchers = asyncio.Semaphore(_FETCHERS)
        self._is_closed = False
        self._first_wait = first_wait
        self._pending_max = pending_max
        self._begun: set[str] = set()  # domains whose fetch has a thread
        self._resolver = resolver
        self._fetch = fetch
        self._archive = archive
        self._clock = clock
        # Domains without a policy have a cache of their own: they must not displace policies, and
        # are not displaced by them.
        self._with_policy: LruCache[str, KnownPolicy] = LruCache(entries_max)
        self._without: LruCache[str, KnownPolicy] = LruCache(entries_max)
        # From when on the archive may have a newer policy. A missing time means now.
        self._look_at: LruCache[str, float] = LruCache(2 * entries_max)
        self._pending: dict[str, asyncio.Task[None]] = {}

    async def policy_for(self, domain: str, hosts: Collection[str] = ()) -> Policy | None:
        """Return the policy in force for a domain, given in A-labels; None without one.

        A policy that is known is in force at once, and is read again in the background. If it
        excludes one of the hosts and the record has another id, it is read first. Raise what
        the archive raises, and PolicyError if too many policies are being read: a policy that
        we did not look up is not a missing one. After `close`, a call that would wait raises
        CancelledError.
        """
        domain = domain.lower()
        await self._recall(domain)
        record_id = await self._record_id(domain)
        entry = self._entry(domain)
        if entry.needs_fetch(record_id, self._clock()):
            task = self._fetching(domain, record_id)
            live = entry.live_policy(self._clock())
            if live is None:
                if self._is_closed:
                    raise asyncio.CancelledError
                await self._wait_for(task, domain)
            elif task is not None and record_id not in {None, entry.id} and _excludes(live, hosts):
                await asyncio.wait({task}, timeout=self._first_wait)
        await self._recall(domain)  # if the fetch failed, another process may know the policy
        return self._entry(domain).live_policy(self._clock())

    def _fetching(self, domain: str, record_id: str | None) -> asyncio.Task[None] | None:
        """Return the fetch of a policy, begun if there is none; None if there are too many."""
        task = self._pending.get(domain)
        if task is None and len(self._pending) < self._pending_max and not self._is_closed:
            task = asyncio.get_running_loop().create_task(self._read(domain, record_id))
            self._pending[domain] = task
            task.add_done_callback(lambda _: self._pending.pop(domain, None))
        return task

    async def _wait_for(self, task: asyncio.Task[None] | None, domain: str) -> None:
        """Wait for a fetch for a while. Raise PolicyError if it has not even begun by then."""
        if task is not None:
            done, _ = await asyncio.wait({task}, timeout=self._first_wait)
            for one in done:
                one.result()  # a defect must not look like a domain without a policy
            if done or domain in self._begun:
                return
        cause = "too many policies are being read"
        raise PolicyError(Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause=cause))

    async def finish(self, seconds: float) -> None:
        """Wait for the fetches that have begun, for a limited time."""
        if self._pending:
            await asyncio.wait(set(self._pending.values()), timeout=seconds)

    def close(self) -> None:
        """Cancel the fetches, and with them the callers that wait for one."""
        self._is_closed = True
        for task in self._pending.values():
            task.cancel()

    async def _recall(self, domain: str) -> None:
        """Load what is stored about a domain, if another process may have read a newer policy."""
        is_known = self._found(domain) is not None
        if self._archive is None or (is_known and self._clock() < self._next_look(domain)):
            return
        stored = await self._archive.load(domain)
        self._keep(domain, self._entry(domain).with_stored(stored))

    def _next_look(self, domain: str) -> float:
        return self._look_at.get(domain) or 0.0

    async def _record_id(self, domain: str) -> str | None:
        """Return the id of the record; None if it is missing or DNS fails."""
        try:
            found = await self._resolver.lookup(f"_mta-sts.{domain}", "TXT")
        except DnsFailedError:
            return None
        return parse_record(
            [b"".join(row.strings).decode("utf-8", "replace") for row in found.records]
        )

    async def _read(self, domain: str, record_id: str | None) -> None:
        result: Policy | PolicyError
        try:
            async with self._fetchers:
                self._begun.add(domain)
                result = await in_daemon_thread(partial(self._fetch, domain), _THREAD)
        except PolicyError as error:
            result = error
        finally:
            self._begun.discard(domain)
        known = self._entry(domain).after(result, record_id, self._clock())
        self._keep(domain, known)
        if isinstance(result, PolicyError):
            # Memory may have dropped a policy that is in force, and another process may have read
            # one. An attacker who blocks the web server must not remove either.
            self._look_at.discard(domain)
        elif self._archive is not None:
            await self._archive.save(domain, known)

    def _keep(self, domain: str, known: KnownPolicy) -> None:
        now = self._clock()
        policy = known.live_policy(now)
        if policy is None:
            self._with_policy.discard(domain)
            self._without[domain] = known
            self._look_at[domain] = now + _LOOK_AGAIN
        else:
            self._without.discard(domain)
            self._with_policy[domain] = known
            self._look_at[domain] = known.read_at + policy.max_age

    def _found(self, domain: str) -> KnownPolicy | None:
        return self._with_policy.get(domain) or self._without.get(domain)

    def _entry(self, domain: str) -> KnownPolicy:
        return self._found(domain) or KnownPolicy()


def _excludes(policy: Policy, hosts: Collection[str]) -> bool:
    return policy.mode is Mode.ENFORCE and not all(policy.allows(host) for host in hosts)

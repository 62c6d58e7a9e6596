"""DNS for delivery by MX: one asynchronous resolver per event loop, with a cache.

Records are kept as long as their TTL allows. Concurrent lookups of one name and kind are one
lookup. It may be several datagrams: a query without a response within some seconds is repeated with
another id, also where this process was too busy to read the response in time.

A failed DNS server raises `DnsFailedError` and never looks like a name without records: a message
would fail permanently for a fault that passes.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.resolver

from outbox.exceptions import OutboxError
from outbox.net.dns_lookup import server_of
from outbox.net.lru import LruCache
from outbox.reasons import Reason, ReasonCode

_PAYLOAD = 1232  # octets over UDP that no network fragments
_ENTRIES_MAX = 20_000  # names and kinds in the cache
_FORWARDERS = frozenset({"127.0.0.11"})  # of Docker: on loopback, to the resolvers of its host
_SIZE_MAX = 4_096  # octets of a record set in the cache: a hostile zone may have large ones
_MX_TTL_MIN = 60.0  # seconds: a domain must not have other servers with each attempt
_TTL_MAX = 3_600.0  # seconds: a changed MX record is noticed within an hour, whatever its TTL
_NEGATIVE_TTL_MAX = 300.0  # of a response without records (RFC 2308 5 allows hours)
_RESOLV_CONF = Path("/etc/resolv.conf")
_FAILURE_TTL = 5.0  # so that a thousand messages for one broken domain ask once


class DnsFailedError(OutboxError):
    """Nothing is known about the name at present."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RecordSet:
    """The records of one name and kind; empty if there are none."""

    records: tuple[Any, ...] = ()
    name: str = ""  # the name that has the records, after aliases
    exists: bool = True  # False: NXDOMAIN
    is_authenticated: bool = False  # validated by DNSSEC, as a trusted resolver states
    ttl: float = 0.0  # seconds, within our limits; 0: it is not kept


@dataclass(slots=True)
class _Entry:
    result: RecordSet | DnsFailedError
    ends_at: float


class DnsResolver:
    """Looks names up; used by one event loop. Without servers, those of the system are asked.

    A host that gets another network gets other DNS servers, so their file is read again when it
    has changed.
    """

    def __init__(
        self,
        servers: Sequence[str] = (),
        *,
        resolv_conf: Path = _RESOLV_CONF,
        seconds: float = 20.0,
        try_seconds: float | None = None,
        concurrent_max: int = 50,
        entries_max: int = _ENTRIES_MAX,
        trusted: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Accept servers as "address" or "address:port". Raise ValueError for anything else.

        `seconds` limits one lookup, without its wait for a slot: domains whose DNS servers are
        silent must not make the lookups of others fail. The query is repeated after `try_seconds`,
        else as the system says. The AD bit counts only if each server is on loopback
        (except Docker's, which forwards) or among `trusted` (addresses): anyone on the path to
        another one can set it (RFC 7672 1.3.2).
        """
        self._servers, self._resolv_conf, self._trusted = servers, resolv_conf, trusted
        self._seconds, self._try_seconds = seconds, try_seconds
        self._configured_by: tuple[int, int] | None = None
        self._configure()
        self._clock = clock
        self._entries: LruCache[tuple[str, str], _Entry] = LruCache(entries_max)
        self._pending: dict[tuple[str, str], asyncio.Task[RecordSet | DnsFailedError]] = {}
        self._slots = asyncio.Semaphore(concurrent_max)

    def _configure(self) -> None:
        """Read which servers are asked. Raise ValueError for a setting that names none."""
        if self._servers:
            self._resolver = dns.asyncresolver.Resolver(configure=False)
            self._resolver.nameservers = [server_of(one) for one in self._servers]
        else:
            self._configured_by = _version_of(self._resolv_conf)
            self._resolver = _of_system(self._resolv_conf)
        self._resolver.use_edns(0, 0, _PAYLOAD)
        self._resolver.flags = dns.flags.RD | dns.flags.AD  # AD: report it (RFC 6840 5.7)
        self._resolver.timeout = self._try_seconds or min(self._resolver.timeout, self._seconds / 2)
        self.trusts_dnssec = _are_trusted(self._resolver.nameservers, self._trusted)

    def _configure_again(self) -> None:
        """Ask the servers of the changed file, which may give other responses."""
        if not self._servers and _version_of(self._resolv_conf) != self._configured_by:
            self._configure()
            self._entries.clear()

    async def lookup(self, name: str, kind: str) -> RecordSet:
        """Return the records of a name, in A-labels. Raise DnsFailedError."""
        self._configure_again()
        key = name.lower().rstrip("."), kind
        result = self._cached(key)
        if result is None:
            task = self._pending.get(key)
            if task is None:
                task = asyncio.get_running_loop().create_task(self._look_up(key))
                self._pending[key] = task
                task.add_done_callback(lambda _: self._pending.pop(key, None))
            # A caller that is cancelled must not end the lookup of the others.
            result = await asyncio.shield(task)
        if isinstance(result, DnsFailedError):
            raise DnsFailedError(result.reason)  # not the same object in several tracebacks
        return result

    def _cached(self, key: tuple[str, str]) -> RecordSet | DnsFailedError | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ends_at <= self._clock():
            self._entries.discard(key)
            return None
        return entry.result

    async def _look_up(self, key: tuple[str, str]) -> RecordSet | DnsFailedError:
        result: RecordSet | DnsFailedError
        try:
            async with self._slots, asyncio.timeout(self._seconds):
                result = await self._ask(*key)
        except TimeoutError:
            result = DnsFailedError(Reason(ReasonCode.DNS_TIMEOUT, host=key[0]))
        ttl = _FAILURE_TTL if isinstance(result, DnsFailedError) else result.ttl
        if ttl <= 0:
            return result
        self._entries[key] = _Entry(result, self._clock() + ttl)
        return result

    async def _ask(self, name: str, kind: str) -> RecordSet | DnsFailedError:
        try:
            found = await self._resolver.resolve(
                f"{name}.", kind, raise_on_no_answer=False, lifetime=self._seconds, search=False
            )
            return self._record_set(found.response)
        except dns.resolver.NXDOMAIN as error:
            return self._record_set(error.kwargs["responses"].popitem()[1])
        except dns.exception.Timeout:
            return DnsFailedError(Reason(ReasonCode.DNS_TIMEOUT, host=name))
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return _failed(name, _cause(error))

    def _record_set(self, response: dns.message.QueryMessage) -> RecordSet | DnsFailedError:
        """Return what a response says. Raise DNSException for a chain of aliases without end."""
        chain = response.resolve_chaining()
        exists = response.rcode() != dns.rcode.NXDOMAIN
        if chain.answer is None and exists and _is_referral(response):
            return _failed(str(chain.canonical_name).rstrip("."), "referral")
        is_authenticated = self.trusts_dnssec and bool(response.flags & dns.flags.AD)
        name = str(chain.canonical_name).rstrip(".").lower()
        if chain.answer is None:  # without an SOA record it is not kept (RFC 2308 5)
            has_soa = dns.rdatatype.SOA in _authority_kinds(response)
            ttl = min(chain.minimum_ttl, _NEGATIVE_TTL_MAX) if has_soa else 0.0
            return RecordSet((), name, exists, is_authenticated, ttl)
        size = sum(len(one.to_digestable()) for one in chain.answer)
        ttl = min(chain.minimum_ttl, _TTL_MAX)
        if chain.answer.rdtype == dns.rdatatype.MX:
            ttl = max(ttl, _MX_TTL_MIN)
        if size > _SIZE_MAX:
            ttl = 0.0
        return RecordSet(tuple(chain.answer), name, exists, is_authenticated, ttl)


def _version_of(file: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written or replaced; None if there is none."""
    with suppress(OSError):
        found = file.stat()
        return found.st_mtime_ns, found.st_ino
    return None


def _of_system(file: Path) -> dns.asyncresolver.Resolver:
    """Return a resolver that asks the system's servers."""
    try:
        return dns.asyncresolver.Resolver(str(file))
    except dns.resolver.NoResolverConfiguration:
        # A host without a configuration asks its own server (resolv.conf(5)).
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [server_of("127.0.0.1")]
        return resolver


def _are_trusted(servers: Sequence[Any], trusted: Sequence[str]) -> bool:
    addresses = [str(getattr(one, "address", one)) for one in servers]
    return bool(addresses) and all(one in trusted or _is_own(one) for one in addresses)


def _is_own(address: str) -> bool:
    """Return whether a server is this host's own, and not one that forwards to any other."""
    is_loopback = ipaddress.ip_address(address.partition("%")[0]).is_loopback
    return is_loopback and address not in _FORWARDERS


def _is_referral(response: dns.message.Message) -> bool:
    """Return whether a server that is not responsible names others (RFC 2308 2.2)."""
    kinds = _authority_kinds(response)
    return dns.rdatatype.NS in kinds and dns.rdatatype.SOA not in kinds


def _authority_kinds(response: dns.message.Message) -> set[dns.rdatatype.RdataType]:
    return {rrset.rdtype for rrset in response.authority}


def _failed(name: str, cause: str) -> DnsFailedError:
    return DnsFailedError(Reason(ReasonCode.DNS_FAILED, host=name, cause=cause))


def _cause(error: Exception) -> str:
    """Return what the last server did, such as SERVFAIL, without its address."""
    if isinstance(error, dns.resolver.NoNameservers):
        errors = error.kwargs.get("errors") or []
        if errors:
            last = errors[-1][3]
            return last if isinstance(last, str) else type(last).__name__
    return str(error) or type(error).__name__

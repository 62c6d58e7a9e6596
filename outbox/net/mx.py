"""Which servers receive the messages of a domain, and in which order they are tried.

RFC 5321 5.1, RFC 7505 (null MX) and RFC 7672 (which of it DNSSEC validated). A domain without MX
records is its own server. A domain whose MX records are of no use is not: messages would arrive
where the domain's owner does not want them. An unknown outcome of DNS is always temporary.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, groupby, zip_longest

from outbox.exceptions import OutboxError
from outbox.net.address import is_public
from outbox.net.dns_resolver import DnsFailedError, DnsResolver, RecordSet
from outbox.net.resolve import wire_host
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.dane import Tlsa

HOSTS_MAX = 10  # MX hosts of a domain that are looked up: a hostile one may have hundreds
ADDRESSES_MAX = 8  # addresses of a host that are tried

_SECONDS = 60.0  # of all lookups for a domain
_AT_ONCE = 4  # lookups of a domain: others have domains, too
_KINDS = ("AAAA", "A")
_NAME_MAX = 253
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.){0,126}[a-z0-9_-]{1,63}")
_IPV6_TAG = "ipv6:"
Shuffle = Callable[[list["Exchanger"]], None]


class RoutingError(OutboxError):
    """No server receives messages for the domain. The reason begins with the enhanced code."""

    def __init__(self, reason: Reason, *, is_permanent: bool) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.is_permanent = is_permanent


@dataclass(frozen=True, slots=True)
class Exchanger:
    """A server that receives messages, and its addresses in the order in which they are tried."""

    host: str  # in A-labels, or an IP address
    preference: int = 0
    addresses: tuple[str, ...] = ()
    canonical: str = ""  # the name that has the addresses, if `host` is an alias
    is_authenticated: bool = False  # DNSSEC validated the addresses, so that TLSA records count


@dataclass(frozen=True, slots=True)
class Exchangers:
    """The servers of a domain in the order in which they are tried; there is at least one."""

    domain: str
    hosts: tuple[Exchanger, ...]
    is_authenticated: bool = False  # DNSSEC validated which hosts these are
    has_mx: bool = True  # False: the domain itself, or an address literal
    named: tuple[str, ...] = ()  # all that DNS names, also those not tried at present


@dataclass(frozen=True, slots=True)
class TlsaSet:
    """The TLSA records of a server, and the names that its certificate may be for."""

    records: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()  # the first one is what the client asks for (RFC 7672 8.1)

    @property
    def has_usable(self) -> bool:
        """Whether a certificate can be compared with a record."""
        return any(one.is_usable for one in self.records)

    @property
    def has_authority(self) -> bool:
        """Whether a usable record is about an authority, so that names are compared."""
        return any(one.is_usable and one.is_authority for one in self.records)


NO_TLSA = TlsaSet()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnHost:
    """This installation, as MX records may name it; names in lower case."""

    names: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()

    def is_named_by(self, exchanger: Exchanger) -> bool:
        """Return whether a server is this installation."""
        return not self.names.isdisjoint(
            {exchanger.host, exchanger.canonical}
        ) or not self.addresses.isdisjoint(exchanger.addresses)


_NOT_NAMED = OwnHost()


async def find_exchangers(
    resolver: DnsResolver,
    domain: str,
    *,
    own_host: OwnHost = _NOT_NAMED,
    is_allowed: Callable[[str], bool] = is_public,
    shuffle: Shuffle = random.shuffle,
    seconds: float = _SECONDS,
) -> Exchangers:
    """Return the servers of a domain, or of an address literal. Raise RoutingError.

    `is_allowed` gets each address. `shuffle` orders hosts of equal preference. Addresses that are
    unknown after `seconds` count as a failed lookup.
    """
    if domain.startswith("["):
        return Exchangers(domain, (_literal(domain, is_allowed),), has_mx=False)
    name = _wire_domain(domain)
    try:
        record_set = await resolver.lookup(name, "MX")
    except DnsFailedError as error:
        raise RoutingError(error.reason, is_permanent=False) from error
    # It does not include the first wait for a slot of the resolver, for which others are the cause.
    ends_at = asyncio.get_running_loop().time() + seconds
    if not record_set.exists:
        reason = Reason(ReasonCode.DOMAIN_UNKNOWN, domain=name)
        raise RoutingError(reason, is_permanent=True)
    every = named_hosts(name, record_set)
    named = ordered(_better_than(own_host, every, name), shuffle)
    found = await _with_addresses(resolver, named[:HOSTS_MAX], ends_at)
    try:
        usable = usable_hosts(name, found, own_host, is_allowed)
    except RoutingError as error:
        is_certain = len(named) <= HOSTS_MAX or error.reason.code == ReasonCode.MX_LOOP
        if is_certain or not error.is_permanent:
            raise
        # Another trial may look up others, of those with the same preference.
        reason = Reason(ReasonCode.DNS_FAILED, host=name, cause=f"{len(named)} mail servers")
        raise RoutingError(reason, is_permanent=False) from error
    return Exchangers(
        name,
        tuple(usable),
        record_set.is_authenticated,
        has_mx=bool(record_set.records),
        named=tuple(one.host for one in every),
    )


async def find_tlsa(
    resolver: DnsResolver, exchangers: Exchangers, exchanger: Exchanger, port: int = 25
) -> TlsaSet:
    """Return the TLSA records of a server, if DNSSEC validated all that leads to them (RFC 7672).

    Raise RoutingError, temporary, if a lookup fails: it may be an attacker who hides the records,
    and the message would be sent with less protection.
    """
    if not exchangers.is_authenticated:
        return NO_TLSA
    for base in await _tlsa_bases(resolver, exchanger):
        record_set = await _validated(resolver, f"_{port}._tcp.{base}", "TLSA")
        if record_set.records:
            return TlsaSet(
                tuple(
                    Tlsa(int(one.usage), int(one.selector), int(one.mtype), bytes(one.cert))
                    for one in record_set.records
                ),
                tuple(dict.fromkeys((base, exchanger.host, exchangers.domain))),
            )
    return NO_TLSA


async def _tlsa_bases(resolver: DnsResolver, exchanger: Exchanger) -> tuple[str, ...]:
    """Return the names below which TLSA records may be, the first choice first (RFC 7672 2.2.2).

    An alias into a zone that is not signed still has the records of its own name.
    """
    if exchanger.is_authenticated:
        return tuple(dict.fromkeys((exchanger.canonical or exchanger.host, exchanger.host)))
    if exchanger.canonical in {"", exchanger.host}:
        return ()
    alias = await _validated(resolver, exchanger.host, "CNAME")
    return (exchanger.host,) if alias.records else ()


async def _validated(resolver: DnsResolver, name: str, kind: str) -> RecordSet:
    """Return records that DNSSEC validated; others count as missing. Raise RoutingError."""
    try:
        record_set = await resolver.lookup(name, kind)
    except DnsFailedError as error:
        raise RoutingError(error.reason, is_permanent=False) from error
    return record_set if record_set.is_authenticated else RecordSet()


def named_hosts(domain: str, record_set: RecordSet) -> list[Exchanger]:
    """Return the hosts that MX records name, the best first. Raise RoutingError.

    Without MX records it is the domain. A target that is not a host name is ignored.
    """
    if not record_set.records:
        return [Exchanger(domain)]
    targets = [(int(one.preference), str(one.exchange).lower()) for one in record_set.records]
    if all(target == "." for _, target in targets):
        reason = Reason(ReasonCode.MX_NULL, domain=domain)
        raise RoutingError(reason, is_permanent=True)
    best: dict[str, int] = {}
    for preference, target in sorted(targets):
        host = target.removesuffix(".")
        if is_host(host):
            best.setdefault(host, preference)
    if not best:
        raise RoutingError(Reason(ReasonCode.MX_UNUSABLE, domain=domain), is_permanent=True)
    return [Exchanger(host, preference) for host, preference in best.items()]


def usable_hosts(
    domain: str,
    found: Mapping[Exchanger, RoutingError | None],
    own_host: OwnHost,
    is_allowed: Callable[[str], bool],
) -> list[Exchanger]:
    """Return the hosts that have an allowed address. Raise RoutingError if there is none.

    `found` has the hosts by preference, each with why its addresses are unknown.
    """
    better = {one: found[one] for one in _better_than(own_host, list(found), domain)}
    usable = []
    for one in better:
        allowed = [address for address in one.addresses if is_allowed(address)]
        if allowed:
            usable.append(replace(one, addresses=tuple(interleaved(allowed)[:ADDRESSES_MAX])))
    if usable:
        return usable
    for error in better.values():
        if error is not None:
            raise error
    if any(one.addresses for one in better):
        raise RoutingError(Reason(ReasonCode.MX_FORBIDDEN, domain=domain), is_permanent=True)
    raise RoutingError(Reason(ReasonCode.MX_UNUSABLE, domain=domain), is_permanent=True)


def ordered(hosts: Iterable[Exchanger], shuffle: Shuffle) -> tuple[Exchanger, ...]:
    """Return hosts by preference, those of an equal one in random order (RFC 5321 5.1)."""
    result: list[Exchanger] = []
    for _, group in groupby(sorted(hosts, key=_preference), key=_preference):
        equal = list(group)
        shuffle(equal)
        result += equal
    return tuple(result)


def interleaved(addresses: Sequence[str]) -> list[str]:
    """Return addresses of IPv6 and IPv4 in turn, IPv6 first (RFC 8305 4)."""
    unique = list(dict.fromkeys(addresses))
    six = [address for address in unique if ":" in address]
    four = [address for address in unique if ":" not in address]
    return [one for one in chain.from_iterable(zip_longest(six, four)) if one is not None]


def is_host(name: str) -> bool:
    """Return whether a name in lower case is a host name in A-labels, and not an IP address."""
    if len(name) > _NAME_MAX or not _HOST.fullmatch(name):
        return False
    return not name.rpartition(".")[2].isdigit()


def _better_than(own_host: OwnHost, hosts: list[Exchanger], domain: str) -> list[Exchanger]:
    """Return the hosts that are preferred to this installation (RFC 5321 5.1).

    Those of an equal preference do not count either: they would return the message.
    """
    limit = min((one.preference for one in hosts if own_host.is_named_by(one)), default=None)
    better = [one for one in hosts if limit is None or one.preference < limit]
    if not better:
        raise RoutingError(Reason(ReasonCode.MX_LOOP, domain=domain), is_permanent=True)
    return better


def _preference(exchanger: Exchanger) -> int:
    return exchanger.preference


def _wire_domain(domain: str) -> str:
    try:
        name = wire_host(domain).lower()
    except UnicodeError:
        name = ""
    if not is_host(name):
        reason = Reason(ReasonCode.DOMAIN_INVALID, domain=domain)
        raise RoutingError(reason, is_permanent=True)
    return name


def _literal(domain: str, is_allowed: Callable[[str], bool]) -> Exchanger:
    """Return the server of an address literal (RFC 5321 4.1.3)."""
    text = domain.removeprefix("[").removesuffix("]")
    try:
        if text.lower().startswith(_IPV6_TAG):
            address = str(ipaddress.IPv6Address(text[len(_IPV6_TAG) :]))
        else:
            address = str(ipaddress.IPv4Address(text))
    except ValueError:
        reason = Reason(ReasonCode.DOMAIN_INVALID, domain=domain)
        raise RoutingError(reason, is_permanent=True) from None
    if "%" in address or not is_allowed(address):
        raise RoutingError(Reason(ReasonCode.MX_FORBIDDEN, domain=domain), is_permanent=True)
    return Exchanger(address, addresses=(address,))


async def _with_addresses(
    resolver: DnsResolver, hosts: Sequence[Exchanger], ends_at: float
) -> dict[Exchanger, RoutingError | None]:
    """Return each host with its addresses, and with the fault that left some of them unknown."""
    slots = asyncio.Semaphore(_AT_ONCE)
    lookups = [
        _records(resolver, one.host, kind, ends_at, slots) for one in hosts for kind in _KINDS
    ]
    results = await asyncio.gather(*lookups)
    found: dict[Exchanger, RoutingError | None] = {}
    for position, one in enumerate(hosts):
        error: RoutingError | None = None
        record_sets = []
        for result in results[2 * position : 2 * position + 2]:
            if isinstance(result, DnsFailedError):
                error = RoutingError(result.reason, is_permanent=False)
            else:
                record_sets.append(result)
        complete = replace(
            one,
            addresses=tuple(str(record.address) for each in record_sets for record in each.records),
            canonical=next((each.name for each in record_sets if each.records), ""),
            # A lookup that failed must not lower the protection of an address that is validated.
            is_authenticated=bool(record_sets)
            and all(each.is_authenticated for each in record_sets),
        )
        found[complete] = error
    return found


async def _records(
    resolver: DnsResolver,
    name: str,
    kind: str,
    ends_at: float,
    slots: asyncio.Semaphore | None = None,
) -> RecordSet | DnsFailedError:
    try:
        async with asyncio.timeout_at(ends_at), slots or nullcontext():
            return await resolver.lookup(name, kind)
    except DnsFailedError as error:
        return error
    except TimeoutError:
        return DnsFailedError(Reason(ReasonCode.DNS_TIMEOUT, host=name))

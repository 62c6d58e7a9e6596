"""MX sites: domains whose servers are the same share one queue, one circuit and one limit.

A provider with a thousand customers' domains sees one sender, and judges it as one. The key of a
site is stable: it depends neither on the order of DNS records nor on preferences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from outbox.net.providers import Provider, by_any_exchanger, by_mx_site
from outbox.net.shaping import DEFAULT, ReplyRule, Shaping, TlsFloor

if TYPE_CHECKING:  # imports dnspython and the SMTP client
    from outbox.net.mx import Exchangers

KEY_MAX = 200  # characters; the key is stored
_NO_OVERRIDES: Mapping[str, Shaping] = {}


class Source(StrEnum):
    """Where a limit comes from."""

    DEFAULT = "default"
    PROVIDER = "provider"
    SETTING = "setting"
    ACCOUNT = "account"
    REPLY = "reply"  # of the site's own server


@dataclass(frozen=True, slots=True)
class MxSite:
    """A set of servers that are one receiver."""

    key: str  # that of a known provider, or the hosts
    hosts: tuple[str, ...]  # that overrides are compared with; of a provider, the key
    provider: Provider | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A value and where it comes from: the name of the provider, or of the override."""

    value: Any
    source: Source
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteShaping:
    """The limits in force for one site."""

    connections: Limit
    messages_per_connection: Limit
    messages_per_minute: Limit
    tls_floor: Limit
    rules: tuple[ReplyRule, ...]

    @property
    def needs_tls(self) -> bool:
        """Whether messages are never sent in plain text."""
        return self.tls_floor.value is not TlsFloor.NONE

    def rule_for(self, reply: str) -> ReplyRule | None:
        """Return the first rule that is about a reply."""
        return next((rule for rule in self.rules if rule.matches(reply)), None)


def site_of(exchangers: Exchangers) -> MxSite:
    """Return the site of a domain's servers.

    It depends on the servers that DNS names and not on those that can be used at present: a lookup
    that fails does not change it. It is a provider's only if all servers are: a domain with one
    server of its own besides does not share the provider's circuit.
    """
    hosts = sorted(set(exchangers.named) or {one.host for one in exchangers.hosts})
    first = by_any_exchanger(hosts[0])
    if first is not None and all(by_any_exchanger(host) is first for host in hosts):
        return MxSite(first.mx_site, (first.mx_site,), first)
    return MxSite(_key_of(hosts), tuple(hosts))


def shaping_of(site: MxSite, overrides: Mapping[str, Shaping] = _NO_OVERRIDES) -> SiteShaping:
    """Return the limits for a site: of an override, else of the provider, else the default.

    Overrides are by the key of a site or by a suffix that all its hosts have; the longest counts.
    """
    sources: list[tuple[Shaping, Source, str]] = []
    if (name := _override_for(site, overrides)) is not None:
        sources.append((overrides[name], Source.SETTING, name))
    if site.provider is not None and site.provider.shaping is not None:
        sources.append((site.provider.shaping, Source.PROVIDER, site.provider.name))
    sources.append((DEFAULT, Source.DEFAULT, ""))
    return SiteShaping(
        connections=_limit("connections", sources),
        messages_per_connection=_limit("messages_per_connection", sources),
        messages_per_minute=_limit("messages_per_minute", sources),
        tls_floor=_limit("tls_floor", sources),
        rules=tuple(rule for shaping, _, _ in sources for rule in shaping.rules),
    )


def _limit(name: str, sources: Iterable[tuple[Shaping, Source, str]]) -> Limit:
    for shaping, source, origin in sources:
        value = getattr(shaping, name)
        if value is not None:
            return Limit(value, source, origin)
    raise AssertionError(f"the default has no {name}")


def _override_for(site: MxSite, overrides: Mapping[str, Shaping]) -> str | None:
    matching = [
        name
        for name in overrides
        if name == site.key or all(_is_within(host, name) for host in site.hosts)
    ]
    return max(matching, key=len, default=None)


def _is_within(host: str, suffix: str) -> bool:
    return host == suffix or host.endswith(f".{suffix}")


def _key_of(hosts: list[str]) -> str:
    """Return the hosts, or as many as fit and the hash of all.

    A domain may name a host that is called as a provider's site and is another server.
    """
    key = ",".join(hosts)
    if len(key) <= KEY_MAX and by_mx_site(key) is None:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{hosts[0][: KEY_MAX - len(digest) - 1]}#{digest}"

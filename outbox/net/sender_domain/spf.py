"""SPF (RFC 7208): whether the record is valid, within its limits, and allows an address.

Receivers stop at the first mechanism that matches. The lookups are counted to the end of the
record, as a receiver does for an address that nothing matches.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain.finding import Finding, Level, Record, unknown_if_failed
from outbox.texts import Value, gettext_noop

_CHECK = "SPF"
_LOOKUPS_MAX = 10  # RFC 7208 4.6.4, like the next two
_VOID_MAX = 2
_EXCHANGERS_MAX = 10
_FOLLOWED_MAX = 50  # lookups after which the walk ends
_TERM = re.compile(
    r"(?P<qualifier>[-+~?]?)(?P<name>[a-z0-9]+)(?::(?P<value>[^/]\S*?))?"
    r"(?P<net4>/\d{1,3})?(?P<net6>//\d{1,3})?",
    re.IGNORECASE,
)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=(?P<value>\S*)", re.IGNORECASE)
_RESULTS = {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_spf(domain: str, addresses: Sequence[str], dns: Dns) -> list[Finding]:
    """Return what is to be said about the SPF record of a domain, and about sending addresses."""
    return unknown_if_failed(_CHECK, lambda: _check(domain, addresses, dns))


def _check(domain: str, addresses: Sequence[str], dns: Dns) -> Iterator[Finding]:
    records = spf_records(domain, dns)
    if len(records) != 1:
        yield _not_one(domain, len(records), addresses)
        return
    try:
        walk = _Walk(dns)
        walk.result(domain)
    except _InvalidError as error:
        yield Finding(_CHECK, Level.ERROR, error.template, error.values)
        return
    yield from _about(records[0], walk)
    for address in addresses:
        yield _about_address(domain, address, dns)


def spf_records(domain: str, dns: Dns) -> list[str]:
    """Return the SPF records of a domain."""
    texts = dns.texts(domain)
    return [text for text in texts if text.lower() == "v=spf1" or text[:7].lower() == "v=spf1 "]


def _not_one(domain: str, count: int, addresses: Sequence[str]) -> Finding:
    if count:
        template = gettext_noop(
            "There are %(count)s SPF records. Receivers treat this as an error: publish one."
        )
        return Finding(_CHECK, Level.ERROR, template, {"count": count})
    named = [f"ip{ipaddress.ip_address(one).version}:{one}" for one in addresses]
    text = " ".join(["v=spf1", *(named or ["mx"]), "~all"])
    template = gettext_noop(
        "There is no SPF record. Publish one that names every server which sends for the domain, "
        "for example this one."
    )
    return Finding(_CHECK, Level.ERROR, template, publish=Record(domain, "TXT", text))


def _about(record: str, walk: _Walk) -> Iterator[Finding]:
    values: dict[str, Value] = {"count": walk.lookups, "most": _LOOKUPS_MAX}
    if walk.lookups > _LOOKUPS_MAX:
        template = gettext_noop(
            "The SPF record needs %(count)s DNS lookups, and receivers stop after %(most)s: its "
            "end is an error. Remove includes, or replace them with ip4 and ip6."
        )
        yield Finding(_CHECK, Level.ERROR, template, values)
    if walk.voids > _VOID_MAX:
        template = gettext_noop(
            "%(count)s names in the SPF record do not exist, and receivers allow %(most)s: "
            "%(names)s"
        )
        names = ", ".join(walk.void_names)
        voids: dict[str, Value] = {"count": walk.voids, "most": _VOID_MAX, "names": names}
        yield Finding(_CHECK, Level.ERROR, template, voids)
    if walk.uses_ptr:
        template = gettext_noop("The SPF record has “ptr”, which RFC 7208 5.5 says not to use.")
        yield Finding(_CHECK, Level.WARNING, template)
    match walk.ending:
        case "pass":
            template = gettext_noop("The SPF record allows every server (“+all”).")
            yield Finding(_CHECK, Level.ERROR, template)
        case "neutral" | "":
            template = gettext_noop(
                "The SPF record says nothing about other servers. End it with “~all” or “-all”."
            )
            yield Finding(_CHECK, Level.WARNING, template)
        case _ if walk.lookups <= _LOOKUPS_MAX and walk.voids <= _VOID_MAX:
            template = gettext_noop(
                "The SPF record is valid, with %(count)s of %(most)s lookups: %(record)s"
            )
            yield Finding(_CHECK, Level.OK, template, values | {"record": record})


def _about_address(domain: str, address: str, dns: Dns) -> Finding:
    try:
        result = _Walk(dns, ipaddress.ip_address(address)).result(domain)
    except _InvalidError as error:
        return Finding(_CHECK, Level.ERROR, error.template, error.values)
    values: dict[str, Value] = {"address": address, "result": result}
    if result == "pass":
        template = gettext_noop("The SPF record allows %(address)s.")
        return Finding(_CHECK, Level.OK, template, values)
    template = gettext_noop(
        "The SPF record does not allow %(address)s (%(result)s). Add this mechanism: %(term)s"
    )
    term = f"ip{ipaddress.ip_address(address).version}:{address}"
    return Finding(_CHECK, Level.ERROR, template, values | {"term": term})


class _InvalidError(Exception):
    """Receivers treat the record as a permanent error."""

    def __init__(self, template: str, **values: Value) -> None:
        super().__init__(template)
        self.template = template
        self.values = values


@dataclass
class _Walk:
    """Evaluates a record with all that it includes, and counts the lookups."""

    dns: Dns
    address: IPAddress | None = None
    lookups: int = 0
    void_names: list[str] = field(default_factory=list)
    uses_ptr: bool = False
    ending: str = ""  # the result of "all" in the record itself, or in its redirect
    _path: list[str] = field(default_factory=list)

    @property
    def voids(self) -> int:
        return len(self.void_names)

    def result(self, domain: str) -> str:
        """Return the result for the address; "none" if the domain has no record."""
        if domain.lower() in self._path:
            raise _InvalidError(
                gettext_noop("The SPF record of %(domain)s includes itself."), domain=domain
            )
        records = spf_records(domain, self.dns)
        if len(records) > 1:
            raise _InvalidError(gettext_noop("%(domain)s has several SPF records."), domain=domain)
        if not records:
            return "none"
        self._path.append(domain.lower())
        try:
            return self._evaluate(records[0], domain)
        finally:
            self._path.pop()

    def _evaluate(self, record: str, domain: str) -> str:
        matched, redirect = "", ""
        is_top = len(self._path) == 1
        for text in record.split()[1:]:
            if modifier := _MODIFIER.fullmatch(text):
                redirect = modifier["value"] if modifier["name"].lower() == "redirect" else redirect
                continue
            term = _TERM.fullmatch(text)
            if term is None or term["name"].lower() not in _MECHANISMS:
                template = gettext_noop(
                    "The SPF record of %(domain)s has an unknown mechanism: %(term)s"
                )
                raise _InvalidError(template, domain=domain, term=text[:100])
            result = _RESULTS[term["qualifier"]]
            if term["name"].lower() == "all":
                self.ending = result if is_top else self.ending
                return matched or result
            if self._matches(term, domain) and not matched:
                matched = result
        if redirect:
            return self._redirected(redirect, matched, is_top=is_top)
        return matched or "neutral"

    def _redirected(self, domain: str, matched: str, *, is_top: bool) -> str:
        self._count()
        inner = _Walk(self.dns, self.address, _path=[])
        inner.lookups, inner.void_names = self.lookups, self.void_names
        result = inner.result(domain) if domain.lower() not in self._path else "none"
        self.lookups, self.uses_ptr = inner.lookups, self.uses_ptr or inner.uses_ptr
        if result == "none":
            template = gettext_noop("%(domain)s, which an SPF record names, has no SPF record.")
            raise _InvalidError(template, domain=domain)
        if is_top:
            self.ending = inner.ending
        return matched or result

    def _matches(self, term: re.Match[str], domain: str) -> bool:
        name, value = term["name"].lower(), term["value"] or ""
        if name in {"ip4", "ip6"}:
            return self._is_in(_network(term, domain))
        self._count()
        self.uses_ptr = self.uses_ptr or name == "ptr"
        target = value or domain
        if "%" in target or name == "ptr":
            return False  # macros depend on the message
        if name == "include":
            result = self.result(target)
            if result == "none":
                template = gettext_noop("%(domain)s, which an SPF record names, has no SPF record.")
                raise _InvalidError(template, domain=target)
            return result == "pass"
        if name == "mx":
            hosts = [host for _, host in self.dns.exchangers(target)][:_EXCHANGERS_MAX]
        else:
            hosts = [target]
        found = [one for host in hosts for one in self.dns.addresses(host)]
        if not found:
            self.void_names.append(target)
        nets = (term["net4"] or "", (term["net6"] or "")[1:])
        if name == "exists":
            return bool(found)
        return any(self._is_in(one, *nets) for one in found)

    def _is_in(self, network: str, net4: str = "", net6: str = "") -> bool:
        if self.address is None:
            return False
        try:
            found = ipaddress.ip_network(network + (net6 if ":" in network else net4), strict=False)
        except ValueError:  # a prefix that is too long
            return False
        return self.address in found

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > _FOLLOWED_MAX:
            template = gettext_noop("The SPF record needs more than %(most)s DNS lookups.")
            raise _InvalidError(template, most=_FOLLOWED_MAX)


_MECHANISMS = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})


def _network(term: re.Match[str], domain: str) -> str:
    """Return the network of ip4 or ip6. Raise _InvalidError."""
    text = (term["value"] or "") + (term["net4"] or "")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or f"ip{network.version}" != term["name"].lower():
        template = gettext_noop("The SPF record of %(domain)s has an invalid address: %(term)s")
        raise _InvalidError(template, domain=domain, term=term[0][:100])
    return str(network)

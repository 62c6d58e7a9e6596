"""DMARC (RFC 9989): the policy that applies to a domain, found by the DNS tree walk.

The walk needs no list of public suffixes. The tags pct, rf and ri of RFC 7489 were removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain.finding import Finding, Level, Record, unknown_if_failed
from outbox.texts import Value, gettext_noop

_CHECK = "DMARC"
_LABELS_MAX = 8  # RFC 9989 4.10: a longer name continues with seven labels
_POLICIES = frozenset({"none", "quarantine", "reject"})
_ALLOWED = {
    "p": _POLICIES,
    "sp": _POLICIES,
    "np": _POLICIES,
    "adkim": frozenset("rs"),
    "aspf": frozenset("rs"),
    "t": frozenset("yn"),
    "psd": frozenset("ynu"),
}
_REMOVED = ("pct", "rf", "ri")


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """The record of a domain: its tags, or a note that there are several records."""

    domain: str
    tags: dict[str, str]

    @property
    def ends_walk(self) -> bool:
        return self.tags.get("psd") in {"y", "n"}


def check_dmarc(domain: str, dns: Dns) -> list[Finding]:
    """Return what is to be said about the DMARC policy that applies to a domain."""
    return unknown_if_failed(_CHECK, lambda: _check(domain, dns))


def walk(domain: str, dns: Dns) -> list[PolicyRecord]:
    """Return the records on the way from a domain to its top-level domain, the longest first."""
    found = []
    for target in targets(domain):
        records = policy_records(target, dns)
        if len(records) == 1:
            found += records
            if records[0].ends_walk:
                break
    return found


def targets(domain: str) -> Iterator[str]:
    """Yield the domains that the walk looks at (RFC 9989 4.10)."""
    labels = domain.split(".")
    yield domain
    rest = labels[1:] if len(labels) < _LABELS_MAX else labels[-(_LABELS_MAX - 1) :]
    for start in range(len(rest)):
        yield ".".join(rest[start:])


def organizational_domain(domain: str, records: list[PolicyRecord]) -> str:
    """Return the domain that relaxed alignment compares (RFC 9989 4.10.2)."""
    for record in records:
        if record.tags.get("psd") == "n":
            return record.domain
        if record.tags.get("psd") == "y" and record.domain != domain:
            below = domain.removesuffix(f".{record.domain}")
            return f"{below.rpartition('.')[2]}.{record.domain}"
    return records[-1].domain if records else domain


def policy_records(domain: str, dns: Dns) -> list[PolicyRecord]:
    """Return the DMARC records of a domain. Several ones count as none."""
    texts = dns.texts(f"_dmarc.{domain}")
    return [PolicyRecord(domain, tags) for tags in map(_tags, texts) if tags]


def _tags(text: str) -> dict[str, str]:
    """Return the tags of a record; none unless the first one is the version."""
    pairs = [[part.strip() for part in one.partition("=")] for one in text.split(";")]
    if pairs[0][0].lower() != "v" or pairs[0][2] != "DMARC1":
        return {}
    return {name.lower(): value for name, _, value in pairs if name}


def _check(domain: str, dns: Dns) -> Iterator[Finding]:
    publish = Record(f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}")
    if (count := len(policy_records(domain, dns))) > 1:
        template = gettext_noop(
            "_dmarc.%(domain)s has %(count)s DMARC records. Receivers ignore all of them: publish "
            "one."
        )
        yield Finding(_CHECK, Level.ERROR, template, {"domain": domain, "count": count}, publish)
        return
    records = walk(domain, dns)
    policy = applying_policy(domain, records)
    if policy is None:
        template = gettext_noop(
            "No DMARC policy applies to %(domain)s. Large providers reject or mistrust messages "
            "without one. Publish a record."
        )
        yield Finding(_CHECK, Level.ERROR, template, {"domain": domain}, publish)
        return
    yield from _about(domain, policy)


def applying_policy(domain: str, records: list[PolicyRecord]) -> PolicyRecord | None:
    """Return the record of the domain, of its organizational domain or of its public suffix."""
    organizational = organizational_domain(domain, records)
    by_domain = {record.domain: record for record in records}
    suffix = next((one for one in records if one.tags.get("psd") == "y"), None)
    return by_domain.get(domain) or by_domain.get(organizational) or suffix


def _about(domain: str, policy: PolicyRecord) -> Iterator[Finding]:
    tags, values = policy.tags, {"domain": policy.domain}
    for name in _REMOVED:
        if name in tags:
            template = gettext_noop(
                "The DMARC record of %(domain)s has the tag “%(tag)s”, which RFC 9989 has removed. "
                "Remove it. To try a policy out, use “t=y”."
            )
            yield Finding(_CHECK, Level.WARNING, template, {**values, "tag": name})
    wrong = [name for name, allowed in _ALLOWED.items() if tags.get(name, "") not in {"", *allowed}]
    for name in wrong:
        template = gettext_noop(
            "The DMARC record of %(domain)s has an invalid value: %(tag)s=%(value)s."
        )
        given: dict[str, Value] = {**values, "tag": name, "value": tags[name][:60]}
        yield Finding(_CHECK, Level.ERROR, template, given)
    if tags.get("p", "") in _POLICIES:
        yield _about_policy(domain, policy)
    elif "p" not in wrong:
        template = gettext_noop(
            "The DMARC record of %(domain)s has no policy (“p=”). It counts as “p=none” if it has "
            "a valid “rua”, and as no record otherwise."
        )
        yield Finding(_CHECK, Level.WARNING, template, dict(values))
    if not tags.get("rua", "").lower().startswith("mailto:"):
        template = gettext_noop(
            "The DMARC record of %(domain)s asks for no reports. Add “rua=mailto:…”: reports list "
            "the servers that send for the domain."
        )
        yield Finding(_CHECK, Level.WARNING, template, dict(values))


def _about_policy(domain: str, policy: PolicyRecord) -> Finding:
    tags = policy.tags
    applied = tags["p"] if policy.domain == domain else tags.get("sp") or tags["p"]
    values: dict[str, Value] = {"domain": policy.domain, "policy": applied}
    if tags.get("t") == "y":
        template = gettext_noop(
            "The DMARC policy of %(domain)s is “%(policy)s”, in test mode (“t=y”): receivers apply "
            "the next weaker one."
        )
        return Finding(_CHECK, Level.OK, template, values)
    if applied == "none":
        template = gettext_noop(
            "The DMARC policy of %(domain)s is “none”: it collects reports, and protects against "
            "nothing. Change it to “quarantine” when the reports show only your own servers."
        )
        return Finding(_CHECK, Level.OK, template, values)
    template = gettext_noop("The DMARC policy of %(domain)s is “%(policy)s”.")
    return Finding(_CHECK, Level.OK, template, values)

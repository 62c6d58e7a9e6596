"""Alignment (RFC 9989 4.4): whether SPF or a signature counts for the domain of the From header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain.dmarc import applying_policy, organizational_domain, walk
from outbox.net.sender_domain.finding import Finding, Level, unknown_if_failed
from outbox.texts import Value, gettext_noop

_CHECK = "ALIGN"


def check_alignment(
    domain: str, envelope_domains: Sequence[str], dns: Dns, *, is_signed: bool
) -> list[Finding]:
    """Return whether the domain of each envelope sender aligns with the sender's domain.

    With `is_signed`, messages have a signature of the domain itself, which always aligns.
    """
    return unknown_if_failed(
        _CHECK, lambda: _check(domain, envelope_domains, dns, is_signed=is_signed)
    )


def _check(
    domain: str, envelope_domains: Sequence[str], dns: Dns, *, is_signed: bool
) -> Iterator[Finding]:
    for envelope in envelope_domains:
        values: dict[str, Value] = {"domain": domain, "envelope": envelope}
        if _is_aligned(domain, envelope, dns):
            template = gettext_noop(
                "The envelope sender is at %(envelope)s, which aligns with %(domain)s: SPF counts "
                "for DMARC."
            )
            yield Finding(_CHECK, Level.OK, template, values)
        elif is_signed:
            template = gettext_noop(
                "The envelope sender is at %(envelope)s, which does not align with %(domain)s. "
                "DMARC depends on the DKIM signature alone, which aligns."
            )
            yield Finding(_CHECK, Level.OK, template, values)
        else:
            template = gettext_noop(
                "The envelope sender is at %(envelope)s, which does not align with %(domain)s, and "
                "the outbox does not sign for the domain. Messages fail DMARC unless the server "
                "signs them. Activate a DKIM key, or change the return path of the account."
            )
            yield Finding(_CHECK, Level.WARNING, template, values)


def _is_aligned(domain: str, envelope: str, dns: Dns) -> bool:
    if domain == envelope:
        return True
    records = walk(domain, dns)
    policy = applying_policy(domain, records)
    if policy is not None and policy.tags.get("aspf") == "s":
        return False
    return organizational_domain(domain, records) == organizational_domain(
        envelope, walk(envelope, dns)
    )

"""The protection that is requested of each server of a domain: one function decides.

By DANE if the resolver validates DNSSEC and the server has TLSA records (RFC 7672), else by the
MTA-STS policy of the domain (RFC 8461), else by the TLS floor of the site's shaping. Below these is
opportunistic TLS (RFC 7435): what a server offers is used, whatever its certificate.

A lookup that fails never lowers the protection. A server whose TLSA records cannot be looked up is
not used, and an MTA-STS policy that was read holds until it expires.
"""

import asyncio
from dataclasses import dataclass, replace
from enum import StrEnum

from outbox.conf import Conf
from outbox.models import TlsRequirement
from outbox.net.dns_resolver import DnsResolver
from outbox.net.mta_sts import Mode, Policy, PolicyError
from outbox.net.mta_sts_store import PolicyStore
from outbox.net.mx import NO_TLSA, Exchanger, Exchangers, RoutingError, TlsaSet, find_tlsa
from outbox.net.shaping import TlsFloor
from outbox.net.sites import SiteShaping
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp import PlainText, Security, Tlsa


class PolicyType(StrEnum):
    """What a server's protection follows from, as reports name it (RFC 8460 4.4)."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """How one server is connected to, and why."""

    exchanger: Exchanger
    security: Security
    plain_text: PlainText = PlainText.AFTER_FAILURE  # for opportunistic TLS only
    why: Reason = NO_REASON  # why this much is requested; empty for opportunistic TLS
    tls_names: tuple[str, ...] = ()  # for DANE; (): the host
    tlsa: tuple[Tlsa, ...] = ()  # for DANE
    # Why nothing is sent there, for example since an MTA-STS policy does not name the host. The
    # host is passed over; if no other one accepts the message, it is deferred with this reason.
    refused: Reason = NO_REASON
    type: PolicyType = PolicyType.NONE  # whether or not it raises the protection
    fits: bool = True  # False: the host is none of an MTA-STS policy that is tested
    # DNSSEC or an MTA-STS policy says that it is a server of the domain. Without that, a valid
    # certificate may be that of an attacker's server, which a forged MX record names.
    is_authentic: bool = False
    # It requires more than the floor of the site, because of the domain or the message. Such a
    # failure says nothing about the messages of other domains of the site.
    is_above_floor: bool = False
    # False: the message ignores what the domain says, so that its session says nothing about that.
    is_counted: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether the server may be connected to."""
        return not self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySources:
    """What a decision may ask. One for each event loop."""

    conf: Conf
    resolver: DnsResolver
    port: int = 25  # of the servers, for TLSA records
    sts: PolicyStore | None = None  # None: no MTA-STS


async def policy_for(
    domain: str,
    exchangers: Exchangers,
    *,
    shaping: SiteShaping,
    sources: PolicySources,
    tls_requirement: str = "",
) -> tuple[HostPolicy, ...]:
    """Return the policy for each server of a domain, in the order in which they are tried.

    `tls_requirement` is the message's (RFC 8689). Never raises for what DNS or a web server does:
    what is unknown makes a host refused, or does not raise the protection. Raises what the archive
    of MTA-STS policies raises.
    """
    floor = TlsFloor(shaping.tls_floor.value)
    if tls_requirement == TlsRequirement.OPTIONAL:
        by_floor = (_by_floor(one, floor, shaping, _OPTIONAL) for one in exchangers.hosts)
        return tuple(replace(one, is_counted=False) for one in by_floor)
    is_literal = domain.startswith("[")
    looked_up = [_tlsa_of(one, exchangers, sources) for one in exchangers.hosts]
    known = None
    if sources.sts and not is_literal:
        hosts = [one.host for one in exchangers.hosts]
        known = sources.sts.policy_for(exchangers.domain, hosts)
    found = await asyncio.gather(*looked_up)
    unread = NO_REASON
    sts = None
    try:
        sts = await known if known is not None else None
    except PolicyError as error:
        unread = error.reason
    if sts is not None and sts.mode is Mode.NONE:
        sts = None
    policies = [
        _decide(exchangers, _by_floor(one, floor, shaping), tlsa, sts)
        for one, tlsa in zip(exchangers.hosts, found, strict=True)
    ]
    if unread:  # DANE does not depend on it (RFC 8461 2)
        policies = [
            one if one.security is Security.DANE else replace(one, refused=one.refused or unread)
            for one in policies
        ]
    if tls_requirement == TlsRequirement.REQUIRED:
        policies = [_with_required_tls(one) for one in policies]
    return tuple(replace(one, is_above_floor=_is_above(one, floor)) for one in policies)


async def _tlsa_of(
    exchanger: Exchanger, exchangers: Exchangers, sources: PolicySources
) -> TlsaSet | RoutingError:
    if not sources.resolver.trusts_dnssec:
        return NO_TLSA
    try:
        return await find_tlsa(sources.resolver, exchangers, exchanger, sources.port)
    except RoutingError as error:
        return error


def _decide(
    exchangers: Exchangers, base: HostPolicy, tlsa: TlsaSet | RoutingError, sts: Policy | None
) -> HostPolicy:
    """Return the policy for one server, given what is known. The order is that of the module."""
    base = replace(base, is_authentic=exchangers.is_authenticated)
    host = base.exchanger.host
    if isinstance(tlsa, RoutingError):
        reason = Reason(ReasonCode.TLSA_UNKNOWN, host=host, cause=tlsa.reason)
        return replace(base, type=PolicyType.TLSA, refused=reason)
    if tlsa.has_usable:  # MTA-STS never overrides DANE (RFC 8461 2)
        return replace(
            base,
            security=Security.DANE,
            plain_text=PlainText.NEVER,
            why=Reason(ReasonCode.TLS_BY_DANE, host=tlsa.names[0]),
            # Names count with an authority only, and domains with the same names share sessions.
            tls_names=tlsa.names if tlsa.has_authority else tlsa.names[:1],
            tlsa=tlsa.records,
            type=PolicyType.TLSA,
        )
    if sts is not None:
        base = _by_sts(base, sts, exchangers.domain)
    if tlsa.records and base.type is PolicyType.NONE:
        base = replace(base, type=PolicyType.TLSA)
    if tlsa.records and base.security is Security.OPPORTUNISTIC:
        # TLS is required, with any certificate (RFC 7672 2.2).
        why = Reason(ReasonCode.DANE_UNUSABLE, host=host)
        base = replace(base, plain_text=PlainText.NEVER, why=why)
    return base


def _by_sts(base: HostPolicy, sts: Policy, domain: str) -> HostPolicy:
    fits = sts.allows(base.exchanger.host)
    base = replace(base, type=PolicyType.STS, fits=fits)
    if sts.mode is Mode.TESTING:
        why = base.why or Reason(ReasonCode.TLS_STS_TESTING, domain=domain)
        return replace(base, why=why)
    if not fits:
        refused = Reason(ReasonCode.MTA_STS_OTHER_HOST, domain=domain, host=base.exchanger.host)
        return replace(base, refused=refused)
    return replace(
        base,
        security=Security.VERIFY,
        plain_text=PlainText.NEVER,
        why=Reason(ReasonCode.TLS_BY_STS, domain=domain),
        is_authentic=True,
    )


def _by_floor(
    exchanger: Exchanger, floor: TlsFloor, shaping: SiteShaping, otherwise: Reason = NO_REASON
) -> HostPolicy:
    """Return the policy by the floor of the site; `otherwise` is the reason if it requires none."""
    security, plain_text = _BY_FLOOR[floor]
    why = otherwise
    if floor is not TlsFloor.NONE:
        source = shaping.tls_floor.name or str(shaping.tls_floor.source)
        why = Reason(ReasonCode.TLS_BY_FLOOR, source=source)
    return HostPolicy(exchanger=exchanger, security=security, plain_text=plain_text, why=why)


def _is_above(policy: HostPolicy, floor: TlsFloor) -> bool:
    return bool(policy.refused) or (policy.security, policy.plain_text) != _BY_FLOOR[floor]


def _with_required_tls(policy: HostPolicy) -> HostPolicy:
    """Return the policy for a message with REQUIRETLS (RFC 8689 4.2.1).

    The certificate has to be valid, and the server has to be the domain's own beyond doubt.
    """
    if policy.refused:
        return policy
    if not policy.is_authentic:
        reason = Reason(ReasonCode.REQUIRETLS_UNPROVEN, host=policy.exchanger.host)
        return replace(policy, refused=reason)
    if policy.security is Security.DANE:
        return policy
    why = Reason(ReasonCode.TLS_BY_MESSAGE)
    return replace(policy, security=Security.VERIFY, plain_text=PlainText.NEVER, why=why)


_OPTIONAL = Reason(ReasonCode.TLS_OPTIONAL)
_BY_FLOOR = {
    TlsFloor.NONE: (Security.OPPORTUNISTIC, PlainText.AFTER_FAILURE),
    TlsFloor.ENCRYPTED: (Security.OPPORTUNISTIC, PlainText.NEVER),
    TlsFloor.VERIFIED: (Security.VERIFY, PlainText.NEVER),
}

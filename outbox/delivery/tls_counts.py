"""What a session with a server found by MX means for TLS reports (RFC 8460 4.3)."""

import datetime as dt

from outbox import smtp
from outbox.delivery.tls_policy import HostPolicy, PolicyType
from outbox.models.transport_policy import DOMAIN_MAX, TlsCountKey, day_of
from outbox.reasons import ReasonCode
from outbox.smtp import FaultKind, Phase, Security, TlsLevel

SUCCESS = ""
NO_STARTTLS = "starttls-not-supported"
HOST_MISMATCH = "certificate-host-mismatch"
EXPIRED = "certificate-expired"
UNTRUSTED = "certificate-not-trusted"
INVALID = "validation-failure"
DNSSEC_INVALID = "dnssec-invalid"

_BY_KIND = {
    FaultKind.NO_STARTTLS: NO_STARTTLS,
    FaultKind.CERT_NAME: HOST_MISMATCH,
    FaultKind.CERT_EXPIRED: EXPIRED,
    FaultKind.CERT_UNTRUSTED: UNTRUSTED,
    FaultKind.TLS: INVALID,
}
_OF_TLS = frozenset({Phase.STARTTLS, Phase.TLS})


def result_of(
    policy: HostPolicy, facts: smtp.SessionFacts, fault: smtp.SmtpFault | None = None
) -> str | None:
    """Return the result type of a session, SUCCESS among them; None if it is not counted.

    It is not if TLS was not reached, or if the message ignores the policies of its domain.

    A policy that is tested counts what would have failed (RFC 8461 5). So does opportunistic TLS
    for a session in plain text.
    """
    if fault is not None or not policy.is_counted:
        return _of_fault(fault) if fault is not None and policy.is_counted else None
    if facts.tls_achieved is TlsLevel.NONE:
        is_missing = facts.tls_why.code == ReasonCode.STARTTLS_NOT_OFFERED
        return NO_STARTTLS if is_missing else INVALID
    if policy.type is PolicyType.STS and not policy.fits:
        return INVALID
    if policy.type is PolicyType.STS and facts.tls_achieved is not TlsLevel.VERIFIED:
        return UNTRUSTED if policy.security is Security.VERIFY else INVALID
    if policy.type is PolicyType.TLSA and facts.tls_achieved is not TlsLevel.DANE:
        return "tlsa-invalid"  # none of the records is usable
    return SUCCESS


def _of_fault(fault: smtp.SmtpFault) -> str | None:
    if fault.phase not in _OF_TLS:
        return None
    if fault.reason.code == ReasonCode.DANE_MISMATCH:
        return INVALID
    return _BY_KIND.get(fault.kind)


def refused_result(policy: HostPolicy) -> str | None:
    """Return the result type of a server that a policy excludes; None if it excludes none."""
    if policy.refused.code == ReasonCode.MTA_STS_OTHER_HOST:
        return INVALID
    if policy.refused.code == ReasonCode.TLSA_UNKNOWN:
        return DNSSEC_INVALID
    return None


def count_key(
    domain: str, policy: HostPolicy, result: str, *, worker_id: int, now: dt.datetime
) -> TlsCountKey:
    """Return what a session is counted as."""
    return TlsCountKey(
        day=day_of(now),
        worker_key=worker_id,
        domain=domain[:DOMAIN_MAX],
        policy_type=str(policy.type),
        result=result,
        host=policy.exchanger.host[:DOMAIN_MAX],
    )

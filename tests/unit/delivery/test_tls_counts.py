"""What sessions count as in reports on TLS (RFC 8460 4.3)."""

import datetime as dt
from dataclasses import replace

import pytest

from outbox.delivery.tls_counts import count_key, refused_result, result_of
from outbox.delivery.tls_policy import HostPolicy, PolicyType
from outbox.models.transport_policy import TlsCountKey
from outbox.net.mx import Exchanger
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp import FaultKind, Phase, Security, SessionFacts, SmtpFault, TlsLevel

HOST = Exchanger("mx.x.test", 10)
MISSING = Reason(ReasonCode.STARTTLS_NOT_OFFERED)
INVALID = Reason(ReasonCode.CERTIFICATE_REJECTED, cause="x")
MISMATCH = Reason(ReasonCode.DANE_MISMATCH, host="mx.x.test")


def policy(
    kind: PolicyType = PolicyType.NONE, *, fits: bool = True, refused: Reason = NO_REASON
) -> HostPolicy:
    return HostPolicy(
        exchanger=HOST, security=Security.OPPORTUNISTIC, type=kind, fits=fits, refused=refused
    )


def facts(achieved: TlsLevel, why: Reason = NO_REASON) -> SessionFacts:
    return SessionFacts("mx.x.test", 25, tls_achieved=achieved, tls_why=why)


@pytest.mark.parametrize(
    ("kind", "achieved", "why", "result"),
    [
        (PolicyType.NONE, TlsLevel.VERIFIED, NO_REASON, ""),
        (PolicyType.NONE, TlsLevel.ENCRYPTED, INVALID, ""),
        (PolicyType.NONE, TlsLevel.NONE, MISSING, "starttls-not-supported"),
        (PolicyType.NONE, TlsLevel.NONE, INVALID, "validation-failure"),
        (PolicyType.STS, TlsLevel.VERIFIED, NO_REASON, ""),
        (PolicyType.STS, TlsLevel.ENCRYPTED, INVALID, "validation-failure"),
        (PolicyType.STS, TlsLevel.NONE, MISSING, "starttls-not-supported"),
        (PolicyType.TLSA, TlsLevel.DANE, NO_REASON, ""),
        (PolicyType.TLSA, TlsLevel.ENCRYPTED, NO_REASON, "tlsa-invalid"),
    ],
)
def test_a_session_is_a_success_or_has_a_result_type(
    kind: PolicyType, achieved: TlsLevel, why: Reason, result: str
) -> None:
    assert result_of(policy(kind), facts(achieved, why)) == result


def test_a_message_that_ignores_the_policies_is_not_counted() -> None:
    ignoring = replace(policy(), is_counted=False)
    assert result_of(ignoring, facts(TlsLevel.VERIFIED)) is None
    fault = SmtpFault(Phase.TLS, FaultKind.CERT_EXPIRED, INVALID)
    assert result_of(ignoring, facts(TlsLevel.NONE), fault) is None


def test_a_host_that_a_tested_policy_does_not_name_is_a_failure() -> None:
    assert result_of(policy(PolicyType.STS, fits=False), facts(TlsLevel.VERIFIED)) == (
        "validation-failure"
    )


@pytest.mark.parametrize(
    ("phase", "kind", "reason", "result"),
    [
        (Phase.STARTTLS, FaultKind.NO_STARTTLS, MISSING, "starttls-not-supported"),
        (Phase.TLS, FaultKind.CERT_NAME, INVALID, "certificate-host-mismatch"),
        (Phase.TLS, FaultKind.CERT_EXPIRED, INVALID, "certificate-expired"),
        (Phase.TLS, FaultKind.CERT_UNTRUSTED, INVALID, "certificate-not-trusted"),
        (Phase.TLS, FaultKind.CERT_UNTRUSTED, MISMATCH, "validation-failure"),
        (Phase.TLS, FaultKind.TLS, INVALID, "validation-failure"),
        (Phase.TLS, FaultKind.EXHAUSTED, INVALID, None),
        (Phase.CONNECT, FaultKind.REFUSED, INVALID, None),
        (Phase.GREETING, FaultKind.REJECTED, INVALID, None),
    ],
)
def test_a_failed_session_counts_if_tls_failed(
    phase: Phase, kind: FaultKind, reason: Reason, result: str | None
) -> None:
    fault = SmtpFault(phase, kind, reason)
    assert result_of(policy(PolicyType.STS), facts(TlsLevel.NONE), fault) == result


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        (NO_REASON, None),
        (Reason(ReasonCode.REQUIRETLS_UNPROVEN, host="mx.x.test"), None),
        (
            Reason(ReasonCode.MTA_STS_OTHER_HOST, domain="x.test", host="mx.x.test"),
            "validation-failure",
        ),
        (Reason(ReasonCode.TLSA_UNKNOWN, host="mx.x.test", cause="x"), "dnssec-invalid"),
    ],
)
def test_a_host_that_a_policy_excludes_counts(reason: Reason, result: str | None) -> None:
    assert refused_result(policy(refused=reason)) == result


def test_a_day_begins_at_midnight_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=-5))
    now = dt.datetime(2026, 11, 29, 20, 0, tzinfo=zone)
    assert count_key("x.test", policy(PolicyType.STS), "", worker_id=7, now=now) == TlsCountKey(
        dt.datetime(2026, 11, 30, tzinfo=dt.UTC), 7, "x.test", "sts", "", "mx.x.test"
    )

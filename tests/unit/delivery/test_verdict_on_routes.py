"""What a fault means for the route, and for the mail that waits for it."""

import datetime as dt

import pytest

from outbox.delivery.verdict import RouteEffect, judge_route, judge_transaction, judge_unopened
from outbox.models import State
from outbox.smtp import Disposition, FaultKind, Phase
from tests.unit.delivery.judging import CASE, NOW, after, fault, outcome, transaction

_EFFECTS = [
    # A fault that may pass: enough of them in a row open the circuit (protocol item 107).
    (Phase.RESOLVE, FaultKind.RESOLVE, "", RouteEffect.FAULT),
    (Phase.CONNECT, FaultKind.REFUSED, "", RouteEffect.FAULT),
    (Phase.CONNECT, FaultKind.UNREACHABLE, "", RouteEffect.FAULT),
    (Phase.CONNECT, FaultKind.TIMEOUT, "", RouteEffect.FAULT),
    (Phase.GREETING, FaultKind.TIMEOUT, "", RouteEffect.FAULT),
    (Phase.GREETING, FaultKind.CLOSED, "", RouteEffect.FAULT),
    (Phase.GREETING, FaultKind.RESET, "", RouteEffect.FAULT),
    (Phase.GREETING, FaultKind.PROTOCOL, "", RouteEffect.FAULT),
    (Phase.GREETING, FaultKind.SHUTDOWN, "421 4.3.2 later", RouteEffect.FAULT),
    (Phase.GREETING, FaultKind.REJECTED, "451 4.3.0 later", RouteEffect.FAULT),
    (Phase.TLS, FaultKind.TLS, "", RouteEffect.FAULT),
    (Phase.AUTH, FaultKind.AUTH_TEMPORARY, "454 4.7.0 later", RouteEffect.FAULT),
    # The server wants nothing of us: no second try has to prove it (item 22).
    (Phase.GREETING, FaultKind.REJECTED, "554 5.3.2 no service", RouteEffect.OPEN),
    (Phase.EHLO, FaultKind.REJECTED, "550 5.7.1 not you", RouteEffect.OPEN),
    # Nothing but a person mends these (items 31, 34, 43).
    (Phase.AUTH, FaultKind.AUTH_REJECTED, "535 5.7.8 wrong", RouteEffect.OPEN_FOR_PERSON),
    (Phase.AUTH, FaultKind.AUTH_REJECTED, "432 4.7.12 renew it", RouteEffect.OPEN_FOR_PERSON),
    (Phase.AUTH, FaultKind.AUTH_UNAVAILABLE, "", RouteEffect.OPEN_FOR_PERSON),
    (Phase.STARTTLS, FaultKind.NO_STARTTLS, "", RouteEffect.OPEN_FOR_PERSON),
    (Phase.STARTTLS, FaultKind.INJECTION, "", RouteEffect.OPEN_FOR_PERSON),
    (Phase.TLS, FaultKind.CERT_EXPIRED, "", RouteEffect.OPEN_FOR_PERSON),
    (Phase.TLS, FaultKind.CERT_NAME, "", RouteEffect.OPEN_FOR_PERSON),
    (Phase.TLS, FaultKind.CERT_UNTRUSTED, "", RouteEffect.OPEN_FOR_PERSON),
    (Phase.CONNECT, FaultKind.FORBIDDEN, "", RouteEffect.OPEN_FOR_PERSON),
]


@pytest.mark.parametrize(("phase", "kind", "text", "effect"), _EFFECTS)
def test_a_connection_that_does_not_open_is_the_routes_fault(
    phase: Phase, kind: FaultKind, text: str, effect: RouteEffect
) -> None:
    assert judge_route(fault(phase, kind, text)) == effect


@pytest.mark.parametrize(("phase", "kind", "text", "effect"), _EFFECTS)
def test_its_mail_waits_for_the_route_and_no_attempt_is_counted(
    phase: Phase, kind: FaultKind, text: str, effect: RouteEffect
) -> None:
    """Protocol items 22, 43 and 107."""
    broke = fault(phase, kind, text)
    verdict = judge_unopened(broke, after(10), CASE)
    assert (verdict.state, verdict.counts) == (State.DEFERRED, False)
    assert verdict.next_attempt_at == after(10)
    assert verdict.reason == "it broke off"
    assert (verdict.reply, verdict.command) == (broke.reply, phase.upper() if text else "")


def test_it_is_due_for_the_sweep_when_it_expires_before_the_route_is_tried_again() -> None:
    soon = CASE.__class__(attempts=0, expires_at=after(5))
    verdict = judge_unopened(fault(Phase.CONNECT, FaultKind.REFUSED), after(900), soon)
    assert verdict.next_attempt_at == after(5)


def test_it_waits_for_the_route_for_ever_where_nothing_expires() -> None:
    kept = CASE.__class__(attempts=0, expires_at=None)
    far = NOW + dt.timedelta(days=400)
    verdict = judge_unopened(fault(Phase.CONNECT, FaultKind.REFUSED), far, kept)
    assert verdict.next_attempt_at == far


@pytest.mark.parametrize(
    ("found", "broke", "effect"),
    [
        pytest.param(
            outcome(Disposition.PERMANENT, "535 5.7.8 log in", at="MAIL"),
            None,
            RouteEffect.OPEN_FOR_PERSON,
            id="a login is asked for at MAIL (item 44)",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.MAIL, FaultKind.AUTH_UNAVAILABLE, "530 5.7.0 log in"),
            RouteEffect.OPEN_FOR_PERSON,
            id="the session ends on it (item 44)",
        ),
        pytest.param(
            outcome(Disposition.PERMANENT, "535 5.7.8 log in", at="RCPT"),
            None,
            RouteEffect.NONE,
            id="the same code to RCPT speaks of that recipient",
        ),
        pytest.param(
            outcome(Disposition.PERMANENT, "550 5.7.1 not from you", at="MAIL"),
            None,
            RouteEffect.NONE,
            id="a refused sender is the mail's matter",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.DATA, FaultKind.CLOSED),
            RouteEffect.NONE,
            id="a lost session is not a dead route (item 109)",
        ),
        pytest.param(
            outcome(Disposition.TRANSIENT, "451 4.7.1 greylisted"),
            None,
            RouteEffect.NONE,
            id="a recipient's 4yz is not the route's (item 109)",
        ),
    ],
)
def test_a_transaction_blames_the_route_for_the_login_alone(
    found: object, broke: object, effect: RouteEffect
) -> None:
    assert judge_transaction(transaction(found, broke=broke)) == effect  # type: ignore[arg-type]  # the table's columns

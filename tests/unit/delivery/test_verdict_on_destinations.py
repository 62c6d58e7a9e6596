"""The effect of a fault on the destination, and on the messages that wait for it."""

import datetime as dt

import pytest

from outbox.delivery.verdict import (
    judge_opening,
    judge_transaction,
    judge_unopened,
)
from outbox.models import State
from outbox.models.destination import DestinationEffect
from outbox.smtp import Disposition, FaultKind, Phase, Restrictions
from tests.unit.delivery.judging import BROKE_OFF, CASE, NOW, after, fault, outcome, transaction

_EFFECTS = [
    # A fault that may pass: enough of them in a row open the circuit (protocol item 107).
    (Phase.RESOLVE, FaultKind.RESOLVE, "", DestinationEffect.FAULT),
    (Phase.CONNECT, FaultKind.REFUSED, "", DestinationEffect.FAULT),
    (Phase.CONNECT, FaultKind.UNREACHABLE, "", DestinationEffect.FAULT),
    (Phase.CONNECT, FaultKind.TIMEOUT, "", DestinationEffect.FAULT),
    (Phase.GREETING, FaultKind.TIMEOUT, "", DestinationEffect.FAULT),
    (Phase.GREETING, FaultKind.CLOSED, "", DestinationEffect.FAULT),
    (Phase.GREETING, FaultKind.RESET, "", DestinationEffect.FAULT),
    (Phase.GREETING, FaultKind.PROTOCOL, "", DestinationEffect.FAULT),
    (Phase.GREETING, FaultKind.SHUTDOWN, "421 4.3.2 later", DestinationEffect.FAULT),
    (Phase.GREETING, FaultKind.REJECTED, "451 4.3.0 later", DestinationEffect.FAULT),
    (Phase.TLS, FaultKind.TLS, "", DestinationEffect.FAULT),
    (Phase.AUTH, FaultKind.AUTH_TEMPORARY, "454 4.7.0 later", DestinationEffect.FAULT),
    # The server accepts nothing from this client, so one attempt is proof enough (item 22).
    (Phase.GREETING, FaultKind.REJECTED, "554 5.3.2 no service", DestinationEffect.OPEN),
    (Phase.EHLO, FaultKind.REJECTED, "550 5.7.1 not you", DestinationEffect.OPEN),
    # Only a person can fix these (items 31, 34, 43).
    (Phase.AUTH, FaultKind.AUTH_REJECTED, "535 5.7.8 wrong", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.AUTH, FaultKind.AUTH_REJECTED, "432 4.7.12 renew it", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.AUTH, FaultKind.AUTH_UNAVAILABLE, "", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.STARTTLS, FaultKind.NO_STARTTLS, "", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.STARTTLS, FaultKind.INJECTION, "", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.TLS, FaultKind.CERT_EXPIRED, "", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.TLS, FaultKind.CERT_NAME, "", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.TLS, FaultKind.CERT_UNTRUSTED, "", DestinationEffect.OPEN_FOR_PERSON),
    (Phase.CONNECT, FaultKind.FORBIDDEN, "", DestinationEffect.OPEN_FOR_PERSON),
]


@pytest.mark.parametrize(("phase", "kind", "text", "effect"), _EFFECTS)
def test_a_connection_that_does_not_open_is_a_fault_of_the_destination(
    phase: Phase, kind: FaultKind, text: str, effect: DestinationEffect
) -> None:
    assert judge_opening(fault(phase, kind, text)) == effect


@pytest.mark.parametrize(("phase", "kind", "text", "effect"), _EFFECTS)
def test_its_messages_wait_for_the_destination_and_no_attempt_is_counted(
    phase: Phase, kind: FaultKind, text: str, effect: DestinationEffect
) -> None:
    """Protocol items 22, 43 and 107."""
    broke = fault(phase, kind, text)
    verdict = judge_unopened(broke, after(10), CASE)
    assert (verdict.state, verdict.counts) == (State.DEFERRED, False)
    assert verdict.next_attempt_at == after(10)
    assert verdict.reason == BROKE_OFF
    assert (verdict.reply, verdict.command) == (broke.reply, phase.upper() if text else "")


def test_it_is_due_for_the_sweep_if_it_expires_before_the_destination_is_retried() -> None:
    soon = CASE.__class__(attempts=0, expires_at=after(5))
    verdict = judge_unopened(fault(Phase.CONNECT, FaultKind.REFUSED), after(900), soon)
    assert verdict.next_attempt_at == after(5)


def test_it_waits_for_the_destination_forever_if_nothing_expires() -> None:
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
            DestinationEffect.OPEN_FOR_PERSON,
            id="a login is required at MAIL (item 44)",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.MAIL, FaultKind.AUTH_UNAVAILABLE, "530 5.7.0 log in"),
            DestinationEffect.OPEN_FOR_PERSON,
            id="the session ends for it (item 44)",
        ),
        pytest.param(
            outcome(Disposition.PERMANENT, "535 5.7.8 log in", at="RCPT"),
            None,
            DestinationEffect.NONE,
            id="the same code to RCPT concerns that recipient",
        ),
        pytest.param(
            outcome(Disposition.PERMANENT, "550 5.7.1 not from you", at="MAIL"),
            None,
            DestinationEffect.NONE,
            id="a rejected sender concerns the message",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.DATA, FaultKind.CLOSED),
            DestinationEffect.NONE,
            id="a lost session is not a dead destination (item 109)",
        ),
        pytest.param(
            outcome(Disposition.TRANSIENT, "451 4.7.1 greylisted"),
            None,
            DestinationEffect.NONE,
            id="a recipient's 4yz does not concern the destination (item 109)",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.MAIL, FaultKind.SHUTDOWN, "421 4.3.2 later"),
            DestinationEffect.UNTESTED,
            id="a 421 to MAIL concerns the transaction",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.IDLE, FaultKind.CLOSED),
            DestinationEffect.FAULT,
            id="the connection was lost before MAIL",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.MAIL, FaultKind.ABANDONED),
            DestinationEffect.UNTESTED,
            id="the worker stops",
        ),
        pytest.param(
            outcome(Disposition.NOT_TRIED),
            fault(Phase.BODY, FaultKind.EXHAUSTED),
            DestinationEffect.UNTESTED,
            id="this host lacks a resource",
        ),
        pytest.param(
            outcome(Disposition.PERMANENT, reason=BROKE_OFF),
            None,
            DestinationEffect.UNTESTED,
            id="the client rejected the message",
        ),
    ],
)
def test_what_a_transaction_means_for_the_destination(
    found: object, broke: object, effect: DestinationEffect
) -> None:
    assert judge_transaction(transaction(found, broke=broke)) == effect  # type: ignore[arg-type]  # the table's columns


@pytest.mark.parametrize("text", ["", "421 4.3.2 later"])
def test_a_probe_that_ends_before_mail_was_accepted_has_failed(text: str) -> None:
    """Protocol item 107: nothing was proved."""
    kind = FaultKind.SHUTDOWN if text else FaultKind.RESET
    lost = transaction(outcome(Disposition.NOT_TRIED), broke=fault(Phase.MAIL, kind, text))
    found = judge_transaction(lost, is_probe=True, is_first_attempt=False)
    assert found == DestinationEffect.FAULT


def test_a_message_that_was_attempted_before_opens_no_circuit() -> None:
    """Its envelope may crash the server."""
    lost = transaction(outcome(Disposition.NOT_TRIED), broke=fault(Phase.MAIL, FaultKind.RESET))
    assert judge_transaction(lost, is_first_attempt=False) == DestinationEffect.UNTESTED


def test_a_reused_connection_that_was_lost_before_mail_shows_nothing() -> None:
    """The server may have ended it while it was idle (item 90)."""
    lost = transaction(outcome(Disposition.NOT_TRIED), broke=fault(Phase.MAIL, FaultKind.CLOSED))
    found = judge_transaction(lost, is_first_on_connection=False)
    assert found == DestinationEffect.UNTESTED


def test_a_connection_that_ends_with_a_rejected_extension_shows_nothing() -> None:
    """The next one does without the extension."""
    lost = transaction(outcome(Disposition.OVERFLOW), broke=fault(Phase.MAIL, FaultKind.SHUTDOWN))
    lost.learned = Restrictions(frozenset({"PIPELINING"}))
    assert judge_transaction(lost) == DestinationEffect.UNTESTED


def test_a_rejected_transaction_without_a_login_shows_that_the_server_works() -> None:
    reply = fault(Phase.MAIL, FaultKind.AUTH_UNAVAILABLE, "530 5.7.0 STARTTLS first")
    found = transaction(outcome(Disposition.NOT_TRIED), broke=reply)
    assert judge_transaction(found, has_login=False) == DestinationEffect.NONE

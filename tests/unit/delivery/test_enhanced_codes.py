"""The enhanced code decides before the basic code: phase × basic code × enhanced code.

The rows are examples; the tests at the end run every code of the registry (RFC 5248, IANA).
"""

from itertools import product

import pytest

from outbox.delivery.verdict import (
    Verdict,
    judge_opening,
    judge_recipients,
    judge_transaction,
)
from outbox.models import State
from outbox.models.destination import DestinationEffect
from outbox.smtp import SmtpFault, Transaction
from tests.unit.delivery.judging import CASE, POLICY
from tests.unit.smtp.model_server import BOB, CAROL, MODES, Client, ModelServer
from tests.unit.smtp.test_handshake import LOGIN, PLAIN, PLAIN_LINE, STARTTLS, fail

SENT, FAILED, DEFERRED, QUEUED = State.SENT, State.FAILED, State.DEFERRED, State.QUEUED
NONE, FAULT, OPEN = DestinationEffect.NONE, DestinationEffect.FAULT, DestinationEffect.OPEN
PERSON = DestinationEffect.OPEN_FOR_PERSON

REGISTRY = {
    "0": [0],
    "1": range(11),
    "2": range(5),
    "3": range(7),
    "4": range(8),
    "5": range(7),
    "6": range(11),
    "7": range(31),
}
DETAILS = [f"{subject}.{n}" for subject, numbers in REGISTRY.items() for n in numbers]
TRANSIENT = [421, 432, 450, 451, 452, 453, 454, 455, 458, 459]
PERMANENT = [500, 501, 502, 503, 504, 521, 523, 524, 525, 530, 534, 535, 538, 541]
PERMANENT += [550, 551, 552, 553, 554, 555, 556]
EACH_MODE = pytest.mark.parametrize("mode", MODES)


def run(command: str, reply: str, mode: str = "step by step") -> tuple[Transaction, list[Verdict]]:
    """Send to two recipients, and RCPT rejects the second; return the verdicts."""
    replies = {command: ["250 ok", reply] if command == "RCPT" else reply}
    if command in {"MAIL", "DATA"}:
        replies |= {"DOT": "554 no data"}
    transaction = Client(ModelServer(replies), MODES[mode], proven=False).send(BOB, CAROL)
    return transaction, judge_recipients(transaction, [CASE, CASE], POLICY)


def last(command: str, reply: str, mode: str = "step by step") -> tuple[State, bool]:
    """Return the state of the second recipient, and whether the account needs a person."""
    transaction, verdicts = run(command, reply, mode)
    return verdicts[1].state, judge_transaction(transaction) == PERSON


@EACH_MODE
@pytest.mark.parametrize(
    ("command", "reply", "state", "needs_person"),
    [
        # Login (RFC 4954 6, RFC 5248): by the enhanced code, whatever the basic code is.
        ("MAIL", "530 5.7.0 Authentication required", DEFERRED, True),
        ("MAIL", "530 5.7.1 Client was not authenticated", DEFERRED, True),
        ("MAIL", "530 Authentication required", DEFERRED, True),
        ("MAIL", "550 5.7.8 Authentication credentials invalid", DEFERRED, True),
        ("MAIL", "554 5.7.10 Encryption needed", DEFERRED, True),
        ("MAIL", "523 5.7.10 Encryption needed", DEFERRED, True),
        ("MAIL", "525 5.7.13 User account disabled", DEFERRED, True),
        ("MAIL", "432 4.7.12 A password transition is needed", DEFERRED, True),
        ("MAIL", "503 5.5.1 AUTH first", DEFERRED, True),
        ("MAIL", "503 5.7.0 Authentication required", DEFERRED, True),
        ("RCPT", "530 5.7.0 Must issue STARTTLS first", DEFERRED, True),
        ("RCPT", "503 This server requires authentication", DEFERRED, True),
        # Not about the login, although the basic code is.
        ("MAIL", "432 4.3.2 Concurrent connections limit exceeded", DEFERRED, False),
        ("MAIL", "535 5.1.7 Bad sender", FAILED, False),
        ("MAIL", "530 5.1.8 No such sender", FAILED, False),
        ("RCPT", "530 5.1.1 No such user", FAILED, False),
        ("RCPT", "538 5.2.1 Mailbox disabled", FAILED, False),
        # The system rather than the message.
        ("MAIL", "550 5.3.2 System not accepting network messages", DEFERRED, False),
        ("MAIL", "554 5.4.5 Mail system congestion", DEFERRED, False),
        ("MAIL", "452 4.3.1 Disk full", DEFERRED, False),
        # Too many recipients, whatever the basic code is.
        ("RCPT", "452 4.5.3 Too many recipients", QUEUED, False),
        ("RCPT", "550 5.5.3 Too many recipients", QUEUED, False),
        ("RCPT", "503 5.5.3 Too many recipients", QUEUED, False),
        ("RCPT", "530 5.5.3 Too many recipients", QUEUED, False),
        ("RCPT", "421 4.5.3 Too many recipients", QUEUED, False),
        ("RCPT", "550 4.5.3 Too many recipients", QUEUED, False),
        # The recipient, the message, its policy: the basic code decides.
        ("RCPT", "550 5.1.1 No such user", FAILED, False),
        ("RCPT", "450 5.1.1 No such user", DEFERRED, False),
        ("RCPT", "550 4.2.1 Of another class", FAILED, False),
        ("RCPT", "552 5.2.2 Mailbox full", FAILED, False),
        ("RCPT", "452 4.2.2 Mailbox full", DEFERRED, False),
        ("RCPT", "556 5.1.10 Null MX", FAILED, False),
        ("RCPT", "450 4.7.1 Greylisted", DEFERRED, False),
        ("RCPT", "550 5.7.1 Policy", FAILED, False),
        ("MAIL", "550 5.7.1 Not from you", FAILED, False),
        ("MAIL", "552 5.3.4 Too big", FAILED, False),
        ("MAIL", "421 4.7.0 Try again later", DEFERRED, False),
    ],
)
def test_a_reply_in_a_transaction(
    mode: str, command: str, reply: str, state: State, needs_person: bool
) -> None:
    assert last(command, reply, mode) == (state, needs_person)


@pytest.mark.parametrize(
    ("command", "reply", "state"),
    [
        ("DATA", "451 4.7.1 Later", DEFERRED),
        ("DATA", "554 5.7.1 Spam", FAILED),
        ("DATA", "554 5.5.3 Too many recipients", QUEUED),
        ("DATA", "452 4.5.3 Too many recipients", QUEUED),
        ("DOT", "554 5.7.1 Spam", FAILED),
        ("DOT", "554 5.5.3 Too many recipients", QUEUED),
        ("DOT", "452 4.3.1 Disk full", DEFERRED),
        ("DOT", "535 5.7.8 What?", FAILED),
        ("DOT", "550 5.3.2 Not now", FAILED),
        ("DOT", "421 4.3.2 Shutting down", DEFERRED),
    ],
)
def test_a_reply_to_the_data(command: str, reply: str, state: State) -> None:
    assert last(command, reply) == (state, False)


@pytest.mark.parametrize(
    ("opening", "reply", "effect"),
    [
        ("greeting", "432 4.3.2 Concurrent connections limit exceeded", FAULT),
        ("greeting", "421 4.7.0 Try again later", FAULT),
        ("greeting", "450 4.7.1 Later", FAULT),
        ("greeting", "554 5.3.2 No service", OPEN),
        ("greeting", "554 5.7.1 Blocked", OPEN),
        ("EHLO", "452 4.3.2 Busy", FAULT),
        ("EHLO", "550 5.7.1 Not you", OPEN),
        ("STARTTLS", "454 4.7.0 TLS not available for now", FAULT),
        ("STARTTLS", "421 4.3.2 Busy", FAULT),
        ("STARTTLS", "500 5.5.1 What?", PERSON),
        ("STARTTLS", "502", PERSON),
        ("AUTH", "432 4.3.2 Concurrent connections limit exceeded", FAULT),
        ("AUTH", "454 4.7.0 Temporary authentication failure", FAULT),
        ("AUTH", "535 4.3.2 Too many connections", FAULT),
        ("AUTH", "550 5.4.5 Congestion", FAULT),
        ("AUTH", "421 4.7.0 Too many", FAULT),
        ("AUTH", "432 4.7.12 A password transition is needed", PERSON),
        ("AUTH", "535 5.7.8 Wrong", PERSON),
        ("AUTH", "504 5.5.4 Unknown mechanism", PERSON),
        ("AUTH", "525 5.7.13 Disabled", PERSON),
    ],
)
def test_a_reply_while_a_session_opens(opening: str, reply: str, effect: DestinationEffect) -> None:
    assert judge_opening(opened(opening, reply)) == effect


def opened(opening: str, reply: str) -> SmtpFault:
    """Return the fault of a session whose opening got this reply."""
    if opening == "greeting":
        return fail(PLAIN, f"S: {reply}")
    if opening == "EHLO":
        return fail(LOGIN, f"S: 220 far.test\nC: EHLO client.test\nS: {reply}")
    if opening == "STARTTLS":
        offer = "S: 220 far.test\nC: EHLO client.test\nS: 250-far.test\nS: 250 STARTTLS\n"
        return fail(STARTTLS, f"{offer}C: STARTTLS\nS: {reply}")
    offer = "S: 220 far.test\nC: EHLO client.test\nS: 250-far.test\nS: 250 AUTH PLAIN\n"
    return fail(LOGIN, f"{offer}C: {PLAIN_LINE}\nS: {reply}")


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DOT"])
def test_no_transient_reply_of_the_registry_fails_a_recipient(command: str) -> None:
    for code, detail in product(TRANSIENT, DETAILS):
        state, _ = last(command, f"{code} 4.{detail} text")
        assert state in {DEFERRED, QUEUED}, (code, detail)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DOT"])
def test_every_permanent_reply_of_the_registry_has_one_effect(command: str) -> None:
    """An account is blocked for its login, and nothing else; the rest fails or is repeated."""
    for code, detail in product(PERMANENT, DETAILS):
        state, needs_person = last(command, f"{code} 5.{detail} text")
        if detail[0] in "126":
            assert (state, needs_person) in {(FAILED, False), (DEFERRED, False)}, (code, detail)
            assert state == FAILED or code == 503, (code, detail)
        if needs_person:
            assert state == DEFERRED
            assert command != "DOT"
            assert detail[0] in "057", (code, detail)
        if detail == "5.3" and command == "RCPT":
            assert (state, needs_person) == (QUEUED, False), code
        if detail in {"3.2", "4.5"} and command == "MAIL":
            assert (state, needs_person) == (DEFERRED, False), code


def test_no_reply_of_the_registry_to_auth_that_is_transient_needs_a_person() -> None:
    """But a wanted change of the password does."""
    for code, detail in product([450, 451, 452, 454], DETAILS):
        effect = judge_opening(opened("AUTH", f"{code} 4.{detail} text"))
        assert effect == (PERSON if detail == "7.12" else FAULT), (code, detail)
    for code, detail in product([432, 454, 535, 550, 554], ["3.0", "3.1", "3.2", "4.3", "4.5"]):
        effect = judge_opening(opened("AUTH", f"{code} {code // 100}.{detail} text"))
        assert effect == FAULT, (code, detail)

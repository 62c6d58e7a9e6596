"""The envelope sender of an account with a return path has a signed token (VERP)."""

from typing import Any

import pytest
from django.core.mail import EmailMessage

from outbox import api
from outbox.api import changes
from outbox.db.clock import database_now
from outbox.models import Message, State
from outbox.models.return_path import LOCAL_MAX, read_token
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    BOB,
    USING,
    account,
    account_at,
    claim_due,
    claimed,
    deliver,
    last_attempt,
    queue,
    states,
)
from tests.integration.inbound.returned import bounce, receive
from tests.states import set_state

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

RETURN_PATH = "bounces@example.org"


def envelope_of(said: str) -> str:
    return said.partition("MAIL FROM:<")[2].partition(">")[0]


def test_the_token_names_the_message_of_all_recipients(fault_lab: StartLab) -> None:
    lab = fault_lab("offer PIPELINING")
    message = queue(account_at(lab, return_path=RETURN_PATH), BOB, "ann@example.net")
    deliver()
    assert states(message) == [State.SENT, State.SENT]
    assert message.attempts.count() == 1  # one transaction for both
    attempt = last_attempt(message)
    sender = envelope_of("\n".join(str(line[2]) for line in attempt.transfer_lines))
    local, _, domain = sender.partition("@")
    assert domain == "example.org"
    assert local.startswith("bounces+")
    assert len(local) <= LOCAL_MAX
    assert read_token(local.removeprefix("bounces+")) == (message.pk, 0)
    message.refresh_from_db()
    assert message.envelope_sender == "alice@example.org"
    assert lab.ledger.violations == []

    # The bounce comes back to this address.
    assert message.account is not None
    receive(message.account, bounce(to=sender, about=BOB))
    assert states(message) == [State.BOUNCED, State.SENT]


@pytest.mark.django_db(transaction=False)  # no engine
def test_an_envelope_sender_that_the_caller_gave_stays(settings: Any) -> None:
    sender = account(return_path=RETURN_PATH)
    options: dict[str, Any] = {"to": BOB, "subject": "x", "text": "x", "account": sender}
    own: dict[str, Any] = {"envelope_sender": "own@example.org"}
    assert claimed(api.send(**options, **own).message()).sender == "own@example.org"
    assert claimed(api.send(**options).message()).sender.startswith("bounces+")
    settings.EMAIL_BACKEND = "outbox.backend.EmailBackend"
    for given, expected in ((None, "bounces+"), ("own@example.org", "own@example.org")):
        mail = EmailMessage("x", "x", "else@example.org", [BOB])
        if given:
            mail.envelope_sender = given  # type: ignore[attr-defined]  # Anymail's
        mail.send()
        assert claimed(Message.objects.latest("pk")).sender.startswith(expected)


@pytest.mark.django_db(transaction=False)  # no engine
def test_the_sender_changes_only_with_a_retry_by_a_person() -> None:
    """Greylisting compares the senders of attempts."""
    message = queue(account(return_path=RETURN_PATH), BOB, "ann@example.net")
    first = claimed(message)
    waiting = message.recipients.all()
    now = database_now(USING)
    set_state(waiting, State.DEFERRED, attempt=None, attempts=1, next_attempt_at=now)
    second = claimed(message)
    assert second.attempt_id != first.attempt_id
    assert second.sender == first.sender != RETURN_PATH
    set_state(waiting, State.DEFERRED, attempt=None, attempts=2, next_attempt_at=now)
    retried = waiting.filter(address=BOB)
    set_state(retried, State.FAILED, next_attempt_at=None)
    given = changes.Given(now=now, actor=None, why="")
    assert len(changes.retry([message], retried, given)) == 1
    assert message.account is not None
    jobs = claim_due(message.account)
    senders = {one.address: job.sender for job in jobs for one in job.recipients}
    assert senders.pop("ann@example.net") == first.sender
    assert senders.pop(BOB) != first.sender


@pytest.mark.parametrize(
    ("fields", "envelope_sender", "expected"),
    [
        ({}, "alice@example.org", "alice@example.org"),
        ({"return_path": RETURN_PATH}, "", ""),  # the null sender of a notification
    ],
)
def test_without_a_return_path_or_a_sender_there_is_no_token(
    fault_lab: StartLab, fields: dict[str, str], envelope_sender: str, expected: str
) -> None:
    lab = fault_lab("offer PIPELINING")
    message = queue(account_at(lab, **fields), BOB, envelope_sender=envelope_sender)
    deliver()
    assert states(message) == [State.SENT]
    said = "\n".join(str(line[2]) for line in last_attempt(message).transfer_lines)
    assert envelope_of(said) == expected

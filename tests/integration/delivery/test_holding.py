"""Hold and delivery race for the same row, and exactly one of them gets it."""

import threading

import pytest
from django.db import connection

from outbox import api
from outbox.models import Attempt, State, Status
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    a_worker,
    account,
    account_at,
    all_in,
    claim_due,
    queue,
    queue_many,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_held_message_stays_until_it_is_released(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    message = queue(account_at(lab))
    assert api.hold(message, why="Wrong list") == 1
    with Working():
        until(all_in(State.SENT, [queue(account_at(lab))]), "another message was sent")
        assert states(message) == [State.HELD]
        assert len(lab.ledger.accepted) == 1
        assert api.release(message) == 1
        until(all_in(State.SENT, [message]), "it was sent")
    assert len(lab.ledger.accepted) == 2


def test_a_claimed_message_is_not_held(fault_lab: StartLab) -> None:
    lab = fault_lab("at mail: late 60")
    message = queue(account_at(lab))
    with Working():
        until(lambda: states(message) == [State.SENDING], "it was claimed")
        assert api.hold(message) == 0
        lab.skip_delays()
        until(all_in(State.SENT, [message]), "it was sent")
    message.refresh_from_db()
    assert message.status == Status.SENT


def test_hold_and_claim_never_both_get_a_recipient() -> None:
    sender = account()
    messages = queue_many(sender, 30)
    worker = a_worker()
    start = threading.Barrier(2)

    def claim_all() -> None:
        start.wait()
        for _ in range(30):
            claim_due(sender, worker, limit=1)
        connection.close()

    claiming = threading.Thread(target=claim_all)
    claiming.start()
    start.wait()
    held = [message for message in reversed(messages) if api.hold(message)]
    claiming.join(60)
    tried = set(Attempt.objects.values_list("message_id", flat=True))
    assert {message.pk for message in held}.isdisjoint(tried)
    assert len(held) + len(tried) == len(messages)
    for message in messages:
        assert states(message) == [State.HELD if message in held else State.SENDING]

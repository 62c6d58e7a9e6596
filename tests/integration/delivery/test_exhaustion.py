"""A host without free file descriptors: no server and no other account has to pay for it."""

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from outbox.models import Attempt, Circuit, State
from outbox.reasons import ReasonCode
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    destination,
    queue,
    queue_many,
    row,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def descriptors_limited_to(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Use every descriptor below the highest one in use."""
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    with descriptors_limited_to(highest + 1), ExitStack() as used:
        while True:
            try:
                used.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield


def test_a_lack_of_descriptors_counts_against_no_destination_and_no_message(
    fault_lab: StartLab,
) -> None:
    first, second = account_at(fault_lab("")), account_at(fault_lab(""))
    with Working():
        until(all_in(State.SENT, [queue(first)]), "the engine has its database connections")
        with no_descriptor_left():
            message = queue(second)
            until(lambda: states(message) == [State.DEFERRED], "the connection failed")
        recipient = row(message)
        assert recipient.reason.code == ReasonCode.HOST_EXHAUSTED
        assert recipient.attempts == 0
        assert destination(second).circuit == Circuit.CLOSED
        assert destination(second).circuit_faults == 0
        until(all_in(State.SENT, [message]), "it was sent when descriptors were free")
    assert Attempt.objects.filter(message=message, fault="exhausted").exists()


def test_one_person_cannot_take_all_connections_of_a_worker(fault_lab: StartLab) -> None:
    """A tar pit holds every connection of every account that its owner has."""
    mallory = User.objects.create(username="mallory")
    pit = fault_lab("at dot: late 60")
    accounts = [account_at(pit, owner=mallory, max_connections=20) for _ in range(2)]
    for hostile in accounts:
        queue_many(hostile, 40)
    with descriptors_limited_to(16):
        working = Working()  # it may have 8 connections
    with working:
        until(lambda: states().count(State.SENDING) >= 4, "connections are held")
        good = queue_many(account_at(fault_lab("")), 3)
        until(all_in(State.SENT, good), "the messages of another account were sent")
        assert len(pit.ledger.sessions) <= 4
        pit.skip_delays()
        until(lambda: states().count(State.SENT) == 83, "all were sent")

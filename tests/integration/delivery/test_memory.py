"""Large messages share the memory of a worker; slow servers do not fill it."""

import pytest
from django.conf import LazySettings

from outbox.models import State
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    deliver,
    queue,
    queue_many,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

LARGE = b"From: alice@example.org\r\n\r\n" + b"0123456789abcdef\r\n" * 6_000  # 108 KB


def test_the_large_messages_of_one_account_wait_for_memory(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MEMORY_BUDGET": 8 * len(LARGE)}
    slow = fault_lab("at dot: late 60")
    queue_many(account_at(slow, max_connections=10), 10, source=LARGE)
    small = account_at(slow, max_connections=3)
    with Working():
        until(lambda: slow.ledger.commands.count("DATA") == 4, "half of the memory is held")
        queue_many(small, 3)
        until(lambda: slow.ledger.commands.count("DATA") == 7, "small messages need none")
        other = queue(account_at(fault_lab("")), source=LARGE)
        until(all_in(State.SENT, [other]), "another account has its part")
        assert slow.ledger.commands.count("DATA") == 7
        slow.skip_delays()
        until(lambda: states().count(State.SENT) == 14, "all were sent")


def test_a_message_larger_than_the_memory_is_sent(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MEMORY_BUDGET": 1_000}
    lab = fault_lab("")
    messages = queue_many(account_at(lab), 4, source=LARGE)
    deliver()
    assert states() == [State.SENT] * len(messages)


def test_a_large_message_does_not_wait_for_ever_for_another_account(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """One that holds the whole may keep it for as long as a server takes to reply."""
    settings.OUTBOX = settings.OUTBOX | {"MEMORY_BUDGET": 1_000}
    slow = fault_lab("at dot: late 60")
    queue(account_at(slow), source=LARGE)
    with Working():
        until(lambda: "DATA" in slow.ledger.commands, "the memory is held")
        other = queue(account_at(fault_lab("")), source=LARGE)
        until(all_in(State.SENT, [other]), "it was sent")
        slow.skip_delays()
        until(lambda: states().count(State.SENT) == 2, "all were sent")

"""A retry sends the same bytes as the first attempt, only to the remaining recipients."""

import pytest

from outbox import api
from outbox.models import State
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import BOB, account_at, deliver, queue, states

pytestmark = pytest.mark.django_db(transaction=True)

EVE = "eve@example.net"


def test_a_retry_changes_neither_bytes_nor_message_id(fault_lab: StartLab) -> None:
    """Protocol item 102."""
    lab = fault_lab("on connection 1: at dot: 451 4.3.0 try again")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.DEFERRED]
    api.retry(message)
    deliver()
    assert states(message) == [State.SENT]
    first, second = lab.ledger.transactions
    assert first.source == second.source == message.source.read()
    assert first.message_id == second.message_id == f"<{message.message_id}>"


def test_no_data_follows_when_every_recipient_is_rejected(fault_lab: StartLab) -> None:
    """Protocol item 55, on a server without PIPELINING."""
    lab = fault_lab("offer SIZE 35882577\nat rcpt: 550 5.1.1 no such user")
    message = queue(account_at(lab), BOB, EVE)
    deliver()
    assert states(message) == [State.FAILED] * 2
    assert not [line for line in lab.ledger.commands if line.startswith(("DATA", "BDAT"))]

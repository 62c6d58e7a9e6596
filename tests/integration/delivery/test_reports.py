"""Reports of delivery are asked for where a mail wants them and a server gives them (RFC 3461)."""

import pytest

from outbox.models import State
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.desk import BOB, account_at, deliver, last_attempt, queue, states

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

ASKED = "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;bob@example.net"


@pytest.mark.parametrize(
    ("offer", "wanted", "asked"),
    [
        ("offer PIPELINING, DSN", True, True),
        ("offer DSN", True, True),  # step by step
        ("offer PIPELINING, DSN", False, False),
        ("offer PIPELINING", True, False),
    ],
)
def test_it_asks_for_a_report_only_if_wanted_and_offered(
    fault_lab: StartLab, offer: str, wanted: bool, asked: bool
) -> None:
    lab = fault_lab(offer)
    message = queue(account_at(lab), BOB, wants_report=wanted)
    deliver()
    assert states(message) == [State.SENT]
    said = "\n".join(str(line[2]) for line in last_attempt(message).transfer_lines)
    assert (f"ENVID=outbox-{message.pk}" in said) == asked
    assert (ASKED in said) == asked
    assert lab.ledger.wrongs == []

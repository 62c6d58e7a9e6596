"""Delivery reports (RFC 3461) are requested if wanted and supported by the server."""

import pytest

from outbox.models import State
from outbox.models.return_path import token_of
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    BOB,
    account_at,
    deliver,
    last_attempt,
    queue,
    states,
)

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
def test_a_report_is_requested_only_if_wanted_and_supported(
    fault_lab: StartLab, offer: str, wanted: bool, asked: bool
) -> None:
    lab = fault_lab(offer)
    message = queue(account_at(lab), BOB, wants_report=wanted)
    deliver()
    assert states(message) == [State.SENT]
    attempt = last_attempt(message)
    said = "\n".join(str(line[2]) for line in attempt.transfer_lines)
    assert (f"ENVID={token_of(message.pk, 0)}" in said) == asked
    assert (ASKED in said) == asked
    assert lab.ledger.violations == []

"""Fields of delivery status notifications, as servers write them (protocol items 126 and 129)."""

import pytest

from outbox.inbound.report_fields import read_blocks, read_status, status_blocks

HEAD = "Reporting-MTA: dns; far.test\n\n"


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ("Action: failed\nStatus: 5.1.1", "failed"),
        ("Action: FAILED (bad)\nStatus: 5.1.1", "failed"),
        ("Action: error\nStatus: 5.1.1", "failed"),
        ("Action: delayed\nStatus: 4.4.1", "delayed"),
        ("Action: delivered\nStatus: 2.0.0", "delivered"),
        ("Action: deliverable\nStatus: 2.1.5", "delivered"),
        ("Action: relayed\nStatus: 2.0.0", "relayed"),
        ("Action: expanded\nStatus: 2.0.0", "expanded"),
        ("Status: 5.1.1", "failed"),
        ("Action: unheard-of\nStatus: 4.4.1", "delayed"),
        ("Status: 2.0.0", "delivered"),
        ("Action: unheard-of", None),
    ],
)
def test_an_action_is_read_or_derived(fields: str, action: str | None) -> None:
    (found,) = status_blocks(read_blocks(f"{HEAD}Final-Recipient: rfc822;a@far.test\n{fields}\n"))
    assert found.action == action


def test_each_block_is_read_and_folding_removed() -> None:
    text = (
        "Final-Recipient: rfc822;\n a@far.test\nAction: failed\n"
        "Diagnostic-Code: smtp; 550 no\n\tsuch user\n\n\n"
        "Final-Recipient: rfc822;b@far.test\nAction: failed\n"
        "Diagnostic-Code: smtp; 550 no\nreason\n"
    )
    found = list(status_blocks(read_blocks(HEAD + text)))
    assert [one.address for one in found] == ["a@far.test", "b@far.test"]
    assert [one.diagnostic for one in found] == ["550 no such user", "550 no reason"]


def test_the_first_field_of_a_name_counts() -> None:
    text = (
        "Final-Recipient: rfc822;a@far.test\nAction: failed\nStatus: 5.1.1\n"
        "Diagnostic-Code: smtp; 550 first\nDiagnostic-Code: smtp; 250 second\n folded\n"
    )
    (found,) = status_blocks(read_blocks(text))
    assert (found.action, found.diagnostic) == ("failed", "550 first")


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("5.1.1", "5.1.1"),
        ("5.1.1 (bad destination mailbox address)", "5.1.1"),
        ("#5.4.312", "5.4.312"),
        ("15.1.1", ""),
        ("5.1.1.1", ""),
        ("3.1.1", ""),
        ("5", ""),
    ],
)
def test_a_status_is_read(value: str, status: str) -> None:
    assert read_status(value) == status

"""Which replies of servers are about the same fault."""

import pytest

from outbox.web.messages.replies import alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "5.1.1 <bob@example.org>: Recipient address rejected: User unknown",
            "5.1.1 <eve@example.org>: Recipient address rejected: User unknown",
        ),
        ("user bob@example.org unknown", "User eve@x.example\n unknown"),
        ("blocked, see https://a.example/?q=1", "blocked, see https://a.example/?q=2"),
        ("4.7.1 try again in 300 seconds [a1b2-c3]", "4.7.1 try again in 58 seconds [d4e5-f6]"),
        ("your IP 192.0.2.1 is listed", "your IP 2001:db8::1 is listed"),
    ],
)
def test_replies_that_differ_in_particulars_are_alike(one: str, other: str) -> None:
    assert alike(one) == alike(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("User unknown", "Mailbox full"),
        ("<bob@example.org>: no such user", "<bob@example.org>: over quota"),
        ("blocked by policy", "blocked by content"),
    ],
)
def test_replies_that_name_other_faults_are_not(one: str, other: str) -> None:
    assert alike(one) != alike(other)

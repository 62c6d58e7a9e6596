"""Replies that differ only in addresses, hosts, ids, numbers and times are of one group."""

import pytest

from outbox.mail.server_replies import NORMALIZED_MAX, normalize, normalized_reply

SAME = [
    (
        "5.1.1 <bob@example.org>: Recipient address rejected: User unknown",
        "5.1.1 <eve@example.org>: Recipient address rejected: User unknown",
    ),
    ("user bob@example.org unknown", "User eve@x.example\n unknown"),
    ("blocked, see https://a.example/?q=1", "blocked, see https://a.example/?q=2"),
    ("4.7.1 try again in 300 seconds [a1b2-c3]", "4.7.1 try again in 58 seconds [d4e5-f6]"),
    ("your IP 192.0.2.1 is listed", "your IP 2001:db8::1 is listed"),
    ("mx.example.org is closing", "gateway.mail.example.net is closing"),
    ("try after Sun, 29 Nov 2026 03:45:44 +0000", "try after Tue, 1 Dec 2026 23:00:01 -0800"),
    ("try after Nov 29 03:45:44", "try after 1 December 2026"),
    ("queue id 4Qx12Az= rejected", "queue id 9f-77b rejected"),
]
DIFFERENT = [
    ("User unknown", "Mailbox full"),
    ("<bob@example.org>: no such user", "<bob@example.org>: over quota"),
    ("blocked by policy", "blocked by content"),
    ("the sun may not shine", "the moon may not shine"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_replies_that_differ_in_what_is_specific_are_equal(one: str, other: str) -> None:
    assert normalize(one) == normalize(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_replies_about_other_faults_are_different(one: str, other: str) -> None:
    assert normalize(one) != normalize(other)


def test_a_normalized_reply_does_not_change_when_it_is_normalized_again() -> None:
    for text in (text for pair in SAME + DIFFERENT for text in pair):
        assert normalize(normalize(text)) == normalize(text)


def test_the_key_of_a_group_never_changes() -> None:
    """It is stored with recipients and counts."""
    unknown = normalized_reply(550, "5.1.1", "5.1.1 <bob@example.org>: User unknown in table 17")
    assert unknown == (550, "5.1.1", "…: user unknown in table …")
    assert unknown.key == 1318481020739581216


def test_code_and_enhanced_code_are_part_of_the_group() -> None:
    keys = {
        normalized_reply(*reply).key
        for reply in ((550, "", "no"), (551, "", "no"), (550, "5.1.1", "no"))
    }
    assert len(keys) == 3


def test_a_key_fits_a_column_and_the_text_is_limited() -> None:
    reply = normalized_reply(550, "5.1.1", "a b " * 100_000 + "\ud800")
    assert 0 < reply.key < 2**63
    assert len(reply.text) <= NORMALIZED_MAX

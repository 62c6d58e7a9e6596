"""Sizes and unique ids of a mailbox (protocol items 141 and 145)."""

from outbox.pop3.listings import read_sizes, read_uids


def test_sizes_are_read_and_odd_lines_left_out() -> None:
    lines = [b"1 120", b" 2\t300 extra", b"3", b"x 4", b"0 5", b"4 -1", b"5 99999999999999999999"]
    assert read_sizes(lines) == {1: 120, 2: 300}


def test_a_unique_id_has_1_to_70_visible_characters() -> None:
    lines = [b"1 a", b"2 " + b"b" * 70, b"3 " + b"c" * 71, b"4 d e", b"5", b"6 \xff", b"7 !~ "]
    assert read_uids(lines) == {1: "a", 2: "b" * 70, 7: "!~"}


def test_messages_that_share_an_id_have_none() -> None:
    assert read_uids([b"1 same", b"2 same", b"3 other"]) == {3: "other"}

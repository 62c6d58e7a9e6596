"""The References of a reply (RFC 5322 3.6.4)."""

import pytest

from outbox.mail.headers import is_message_id
from outbox.mail.mime import render
from outbox.mail.threads import MAX_REFERENCES, references_of_reply
from tests.unit.mail.samples import compose


@pytest.mark.parametrize(
    ("message_id", "references", "in_reply_to", "expected"),
    [
        ("<c@x>", "<a@x> <b@x>", "<b@x>", ["<a@x>", "<b@x>", "<c@x>"]),
        ("<c@x>", "<a@x>\r\n\t<b@x>", "", ["<a@x>", "<b@x>", "<c@x>"]),
        ("<c@x>", "", "<b@x>", ["<b@x>", "<c@x>"]),
        ("<c@x>", "", "<b@x> <a@x>", ["<c@x>"]),  # of several nobody knows the nearest
        ("<c@x>", "<a@x> <c@x> <a@x>", "", ["<a@x>", "<c@x>"]),
        ("", "<a@x>", "", ["<a@x>"]),
        ("no id", "prose <ö@x> <b\0@x> <a@x>", "", ["<a@x>"]),
        ("", "", "", []),
    ],
)
def test_a_reply_refers_to_its_parent_and_all_before(
    message_id: str, references: str, in_reply_to: str, expected: list[str]
) -> None:
    """Protocol item 15."""
    assert references_of_reply(message_id, references, in_reply_to) == expected


def test_a_long_thread_keeps_its_first_and_its_nearest() -> None:
    """Protocol item 15: the length is capped safely."""
    thread = [f"<{'x' * 80}{number}@example.org>" for number in range(500)]

    kept = references_of_reply("<last@example.org>", " ".join(thread))

    assert kept[0] == thread[0]
    assert kept[-3:] == [*thread[-2:], "<last@example.org>"]
    assert sum(len(known) + 1 for known in kept) <= MAX_REFERENCES
    assert all(map(is_message_id, kept))
    assert max(map(len, render(compose(references=kept)).split(b"\r\n"))) <= 998


def test_one_huge_id_after_another_is_still_bounded() -> None:
    kept = references_of_reply("<last@x>", " ".join(f"<{n}{'x' * 890}@x>" for n in range(9)))

    assert kept[-1] == "<last@x>"
    assert sum(len(known) + 1 for known in kept) <= MAX_REFERENCES

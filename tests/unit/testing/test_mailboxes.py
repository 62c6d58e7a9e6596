"""Mailboxes keep mail byte for byte under names that cannot leave their directory."""

from pathlib import Path

import pytest

from outbox.testing.mailboxes import Mailboxes


def test_it_keeps_bytes_and_order(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path)
    sources = [b"one\r\n", b"two\n", b"\xff\x00"]
    for source in sources:
        mailboxes.deliver("bob@example.net", source)
    messages = mailboxes.messages("bob@example.net")
    assert [message.source for message in messages] == sources
    assert [message.number for message in messages] == [1, 2, 3]
    assert messages[0].received_at < messages[2].received_at


def test_a_message_that_is_being_written_is_not_listed(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path)
    path = mailboxes.deliver("bob@example.net", b"whole")
    (path.parents[1] / "tmp" / "unfinished").write_bytes(b"ha")
    assert len(mailboxes.messages("bob@example.net")) == 1


def test_case_does_not_separate_mailboxes(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path)
    mailboxes.deliver("Bob@Example.NET", b"")
    assert len(mailboxes.messages("bob@example.net")) == 1
    assert mailboxes.addresses() == ["bob@example.net"]


@pytest.mark.parametrize(
    "address",
    [
        "../../etc/passwd",
        "..",
        ".",
        "",
        "/",
        "a/../../b@example.net",
        "nul\0@example.net",
        "zoë@exämple.net",
        '"a b"@example.net',
        "x" * 200 + "@example.net",
    ],
)
def test_no_address_escapes_the_directory(tmp_path: Path, address: str) -> None:
    mailboxes = Mailboxes(tmp_path / "mail")
    path = mailboxes.deliver(address, b"here")
    assert path.resolve().is_relative_to(tmp_path / "mail" / "mailboxes")
    assert [message.source for message in mailboxes.messages(address)] == [b"here"]
    assert mailboxes.addresses() == [address]


def test_long_addresses_stay_separate(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path)
    mailboxes.deliver("x" * 200 + "a@example.net", b"")
    assert mailboxes.messages("x" * 200 + "b@example.net") == []


def test_a_missing_directory_has_no_mailboxes(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path / "nowhere")
    assert mailboxes.addresses() == []
    assert mailboxes.messages("bob@example.net") == []


def test_a_stored_message_can_be_parsed(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path)
    mailboxes.deliver("bob@example.net", b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhi\r\n")
    [message] = mailboxes.messages("bob@example.net")
    assert message.parsed()["Subject"] == "Grüße"

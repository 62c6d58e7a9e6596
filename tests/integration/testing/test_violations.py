"""The lab notices what no good client does."""

import pytest

from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.integration.testing.conftest import OpenDialogue

BEGIN = b"EHLO me.example\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<c@d.org>\r\nDATA\r\n"


def step_by_step(
    lab: FaultLab, dialogue: OpenDialogue, message: bytes, mail: str = ""
) -> list[str]:
    client = dialogue(lab.port)
    client.reply()
    for command in BEGIN.decode().split("\r\n")[:-1]:
        client.say(command + (mail if command.startswith("MAIL") else ""))
    client.send(message)
    client.reply()
    return lab.ledger.violations


@pytest.mark.parametrize(
    ("message", "violation"),
    [
        (b"a\nb\r\n.\r\n", "its message has a bare CR or LF"),
        (b"a\rb\r\n.\r\n", "its message has a bare CR or LF"),
        (b"\n.\r\n.\r\n", "its message has a bare CR or LF"),
        (b"a\0\r\n.\r\n", "its message has a NUL"),
        (b"\xc3\xbc\r\n.\r\n", "its message has 8-bit octets and no BODY=8BITMIME"),
        (b"x" * 999 + b"\r\n.\r\n", "its message has a line over 998 octets"),
        (b"a\r\n.\r\nQUIT\r\n", "it sent more after the message before the reply"),
    ],
)
def test_a_message_that_violates_the_protocol_is_recorded(
    fault_lab: StartLab, dialogue: OpenDialogue, message: bytes, violation: str
) -> None:
    assert f"1: {violation}" in step_by_step(fault_lab("offer 8BITMIME"), dialogue, message)


def test_a_correct_message_has_no_violation(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("offer 8BITMIME")
    message = b"\xc3\xbc\r\n" + b"x" * 998 + b"\r\n.\r\n"
    assert step_by_step(lab, dialogue, message, " BODY=8BITMIME") == []


@pytest.mark.parametrize(
    ("extensions", "said", "violation"),
    [
        ("PIPELINING", BEGIN, None),
        ("SIZE", BEGIN, "it sent more after EHLO before the reply"),
        ("SIZE", b"RSET\r\nRSET\r\n", "it pipelined after RSET, which is not offered"),
        ("PIPELINING", b"RSET\r\nRSET\r\n", None),
        ("PIPELINING", b"NOOP\r\nRSET\r\n", "it sent more after NOOP before the reply"),
        ("PIPELINING", b"NOOP\n", "its line ends with a bare LF"),
        ("PIPELINING", b"MAIL FROM:<" + b"x" * 600 + b"@b.org>\r\n", "its command has 618 octets"),
    ],
)
def test_commands_that_violate_the_protocol_are_recorded(
    fault_lab: StartLab,
    dialogue: OpenDialogue,
    extensions: str,
    said: bytes,
    violation: str | None,
) -> None:
    lab = fault_lab(f"offer {extensions}")
    client = dialogue(lab.port).greeted()
    client.send(said.removeprefix(b"EHLO me.example\r\n") if violation is None else said)
    client.reply()
    client.socket.close()
    lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
    assert lab.ledger.violations[:1] == ([f"1: {violation}"] if violation else [])

"""The lab notices what no good client does."""

import pytest

from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.integration.testing.conftest import OpenTalk

BEGIN = b"EHLO me.example\r\nMAIL FROM:<a@b.org>\r\nRCPT TO:<c@d.org>\r\nDATA\r\n"


def step_by_step(lab: FaultLab, talk: OpenTalk, message: bytes, mail: str = "") -> list[str]:
    client = talk(lab.port)
    client.reply()
    for command in BEGIN.decode().split("\r\n")[:-1]:
        client.say(command + (mail if command.startswith("MAIL") else ""))
    client.send(message)
    client.reply()
    return lab.ledger.wrongs


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (b"a\nb\r\n.\r\n", "its message has a bare CR or LF"),
        (b"a\rb\r\n.\r\n", "its message has a bare CR or LF"),
        (b"\n.\r\n.\r\n", "its message has a bare CR or LF"),
        (b"a\0\r\n.\r\n", "its message has a NUL"),
        (b"\xc3\xbc\r\n.\r\n", "its message has 8-bit octets and no BODY=8BITMIME"),
        (b"x" * 999 + b"\r\n.\r\n", "its message has a line over 998 octets"),
        (b"a\r\n.\r\nQUIT\r\n", "it sent more behind the message before the reply"),
    ],
)
def test_a_bad_message_is_noticed(
    fault_lab: StartLab, talk: OpenTalk, message: bytes, wrong: str
) -> None:
    assert f"1: {wrong}" in step_by_step(fault_lab("offer 8BITMIME"), talk, message)


def test_a_good_message_is_none(fault_lab: StartLab, talk: OpenTalk) -> None:
    lab = fault_lab("offer 8BITMIME")
    message = b"\xc3\xbc\r\n" + b"x" * 998 + b"\r\n.\r\n"
    assert step_by_step(lab, talk, message, " BODY=8BITMIME") == []


@pytest.mark.parametrize(
    ("offer", "said", "wrong"),
    [
        ("PIPELINING", BEGIN, None),
        ("SIZE", BEGIN, "it sent more behind EHLO before the reply"),
        ("SIZE", b"RSET\r\nRSET\r\n", "it pipelined behind RSET, which is not offered"),
        ("PIPELINING", b"RSET\r\nRSET\r\n", None),
        ("PIPELINING", b"NOOP\r\nRSET\r\n", "it sent more behind NOOP before the reply"),
        ("PIPELINING", b"NOOP\n", "its line ends with a bare LF"),
        ("PIPELINING", b"MAIL FROM:<" + b"x" * 600 + b"@b.org>\r\n", "its command has 618 octets"),
    ],
)
def test_bad_commands_are_noticed(
    fault_lab: StartLab, talk: OpenTalk, offer: str, said: bytes, wrong: str | None
) -> None:
    lab = fault_lab(f"offer {offer}")
    client = talk(lab.port).greeted()
    client.send(said.removeprefix(b"EHLO me.example\r\n") if wrong is None else said)
    client.reply()
    client.socket.close()
    lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
    assert lab.ledger.wrongs[:1] == ([f"1: {wrong}"] if wrong else [])

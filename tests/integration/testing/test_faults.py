"""Every fault as the client sees it, and the ledger as the server records it."""

import contextlib
import time

import pytest

from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.integration.testing.conftest import OpenDialogue
from tests.integration.testing.dialogue import Dialogue

SOURCE = b"Message-ID: <1@example.org>\r\n\r\n" + b"0123456789abcdef\r\n" * 100
BOB = "bob@example.net"


def over(lab: FaultLab) -> bool:
    """Wait for the first session's end."""
    lab.ledger.wait_for(lambda ledger: bool(ledger.sessions) and ledger.sessions[0].over)
    return True


def is_reset(client: Dialogue) -> bool:
    """Return whether RST comes next."""
    try:
        while client.receive():
            pass
    except ConnectionResetError:
        return True
    return False


def test_without_a_rule_it_is_a_correct_server(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("")
    client = dialogue(lab.port).greeted()
    assert client.message(SOURCE).startswith("250")
    assert client.say("QUIT").startswith("221")
    assert client.receive() == b""
    [transaction] = lab.ledger.accepted
    assert transaction.source == SOURCE
    assert transaction.reply_sent.startswith("250")
    assert lab.ledger.copies("<1@example.org>", BOB) == 1
    assert lab.ledger.violations == []
    assert lab.ledger.sessions[0].commands == [
        *("EHLO client.example", "MAIL FROM:<alice@example.org>", f"RCPT TO:<{BOB}>", "DATA"),
        *("<1,831 octets>", "QUIT"),
    ]


def test_the_ledger_has_a_message_before_the_client_gets_the_reply(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("at dot of message 2: 451 4.3.0 later then close")
    client = dialogue(lab.port).greeted()
    known: list[tuple[str, int]] = []
    lab.ledger.listener = lambda line: known.append((line.text, len(lab.ledger.transactions)))
    client.message(SOURCE)
    client.message(SOURCE)
    assert ("250 2.0.0 Ok", 1) in known
    assert ("451 4.3.0 later", 2) in known


def test_the_server_obeys_its_changed_reply(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at rcpt 2: 550 5.1.1 no\nat dot of message 2: 451 4.3.0 later")
    client = dialogue(lab.port).greeted()
    assert client.message(SOURCE, BOB, "eve@example.net").startswith("250")
    assert client.message(SOURCE, BOB).startswith("451 4.3.0 later")
    first, second = lab.ledger.transactions
    assert (first.recipients, list(first.refused)) == ([BOB], ["eve@example.net"])
    assert (first.accepted, second.accepted) == (True, False)
    assert (second.dot, second.reply_sent) == (True, "451 4.3.0 later")


def test_421_closes(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at mail: 421 4.3.2 down").port).greeted()
    assert client.say("MAIL FROM:<a@example.org>") == "421 4.3.2 down"
    assert client.receive() == b""


@pytest.mark.parametrize("code", ["250", "451", "550"])
def test_any_reply_can_be_made_to_close(
    fault_lab: StartLab, dialogue: OpenDialogue, code: str
) -> None:
    client = dialogue(fault_lab(f"at mail: {code} x then close").port).greeted()
    assert client.say("MAIL FROM:<a@example.org>") == f"{code} x"
    assert client.receive() == b""


def test_close_closes(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at dot: close")
    client = dialogue(lab.port).greeted()
    assert client.message(SOURCE) == ""
    assert over(lab)
    [transaction] = lab.ledger.transactions
    assert (transaction.dot, transaction.accepted, transaction.reply_sent) == (True, False, "")


def test_reset_resets(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at mail: reset").port).greeted()
    client.send(b"MAIL FROM:<a@example.org>\r\n")
    assert is_reset(client)


def test_a_black_hole_neither_replies_nor_executes(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("at rcpt: black-hole")
    client = dialogue(lab.port).greeted()
    client.say("MAIL FROM:<a@example.org>")
    client.send(b"RCPT TO:<b@example.org>\r\nRSET\r\nQUIT\r\n")
    assert client.is_silent()
    client.socket.close()
    assert over(lab)
    assert lab.ledger.transactions[0].recipients == []


def test_no_reply_executes_commands_in_silence(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at dot: no-reply")
    client = dialogue(lab.port).greeted()
    client.begin(BOB)
    client.say("DATA")
    client.send(SOURCE + b".\r\nNOOP\r\nQUIT\r\n")
    assert client.is_silent()
    [transaction] = lab.ledger.accepted
    assert transaction.reply_sent == ""
    assert lab.ledger.copies("<1@example.org>", BOB) == 1


def test_a_missing_reply_shifts_the_later_ones(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at rcpt 1: missing")
    client = dialogue(lab.port).greeted()
    client.send(b"MAIL FROM:<a@b.org>\r\nRCPT TO:<c@d.org>\r\nRCPT TO:<reject@d.org>\r\nDATA\r\n")
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    assert client.is_silent()


def test_an_extra_reply_comes_in_the_same_packet(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    client = dialogue(fault_lab("at mail: extra 550 5.0.0 and this").port).greeted()
    client.send(b"MAIL FROM:<a@b.org>\r\n")
    assert client.receive() == b"250 2.1.0 Ok\r\n550 5.0.0 and this\r\n"


def test_a_late_reply_comes_after_its_delay(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at dot: late 0.3")
    client = dialogue(lab.port).greeted()
    began = time.monotonic()
    assert client.message(SOURCE).startswith("250")
    assert time.monotonic() - began >= 0.3
    assert lab.ledger.accepted[0].reply_sent.startswith("250")


def test_delays_can_be_skipped(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at mail: late 600\nat body 100: late 600\nat dot: late 600")
    client = dialogue(lab.port).greeted()
    client.send(b"MAIL FROM:<alice@example.org>\r\n")
    lab.ledger.wait_for(lambda ledger: len(ledger.commands) == 2)
    assert client.is_silent()
    lab.skip_delays()
    assert client.reply().startswith("250")
    assert client.say(f"RCPT TO:<{BOB}>", "DATA").startswith("250")
    assert client.reply().startswith("354")
    client.send(SOURCE + b".\r\n")
    assert client.reply().startswith("250")
    lab.play(lab.scenario)
    with Dialogue(lab.port).greeted() as another:
        another.send(b"MAIL FROM:<alice@example.org>\r\n")
        assert another.is_silent(), "the next scenario is late again"


def test_a_late_reply_to_a_closed_connection_is_not_recorded_as_sent(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("at dot: late 30")
    client = dialogue(lab.port).greeted()
    client.begin(BOB)
    client.say("DATA")
    client.send(SOURCE + b".\r\n")
    lab.ledger.wait_for(lambda ledger: bool(ledger.accepted))
    client.socket.close()
    assert over(lab)
    assert lab.ledger.accepted[0].reply_sent == ""


@pytest.mark.parametrize("misbehavior", ["split", "drip 0.001"])
def test_a_reply_can_come_byte_by_byte(
    fault_lab: StartLab, dialogue: OpenDialogue, misbehavior: str
) -> None:
    client = dialogue(fault_lab(f"at mail: {misbehavior}").port).greeted()
    client.send(b"MAIL FROM:<a@b.org>\r\n")
    pieces: list[bytes] = []
    while b"\n" not in b"".join(pieces):
        pieces.append(client.receive())
    assert b"".join(pieces) == b"250 2.1.0 Ok\r\n"
    assert len(pieces) > 3
    assert client.say("RCPT TO:<c@d.org>").startswith("250")


def test_a_drip_takes_its_time(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at mail: drip 0.02 250 ok").port).greeted()
    began = time.monotonic()
    assert client.say("MAIL FROM:<a@b.org>") == "250 ok"
    assert time.monotonic() - began >= 7 * 0.02


def test_garbage_is_not_a_reply(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at mail: garbage").port).greeted()
    client.send(b"MAIL FROM:<a@b.org>\r\n")
    assert client.receive().startswith(b"\x00\xff")
    assert client.say("RCPT TO:<c@d.org>").startswith("503")  # MAIL was not carried out


def test_bytes_can_be_sent_as_they_are(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab('at mail: send "2\\x00\\n250"').port).greeted()
    client.send(b"MAIL FROM:<a@b.org>\r\n")
    assert client.receive() == b"2\0\n250"


def test_a_huge_reply_has_a_million_octets(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at mail: huge").port).greeted()
    assert len(client.say("MAIL FROM:<a@b.org>")) > 1_000_000
    assert client.say("RCPT TO:<c@d.org>").startswith("250")


def test_an_endless_reply_ends_with_the_connection(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("at mail: endless")
    client = dialogue(lab.port).greeted()
    client.send(b"MAIL FROM:<a@b.org>\r\n")
    came = 0
    while came < 3_000_000:
        came += len(client.receive())
    client.socket.close()
    assert over(lab)


@pytest.mark.parametrize(
    ("stage", "code"), [("mail", "354"), ("rcpt", "354"), ("data", "250"), ("dot", "354")]
)
def test_a_wrong_class_differs_from_the_correct_one(
    fault_lab: StartLab, dialogue: OpenDialogue, stage: str, code: str
) -> None:
    lab = fault_lab(f"at {stage}: wrong-class")
    client = dialogue(lab.port).greeted()
    commands = ["MAIL FROM:<a@b.org>", "RCPT TO:<c@d.org>", "DATA", "x\r\n."]
    replies = [client.say(command) for command in commands]
    assert replies[["mail", "rcpt", "data", "dot"].index(stage)].startswith(code)
    assert lab.ledger.accepted == []


# In the middle of a body


@pytest.mark.parametrize("chunking", [False, True], ids=["data", "bdat"])
@pytest.mark.parametrize("action", ["close", "reset"])
def test_a_body_can_be_interrupted(
    fault_lab: StartLab, dialogue: OpenDialogue, action: str, *, chunking: bool
) -> None:
    lab = fault_lab(f"offer CHUNKING\nat body 1000: {action}")
    client = dialogue(lab.port).greeted()
    client.begin(BOB)
    with contextlib.suppress(ConnectionError):
        client.send(f"BDAT {len(SOURCE)} LAST\r\n".encode() if chunking else b"DATA\r\n")
        if not chunking:
            client.reply()
        client.send(SOURCE[:999])
        assert client.is_silent(0.05)
        client.send(SOURCE[999:])
        assert client.receive() == b""
    assert over(lab)
    [transaction] = lab.ledger.transactions
    assert (transaction.accepted, transaction.dot) == (False, False)


def test_the_ledger_has_a_dot_after_the_fault(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at body 1: reset")
    client = dialogue(lab.port).greeted()
    client.begin(BOB)
    client.say("DATA")
    client.send(SOURCE + b".\r\n")
    assert is_reset(client)
    assert over(lab)
    [transaction] = lab.ledger.transactions
    assert (transaction.dot, transaction.accepted) == (True, False)


def test_a_reply_into_a_body_is_the_only_one(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at body 1000: 552 5.3.4 too much")
    client = dialogue(lab.port).greeted()
    client.begin(BOB)
    client.say("DATA")
    client.send(SOURCE[:1200])
    assert client.reply() == "552 5.3.4 too much"
    client.send(SOURCE[1200:] + b".\r\n")
    assert client.say("NOOP").startswith("250")
    [transaction] = lab.ledger.transactions
    assert (transaction.accepted, transaction.reply_sent) == (False, "552 5.3.4 too much")


def test_a_body_can_be_read_late(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at body 1000: late 0.3")
    client = dialogue(lab.port).greeted()
    began = time.monotonic()
    assert client.message(SOURCE).startswith("250")
    assert time.monotonic() - began >= 0.3
    assert lab.ledger.accepted[0].source == SOURCE


def test_a_black_hole_in_a_body_stalls_the_writing(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    client = dialogue(fault_lab("at body 1: black-hole").port).greeted()
    client.begin(BOB)
    client.say("DATA")
    client.socket.settimeout(0.3)
    body = (b"x" * 998 + b"\r\n") * 30_000  # more than the kernel's buffers hold
    with pytest.raises(TimeoutError):
        client.send(body)


def test_no_chunk_is_accepted_after_a_rejected_one(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("offer CHUNKING, PIPELINING\nat bdat 1: 452 4.3.1 no room")
    client = dialogue(lab.port).greeted()
    client.begin(BOB)
    client.send(b"BDAT 2\r\nhiBDAT 2 LAST\r\nhi")
    assert [client.reply()[:3] for _ in range(2)] == ["452", "503"]
    assert lab.ledger.accepted == []


# After the message


def test_an_idle_connection_can_get_a_421(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at idle of message 2: late 0.05 421 4.4.2 idle").port).greeted()
    client.message(SOURCE)
    assert client.is_silent()
    client.message(SOURCE)
    assert client.reply() == "421 4.4.2 idle"
    assert client.receive() == b""


def test_quit_can_get_no_reply(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at quit: no-reply").port).greeted()
    client.send(b"QUIT\r\n")
    assert client.is_silent()


def test_the_complete_session_is_recorded(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at mail: 451 4.3.0 no")
    client = dialogue(lab.port).greeted()
    client.say("MAIL FROM:<a@b.org>")
    client.socket.close()
    assert over(lab)
    text = lab.ledger.text()
    assert text.startswith("session 1\n")
    assert "C  MAIL FROM:<a@b.org>\n" in text
    assert "S  451 4.3.0 no\n" in text
    assert text.endswith("-  closed")

"""TLS at the lab: good and bad certificates, bad handshakes, bytes that were slipped in."""

import smtplib
import ssl

import pytest

from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.integration.testing.conftest import OpenDialogue
from tests.integration.testing.dialogue import Dialogue

STARTTLS = "offer PIPELINING, STARTTLS\n"


def context(lab: FaultLab) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=lab.ca_file)


def test_starttls_works_and_may_change_the_capabilities(fault_lab: StartLab) -> None:
    lab = fault_lab(f"{STARTTLS}offer after starttls AUTH PLAIN, SIZE 1000")
    with smtplib.SMTP("localhost", lab.port) as client:
        client.ehlo()
        assert set(client.esmtp_features) == {"pipelining", "starttls"}
        client.starttls(context=context(lab))
        client.ehlo()
        assert set(client.esmtp_features) == {"auth", "size"}
        client.login("anyone", "anything")
        client.sendmail("a@example.org", ["b@example.org"], b"Subject: x\r\n\r\nhi\r\n")
    assert len(lab.ledger.accepted) == 1


def test_ehlo_is_required_again_under_tls(fault_lab: StartLab) -> None:
    lab = fault_lab(STARTTLS)
    with smtplib.SMTP("localhost", lab.port) as client:
        client.ehlo()
        client.starttls(context=context(lab))
        assert client.docmd("MAIL FROM:<a@example.org>")[0] == 503


def test_tls_can_start_at_once(fault_lab: StartLab) -> None:
    lab = fault_lab("tls at once")
    with smtplib.SMTP_SSL("localhost", lab.port, context=context(lab)) as client:
        client.sendmail("a@example.org", ["b@example.org"], b"Subject: x\r\n\r\nhi\r\n")
    assert len(lab.ledger.accepted) == 1
    assert lab.ledger.violations == []


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("expired-certificate", "expired"),
        ("wrong-name-certificate", "not valid for 'localhost'"),
        ("untrusted-certificate", "self-signed"),
    ],
)
def test_each_bad_certificate_fails_for_its_own_reason(
    fault_lab: StartLab, scenario: str, said: str
) -> None:
    lab = fault_lab(scenario)
    with smtplib.SMTP("localhost", lab.port) as client:
        client.ehlo()
        with pytest.raises(ssl.SSLCertVerificationError, match=said):
            client.starttls(context=context(lab))
    lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)


def test_a_reply_can_be_injected_after_starttls(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    client = dialogue(fault_lab("starttls-injection").port).greeted()
    client.send(b"STARTTLS\r\n")
    assert client.receive() == b"220 2.0.0 Go ahead\r\n250 2.0.0 Injected\r\n"


def test_input_injected_by_a_client_is_discarded_and_recorded(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab(STARTTLS)
    client = dialogue(lab.port).greeted()
    client.send(b"STARTTLS\r\nRSET\r\n")
    assert client.reply().startswith("220")
    tls = context(lab).wrap_socket(client.socket, server_hostname="localhost")
    tls.sendall(b"NOOP\r\n")
    assert tls.recv(999).startswith(b"250 2.0.0 Ok\r\n")
    assert lab.ledger.sessions[0].commands[-1] == "NOOP"
    assert "RSET" not in lab.ledger.commands
    assert lab.ledger.violations == ["1: it sent more after STARTTLS before the reply"]
    tls.close()


@pytest.mark.parametrize("action", ["close", "reset", "garbage", "454 4.7.0 no"])
def test_a_handshake_can_fail(fault_lab: StartLab, dialogue: OpenDialogue, action: str) -> None:
    lab = fault_lab(f"{STARTTLS}at tls: {action}")
    client = dialogue(lab.port).greeted()
    client.send(b"STARTTLS\r\n")
    assert client.reply().startswith("220")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(client, lab)


def test_a_handshake_can_hang(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab(f"{STARTTLS}at tls: black-hole")
    client = dialogue(lab.port).greeted()
    assert client.say("STARTTLS").startswith("220")
    client.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        handshake(client, lab)


def handshake(client: Dialogue, lab: FaultLab) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(lab).wrap_bio(incoming, outgoing, server_hostname="localhost")
    while True:
        try:
            return tls.do_handshake()
        except ssl.SSLWantReadError:
            client.send(outgoing.read())
            if data := client.receive():
                incoming.write(data)
            else:
                incoming.write_eof()


def test_a_handshake_can_be_late(fault_lab: StartLab) -> None:
    lab = fault_lab(f"{STARTTLS}at tls: late 0.2\nat starttls: late 0.1")
    with smtplib.SMTP("localhost", lab.port, timeout=5) as client:
        client.ehlo()
        assert client.starttls(context=context(lab))[0] == 220
        assert client.ehlo()[0] == 250

"""What can happen before the greeting, and which connection it happens to."""

import socket

import pytest

from outbox.testing.pytest_plugin import StartLab
from tests.integration.testing.conftest import OpenDialogue


def test_a_refused_port_is_closed_and_stays_reserved(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("at connect: refuse")
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            dialogue(lab.port)
    lab.play("")
    assert dialogue(lab.port).reply().startswith("220")


def test_a_port_can_close_after_the_first_connection(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("on connection 2: at connect: refuse")
    dialogue(lab.port).greeted()
    with pytest.raises(ConnectionRefusedError):
        dialogue(lab.port)


def test_a_black_hole_does_not_even_connect(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at connect: black-hole")
    with socket.socket() as client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.connect((lab.host, lab.port))
    lab.play("")
    assert dialogue(lab.port).reply().startswith("220")


def test_a_connection_can_be_closed_at_once(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    client = dialogue(fault_lab("at connect: close").port)
    assert client.receive() == b""


def test_a_connection_can_be_reset_at_once(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("at connect: reset")
    with pytest.raises(ConnectionResetError):  # from connect or from reading, as it falls
        dialogue(lab.port).receive()
    lab.ledger.wait_for(lambda ledger: bool(ledger.sessions) and ledger.sessions[0].over)


def test_a_rule_can_be_limited_to_connections(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("on connection 2-3: at greeting: 421 4.3.2 busy")
    greetings = [dialogue(lab.port).reply()[:3] for _ in range(4)]
    assert greetings == ["220", "421", "421", "220"]


def test_another_scenario_counts_from_one_again(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("on connection 1: at greeting: 421 a")
    first = [dialogue(lab.port).reply()[:3] for _ in range(2)]
    lab.play("on connection 1: at greeting: 554 b")
    assert first + [dialogue(lab.port).reply()[:3] for _ in range(2)] == [
        "421",
        "220",
        "554",
        "220",
    ]


def test_sending_before_the_greeting_is_recorded(
    fault_lab: StartLab, dialogue: OpenDialogue
) -> None:
    lab = fault_lab("at greeting: late 0.2")
    client = dialogue(lab.port)
    client.send(b"EHLO early.example\r\n")
    assert client.reply().startswith("220")
    assert client.reply().startswith("250")
    assert lab.ledger.violations == ["1: it sent data before the greeting"]


def test_the_peak_of_connections_is_counted(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("")
    for _ in range(3):
        dialogue(lab.port).greeted()
    assert lab.ledger.peak == 3


def test_nothing_listens_after_the_lab(fault_lab: StartLab, dialogue: OpenDialogue) -> None:
    lab = fault_lab("")
    client = dialogue(lab.port).greeted()
    lab.__exit__(None, None, None)
    assert client.receive() == b""
    with pytest.raises(ConnectionRefusedError):
        dialogue(lab.port)

"""The scenarios that come with the package do to a client what they say; smtplib is the client."""

import smtplib

import pytest

from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab

SOURCE = b"Message-ID: <1@example.org>\r\nSubject: x\r\n\r\nhi\r\n"
PEOPLE = [f"{name}@example.net" for name in ("ann", "bob", "cleo", "dan", "full")]


def send(lab: FaultLab, *recipients: str, source: bytes = SOURCE) -> dict[str, int]:
    """Send one message on a connection of its own; return the codes of those who were refused."""
    with smtplib.SMTP("127.0.0.1", lab.port, timeout=5) as client:
        refused = client.sendmail("alice@example.org", recipients or PEOPLE[:1], source)
    return {address: code for address, (code, _) in refused.items()}


def test_greylisting_takes_the_second_try(fault_lab: StartLab) -> None:
    lab = fault_lab("greylisting")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
        send(lab, PEOPLE[0])
    assert error.value.recipients[PEOPLE[0]][0] == 451
    assert send(lab, PEOPLE[0], PEOPLE[1]) == {PEOPLE[1]: 451}
    assert send(lab, PEOPLE[1]) == {}


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("overquota", {PEOPLE[4]: 452}),
        ("too-many-recipients", {PEOPLE[3]: 452, PEOPLE[4]: 452}),
        ("too-many-recipients-552", {PEOPLE[3]: 552, PEOPLE[4]: 552}),
        ("one-unknown-recipient", {PEOPLE[1]: 550}),
        ("seven-bit", {}),
        ("old-server", {}),
        ("slow-greeting", {}),
    ],
)
def test_the_others_get_the_mail(fault_lab: StartLab, name: str, refused: dict[str, int]) -> None:
    lab = fault_lab(name)
    assert send(lab, *PEOPLE) == refused
    assert lab.ledger.accepted[0].recipients == [each for each in PEOPLE if each not in refused]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("refused-as-spam", smtplib.SMTPDataError),
        ("data-in-spite-of-all", smtplib.SMTPRecipientsRefused),
        ("no-service", smtplib.SMTPConnectError),
        ("hostile-text", smtplib.SMTPRecipientsRefused),
        ("answer-lost", OSError),
        ("not-mail-at-all", (smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected)),
    ],
)
def test_the_mail_is_not_known_to_be_taken(
    fault_lab: StartLab, name: str, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    lab = fault_lab(name)
    with pytest.raises(error):
        send(lab)
    assert not [each for each in lab.ledger.accepted if each.said]


def test_what_was_lost_is_the_answer_and_not_the_mail(fault_lab: StartLab) -> None:
    lab = fault_lab("answer-lost")
    with pytest.raises(OSError, match=r".*"):
        send(lab)
    lab.ledger.wait_for(lambda ledger: ledger.copies("<1@example.org>", PEOPLE[0]) == 1)
    send(lab)
    assert lab.ledger.copies("<1@example.org>", PEOPLE[0]) == 2  # a copy that nobody wanted


def test_a_busy_server_takes_the_third_connection(fault_lab: StartLab) -> None:
    lab = fault_lab("too-busy")
    for _ in range(2):
        with pytest.raises(smtplib.SMTPConnectError):
            send(lab)
    assert send(lab) == {}


def test_the_second_message_of_a_connection_is_turned_away(fault_lab: StartLab) -> None:
    lab = fault_lab("one-message-each")
    with smtplib.SMTP("127.0.0.1", lab.port, timeout=5) as client:
        client.sendmail("alice@example.org", PEOPLE[0], SOURCE)
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("alice@example.org", PEOPLE[0], SOURCE)


def test_a_limit_is_kept_to(fault_lab: StartLab) -> None:
    lab = fault_lab("small-limit")
    with pytest.raises(smtplib.SMTPSenderRefused):
        send(lab, source=SOURCE + b"x\r\n" * 4000)


@pytest.mark.parametrize(("name", "code"), [("wrong-password", 535), ("login-down", 454)])
def test_a_login_fails(fault_lab: StartLab, name: str, code: int) -> None:
    with smtplib.SMTP("127.0.0.1", fault_lab(name).port, timeout=5) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as error:
            client.login("me", "secret")
        assert error.value.smtp_code == code


def test_an_idle_connection_is_ended(fault_lab: StartLab) -> None:
    lab = fault_lab("idle-421")
    with smtplib.SMTP("127.0.0.1", lab.port, timeout=5) as client:
        client.sendmail("alice@example.org", PEOPLE[0], SOURCE)
        lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
        assert client.noop()[0] == 421


def test_an_answer_can_come_half_a_minute_late(fault_lab: StartLab) -> None:
    lab = fault_lab("answer-late")
    gone = pytest.raises(smtplib.SMTPServerDisconnected, match="timed out")
    with smtplib.SMTP("127.0.0.1", lab.port, timeout=0.3) as client, gone:
        client.sendmail("alice@example.org", PEOPLE[0], SOURCE)
    assert lab.ledger.copies("<1@example.org>", PEOPLE[0]) == 1

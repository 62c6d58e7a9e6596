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


def test_greylisting_accepts_the_second_attempt(fault_lab: StartLab) -> None:
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
def test_the_other_recipients_get_the_message(
    fault_lab: StartLab, name: str, refused: dict[str, int]
) -> None:
    lab = fault_lab(name)
    assert send(lab, *PEOPLE) == refused
    assert lab.ledger.accepted[0].recipients == [each for each in PEOPLE if each not in refused]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("refused-as-spam", smtplib.SMTPDataError),
        ("data-without-recipients", smtplib.SMTPRecipientsRefused),
        ("no-service", smtplib.SMTPConnectError),
        ("hostile-text", smtplib.SMTPRecipientsRefused),
        ("reply-lost", OSError),
        ("not-mail-at-all", (smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected)),
    ],
)
def test_the_message_is_not_known_to_be_accepted(
    fault_lab: StartLab, name: str, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    lab = fault_lab(name)
    with pytest.raises(error):
        send(lab)
    assert not [each for each in lab.ledger.accepted if each.reply_sent]


def test_the_reply_is_lost_and_not_the_message(fault_lab: StartLab) -> None:
    lab = fault_lab("reply-lost")
    with pytest.raises(OSError, match=r".*"):
        send(lab)
    lab.ledger.wait_for(lambda ledger: ledger.copies("<1@example.org>", PEOPLE[0]) == 1)
    send(lab)
    assert lab.ledger.copies("<1@example.org>", PEOPLE[0]) == 2  # an unwanted copy


def test_a_busy_server_accepts_the_third_connection(fault_lab: StartLab) -> None:
    lab = fault_lab("too-busy")
    for _ in range(2):
        with pytest.raises(smtplib.SMTPConnectError):
            send(lab)
    assert send(lab) == {}


def test_the_second_message_of_a_connection_is_rejected(fault_lab: StartLab) -> None:
    lab = fault_lab("one-message-each")
    with smtplib.SMTP("127.0.0.1", lab.port, timeout=5) as client:
        client.sendmail("alice@example.org", PEOPLE[0], SOURCE)
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("alice@example.org", PEOPLE[0], SOURCE)


def test_a_size_limit_is_enforced(fault_lab: StartLab) -> None:
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


def test_a_reply_can_come_half_a_minute_late(fault_lab: StartLab) -> None:
    lab = fault_lab("reply-late")
    gone = pytest.raises(smtplib.SMTPServerDisconnected, match="timed out")
    with smtplib.SMTP("127.0.0.1", lab.port, timeout=0.3) as client, gone:
        client.sendmail("alice@example.org", PEOPLE[0], SOURCE)
    assert lab.ledger.copies("<1@example.org>", PEOPLE[0]) == 1

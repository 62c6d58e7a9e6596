"""Servers that deviate from the RFCs: what they say is read as they mean it, or safely not."""

import pytest
from django.conf import LazySettings
from django.utils import timezone

from outbox.models import Account, Circuit, Destination, Recipient, SmtpSession, State
from outbox.reasons import ReasonCode
from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    BOB,
    account_at,
    deliver,
    destination,
    queue,
    queue_many,
    row,
    states,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

EVE = "eve@example.net"
MODES = {
    "step by step": "offer SIZE 35882577",
    "pipelined": "offer PIPELINING, SIZE 35882577",
    "chunks": "offer PIPELINING, SIZE 35882577, CHUNKING",
}
IN_EACH_MODE = pytest.mark.parametrize("offer", MODES.values(), ids=MODES)


def account_with_login(lab: FaultLab) -> Account:
    sender = account_at(lab, username="ann")
    sender.secret = "secret"
    sender.save()
    return sender


def circuit() -> str:
    return Destination.objects.get().circuit


def accepted(lab: FaultLab) -> list[str]:
    """Return the recipients of the accepted messages, each once."""
    found = [address for taken in lab.ledger.accepted for address in taken.recipients]
    assert len(found) == len(set(found))
    return found


@IN_EACH_MODE
@pytest.mark.parametrize(
    "refusal",
    [
        "at mail of message 2: 421 4.4.2 Idle too long",
        "at mail of message 2: 421 Too many messages in this connection",
        "at mail of message 2: 451 4.4.2 Timeout, closing the session",
        "at mail of message 2: 450 Too many messages in this session",
        "at mail of message 2: 452 Message limit per session",
        "at mail of message 2: 432 4.3.2 Concurrent connections limit exceeded",
        "at mail of message 2: 451 4.3.2 Not accepting messages",
        "at mail of message 2: 503 5.5.1 EHLO first",
        "at mail of message 2: 451 4.5.1 Session expired",
        "at mail of message 2: close",
    ],
)
def test_a_reused_session_that_is_rejected_is_followed_by_a_new_one(
    fault_lab: StartLab, offer: str, refusal: str
) -> None:
    """Protocol items 90 and 94: no attempt is counted. The first session rejects, then no other."""
    if refusal.endswith(": close") and "CHUNKING" in offer:
        pytest.skip("the message went with its envelope: whether it arrived is not known")
    lab = fault_lab(f"{offer}\non connection 1: {refusal}")
    queue_many(account_at(lab, max_connections=1), 3)
    deliver()
    assert states() == [State.SENT] * 3
    assert len(accepted(lab)) == 3
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {1}
    assert len(lab.ledger.sessions) == 2
    assert circuit() == Circuit.CLOSED


@IN_EACH_MODE
def test_a_rejected_rset_is_followed_by_a_new_session(fault_lab: StartLab, offer: str) -> None:
    lab = fault_lab(
        f"{offer}\non connection 1: at rcpt of message 1: 550 5.1.1 No\nat rset: 502 What?"
    )
    queue_many(account_at(lab, max_connections=1), 3)
    deliver()
    assert sorted(states()) == [State.FAILED, State.SENT, State.SENT]
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {1}
    assert len(lab.ledger.sessions) == 2


@IN_EACH_MODE
def test_a_server_with_one_message_per_session_gets_each_without_a_wait(
    fault_lab: StartLab, offer: str
) -> None:
    """Each session brings one message forward, so this ends."""
    lab = fault_lab(f"{offer}\nat mail of message 2+: 450 4.7.0 Too many messages in this session")
    queue_many(account_at(lab, max_connections=1), 4)
    deliver()
    assert states() == [State.SENT] * 4
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {1}
    assert len(lab.ledger.sessions) == 4


@pytest.mark.parametrize(
    "reply", ["450 Too many messages in this session", "432 4.3.2 Too many connections"]
)
def test_a_new_session_that_is_rejected_costs_an_attempt(fault_lab: StartLab, reply: str) -> None:
    """Otherwise a server that always rejects would be tried without a pause."""
    lab = fault_lab(f"at mail: {reply}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.DEFERRED]
    assert row(message).attempts == 1
    assert len(lab.ledger.sessions) == 1


@pytest.mark.parametrize("stage", ["auth", "mail", "greeting", "ehlo"])
@pytest.mark.parametrize("code", ["432", "451", "454"])
def test_too_many_connections_is_not_a_rejected_login(
    fault_lab: StartLab, stage: str, code: str
) -> None:
    lab = fault_lab(
        "offer PIPELINING, AUTH PLAIN LOGIN\n"
        f"at {stage}: {code} 4.3.2 Concurrent connections limit exceeded"
    )
    sender = account_with_login(lab)
    message = queue(sender)
    deliver()
    assert states(message) == [State.DEFERRED]
    found = destination(sender)
    assert (found.circuit, found.circuit_needs_person) == (Circuit.CLOSED, False)


@pytest.mark.parametrize(
    "rejection",
    ["500", "502 What?", "503 5.5.1 No", "504 5.5.4 Unknown", "534 5.7.9 Too weak", "538"],
)
def test_a_message_is_sent_with_another_login_mechanism(
    fault_lab: StartLab, rejection: str
) -> None:
    """Protocol item 43."""
    lab = fault_lab(
        "offer PIPELINING, AUTH PLAIN LOGIN CRAM-MD5\nlogin ann secret\n"
        f"reject AUTH PLAIN: {rejection}\nreject AUTH LOGIN: {rejection}"
    )
    message = queue(account_with_login(lab))
    deliver()
    assert states(message) == [State.SENT]
    assert SmtpSession.objects.get().auth_mechanism == "CRAM-MD5"


@pytest.mark.parametrize(
    "action",
    [
        r'send "250-Hi\r\n250-SIZE\r\n250-\r\n250-auth=LOGIN PLAIN\r\n250-size 3.5e7\r\n250 \r\n"',
        r'send "250-Hi\n250-PIPELINING\n250 8BITMIME\n"',
        r'send "250-Hi\r\r\n250-SIZE=35882577\r\r\n250\tDSN\r\r\n"',
        r'send "250-Hi\xff\x00\r\n250-\xe9\xe8 x\r\n250-SIZE\t0\r\n250 SIZE 99999999999999999\r\n"',
        r'send "250\r\n"',
        r'send "250-Hi\r\n250-SIZE 1\r\n250-SIZE 35882577\r\n250 OK\r\n"',
        r'send "\r\n250 Hi\r\n"',
        r'send "250-Hi\r\n251-PIPELINING\r\n250 OK\r\n"',
        r'send "500 What?\r\n"',
        r'send "550 What?\r\n"',
        r'send "502\r\n"',
        r'send "501-No\r\n501 No\r\n"',
    ],
)
def test_a_message_follows_whatever_ehlo_replies(fault_lab: StartLab, action: str) -> None:
    """Protocol items 24, 26 and 48. The lab does not execute what it sends raw."""
    lab = fault_lab(f"offer SIZE, 8BITMIME, DSN\nat ehlo: {action}")
    queue(account_at(lab))
    deliver()
    assert [line for line in lab.ledger.commands if line.startswith(("HELO", "MAIL"))]


@pytest.mark.parametrize(
    "greeting",
    [
        r'send "220-Hi\r\n220-No spam\r\n220 \r\n"',
        r'send "220\r\n"',
        r'send "220 \xff\x00\x1b[31m\r\n"',
        r'send "220-a\n220 b\n"',
        r'send "\r\n220 ****************\r\n"',
        r'send "220\tHi\r\r\n"',
        "250 Hi",
    ],
)
def test_a_message_is_sent_whatever_the_greeting_is(fault_lab: StartLab, greeting: str) -> None:
    """Protocol items 21 and 84."""
    lab = fault_lab(f"at greeting: {greeting}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.SENT]


@IN_EACH_MODE
@pytest.mark.parametrize(
    "reply",
    [
        "250",
        "250 ",
        "251 User not local; will forward",
        "252 Cannot verify",
        "299 Whatever",
        "250-\\n",
        "250 Ok\\n\\n2.0.0 Done",
    ],
)
def test_a_positive_reply_is_read_in_any_form(fault_lab: StartLab, offer: str, reply: str) -> None:
    """Protocol items 53 and 81."""
    end = "bdat" if "CHUNKING" in offer else "dot"
    rules = "\n".join(f"at {stage}: {reply}" for stage in ("greeting", "mail", "rcpt", "rset", end))
    lab = fault_lab(f"{offer}\nat rcpt of message 1: 550 No\n{rules}")
    queue_many(account_at(lab, max_connections=1), 2)
    deliver()
    assert states() == [State.FAILED, State.SENT]
    assert len(lab.ledger.sessions) == 1


@IN_EACH_MODE
@pytest.mark.parametrize(
    "reply", ["354 What?", "350 More", r'send "150 Wait\r\n"', r'send "250-a\r\n550 b\r\n"']
)
@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_nothing_is_sent_after_a_reply_that_does_not_fit(
    fault_lab: StartLab, offer: str, stage: str, reply: str
) -> None:
    """Protocol items 82 and 87."""
    lab = fault_lab(f"{offer}\nat {stage}: {reply}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.DEFERRED]
    assert accepted(lab) == []
    assert circuit() == Circuit.CLOSED


@pytest.mark.parametrize("offer", [MODES["step by step"], MODES["pipelined"]])
@pytest.mark.parametrize("reply", ["250 Ok", "350 Go", r'send "354-a\r\n250 b\r\n"'])
def test_a_message_is_not_sent_without_a_354(fault_lab: StartLab, offer: str, reply: str) -> None:
    """Protocol item 63."""
    lab = fault_lab(f"{offer}\nat data: {reply}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.DEFERRED]
    assert accepted(lab) == []


@pytest.mark.parametrize("offer", [MODES["step by step"], MODES["pipelined"]])
@pytest.mark.parametrize("reply", ["354", "354 ", "354 Go\\n\\nahead"])
def test_any_354_permits_the_message(fault_lab: StartLab, offer: str, reply: str) -> None:
    """Protocol item 63."""
    lab = fault_lab(f"{offer}\nat data: {reply}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.SENT]


@IN_EACH_MODE
@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("250", State.SENT),
        ("250 \\n2.0.0 Ok", State.SENT),
        ("251 Forwarded", State.SENT),
        ("550", State.FAILED),
        ("550 #5.7.1 Spam", State.FAILED),
        (r'send "550-5.7.1 Spam\r\n554 5.7.1 Spam\r\n"', State.FAILED),
        (r'send "554 Spam\n"', State.FAILED),
        (r'send "554 \x00\xff\x1b\r\n"', State.FAILED),
        ("450", State.DEFERRED),
        (r'send "451-4.3.0 Later\r\n"', State.UNCERTAIN),  # the last line never comes
        ("354 What?", State.UNCERTAIN),
        (r'send "hello\r\n"', State.UNCERTAIN),
        (r'send "250-Ok\r\n550 No\r\n"', State.UNCERTAIN),
        (r'send "2"', State.UNCERTAIN),
    ],
)
def test_a_reply_to_the_message_decides_or_leaves_it_uncertain(
    fault_lab: StartLab, settings: LazySettings, offer: str, reply: str, state: State
) -> None:
    """Protocol item 96."""
    if state == State.UNCERTAIN:
        settings.OUTBOX = settings.OUTBOX | {"DOT_TIMEOUT": 0.5}
    stage = "bdat" if "CHUNKING" in offer else "dot"
    lab = fault_lab(f"{offer}\nat {stage}: {reply}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [state]
    assert Recipient.objects.get().attempts == 1


@pytest.mark.parametrize("ending", ["close", "reset", "221", 'send ""', "500 What?", "421 Bye"])
def test_nothing_depends_on_the_reply_to_quit(
    fault_lab: StartLab, settings: LazySettings, ending: str
) -> None:
    """Protocol item 92."""
    settings.OUTBOX = settings.OUTBOX | {"QUIT_TIMEOUT": 0.5}
    lab = fault_lab(f"at quit: {ending}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.SENT]
    assert SmtpSession.objects.get().ended_at is not None


@IN_EACH_MODE
@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_a_421_that_comes_with_another_reply_ends_the_session(
    fault_lab: StartLab, offer: str, stage: str
) -> None:
    """Protocol item 89."""
    lab = fault_lab(f"{offer}\non connection 1: at {stage}: extra 421 4.3.2 Shutting down")
    message = queue(account_at(lab), BOB, EVE)
    deliver()
    assert set(states(message)) <= {State.SENT, State.DEFERRED, State.QUEUED}
    assert accepted(lab) in ([], [BOB, EVE])


def test_starttls_that_is_not_available_for_now_needs_no_person(fault_lab: StartLab) -> None:
    lab = fault_lab("offer STARTTLS\nat starttls: 454 4.7.0 TLS not available")
    sender = account_at(lab, security="starttls")
    message = queue(sender)
    deliver()
    assert states(message) == [State.DEFERRED]
    assert row(message).reason.code == ReasonCode.STARTTLS_REJECTED
    found = destination(sender)
    assert (found.circuit, found.circuit_needs_person) == (Circuit.CLOSED, False)


def test_a_hint_at_the_greeting_delays_the_next_connection(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """Protocol item 111: within the longest pause of a circuit."""
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_PAUSE_MAX": 400}
    for hint, seconds in (("180 seconds", 180), ("2 hours", 400)):
        lab = fault_lab(f"at greeting: 421 4.7.0 Too many connections, try again in {hint}")
        message = queue(account_at(lab))
        deliver()
        recipient = row(message)
        assert recipient.next_attempt_at is not None
        wait = (recipient.next_attempt_at - timezone.now()).total_seconds()
        assert seconds - 60 < wait <= seconds

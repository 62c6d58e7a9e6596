"""An extension that a server announces and then rejects is left out, and remembered."""

import datetime as dt
import json

import pytest
from django.conf import LazySettings

from outbox.delivery import server_memory
from outbox.delivery.server_memory import ServerMemory
from outbox.models import Account, Attempt, Circuit, Destination, Message, State
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Restrictions
from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    BOB,
    account_at,
    deliver,
    destination,
    last_attempt,
    queue,
    queue_many,
    row,
    states,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

ALL = "offer PIPELINING, SIZE 35882577, 8BITMIME, SMTPUTF8, DSN"
EIGHT_BIT = (
    b"Message-ID: <8@example.org>\r\nFrom: alice@example.org\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + "grüße\r\n".encode()
)
REPLIES = (
    "501 5.5.4 Unsupported option",
    "504 5.5.4 Command parameter not implemented",
    "555 5.5.4 Unsupported option",
    "500 5.5.2 Syntax error",
    "550 5.5.4 Bad parameter",
    "555",
    "501 Syntax error",
    "504",
)


def mail_lines(lab: FaultLab) -> list[str]:
    return [line for line in lab.ledger.commands if line.startswith("MAIL")]


def notes(message: Message) -> list[Reason]:
    """Return what the client noted in the conversation of the last attempt."""
    lines = last_attempt(message).transfer_lines
    return [Reason.load(str(text)) for _, speaker, text in lines if speaker == "-"]


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("offer", [ALL, ALL.replace("PIPELINING, ", "")], ids=["", "step by step"])
def test_size_is_left_out_in_the_same_attempt(fault_lab: StartLab, offer: str, reply: str) -> None:
    lab = fault_lab(f"{offer}\nreject SIZE: {reply}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.SENT]
    assert mail_lines(lab)[-1] == "MAIL FROM:<alice@example.org>"
    assert len(lab.ledger.sessions) == Attempt.objects.count() == row(message).attempts == 1
    assert lab.ledger.violations == []
    assert notes(message) == [Reason(ReasonCode.EXTENSION_REJECTED, extension="SIZE")]


def test_it_is_remembered_by_the_session_and_by_later_workers(fault_lab: StartLab) -> None:
    lab = fault_lab(f"{ALL}\nreject SIZE: 555 5.5.4 Unsupported option: SIZE")
    sender = account_at(lab, max_connections=1)
    queue_many(sender, 3)
    deliver()
    queue_many(sender, 2)
    deliver()
    assert states() == [State.SENT] * 5
    assert len(lab.ledger.sessions) == 2
    assert [("SIZE=" in mail) for mail in mail_lines(lab)] == [True] + [False] * 5


def test_a_repaired_server_that_announces_something_else_is_used_fully(
    fault_lab: StartLab,
) -> None:
    lab = fault_lab(f"{ALL}\nreject SIZE: 555 5.5.4 Unsupported option: SIZE")
    sender = account_at(lab)
    queue(sender)
    deliver()
    lab.play(f"{ALL}, CHUNKING")
    queue(sender)
    deliver()
    assert states() == [State.SENT] * 2
    assert "SIZE=" in mail_lines(lab)[-1]


def test_a_restriction_expires(fault_lab: StartLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may be repaired without a visible change."""
    monkeypatch.setattr(server_memory, "_REMEMBERED_FOR", dt.timedelta(seconds=-1))
    lab = fault_lab(f"{ALL}\nreject SIZE: 555 5.5.4 Unsupported option: SIZE")
    sender = account_at(lab)
    for _ in range(2):
        queue(sender)
        deliver()
    assert [("SIZE=" in mail) for mail in mail_lines(lab)] == [True, False, True, False]


def test_another_host_of_the_account_is_used_fully(fault_lab: StartLab) -> None:
    old, new = (fault_lab(f"{ALL}\nreject SIZE: 555 5.5.4 SIZE"), fault_lab(ALL))
    sender = account_at(old)
    queue(sender)
    deliver()
    Account.objects.update(port=new.port)
    sender.refresh_from_db()
    queue(sender)
    deliver()
    assert "SIZE=" in mail_lines(new)[-1]


@pytest.mark.parametrize("reply", ["555 5.5.4 Unsupported option: BODY", "501 5.5.4 What?", "504"])
def test_a_message_is_encoded_in_seven_bits_where_8bitmime_is_rejected(
    fault_lab: StartLab, reply: str
) -> None:
    lab = fault_lab(f"{ALL}\nreject 8BITMIME: {reply}")
    message = queue(account_at(lab), source=EIGHT_BIT)
    deliver()
    assert states(message) == [State.SENT]
    [taken] = lab.ledger.accepted
    assert taken.source.isascii()
    assert "SIZE=" in mail_lines(lab)[-1]
    assert last_attempt(message).sent_sha256
    assert lab.ledger.violations == []


def test_two_extensions_may_be_rejected(fault_lab: StartLab) -> None:
    lab = fault_lab(f"{ALL}\nreject 8BITMIME: 555 5.5.4 What?\nreject SIZE: 555 5.5.4 What?")
    message = queue(account_at(lab), source=EIGHT_BIT, wants_report=True)
    deliver()
    assert states(message) == [State.SENT]
    assert len(mail_lines(lab)) <= 5


def test_a_rejected_address_is_not_taken_for_a_rejected_extension(fault_lab: StartLab) -> None:
    """The reply without the parameters decides, and nothing is remembered."""
    lab = fault_lab(f"{ALL}\nat mail: 501 Syntax error in address")
    message = queue(account_at(lab), source=EIGHT_BIT, wants_report=True)
    deliver()
    assert states(message) == [State.FAILED]
    assert row(message).reply_text == "Syntax error in address"
    assert len(mail_lines(lab)) == 5  # as it is, without each of three, without all of them
    assert Destination.objects.get().restrictions == ""


@pytest.mark.parametrize("reply", ["501 5.1.7 Bad sender", "550 5.7.1 Not you", "552 5.3.4 Big"])
def test_another_rejection_is_final_at_once(fault_lab: StartLab, reply: str) -> None:
    lab = fault_lab(f"{ALL}\nat mail: {reply}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.FAILED]
    assert len(mail_lines(lab)) == 1


def test_only_a_recipient_who_needs_smtputf8_fails_where_it_is_rejected(
    fault_lab: StartLab,
) -> None:
    lab = fault_lab(f"{ALL}\nreject SMTPUTF8: 555 5.5.4 Unsupported: SMTPUTF8")
    message = queue(account_at(lab), "jörg@example.net", BOB)
    deliver()
    assert states(message) == [State.FAILED, State.SENT]
    assert row(message, "jörg@example.net").reason.code == "smtputf8_recipient"
    assert lab.ledger.violations == []


def test_a_sender_who_needs_smtputf8_gets_the_server_s_reply(fault_lab: StartLab) -> None:
    """SMTPUTF8 is never left out where it is needed."""
    lab = fault_lab(f"{ALL}\nreject SMTPUTF8: 555 5.5.4 Unsupported: SMTPUTF8")
    message = queue(account_at(lab), envelope_sender="jörg@example.org")
    deliver()
    assert states(message) == [State.FAILED]
    assert row(message).reply_code == 555
    assert len(mail_lines(lab)) == 1


@pytest.mark.parametrize(
    "reply", ["555 5.5.4 Unsupported option: RET", "501 5.5.4 What?", "504 5.5.4 NOTIFY"]
)
@pytest.mark.parametrize("offer", [ALL, ALL.replace("PIPELINING, ", "")], ids=["", "step by step"])
def test_a_report_that_is_rejected_is_recorded_as_not_requested(
    fault_lab: StartLab, offer: str, reply: str
) -> None:
    lab = fault_lab(f"{offer}\nreject DSN: {reply}")
    message = queue(account_at(lab), wants_report=True)
    deliver()
    assert states(message) == [State.SENT]
    assert notes(message)[-2:] == [
        Reason(ReasonCode.EXTENSION_REJECTED, extension="DSN"),
        Reason(ReasonCode.REPORT_UNAVAILABLE),
    ]
    assert "SIZE=" in mail_lines(lab)[-1]


def test_a_report_that_a_server_does_not_offer_is_recorded_as_not_requested(
    fault_lab: StartLab,
) -> None:
    lab = fault_lab("offer PIPELINING")
    message = queue(account_at(lab), wants_report=True)
    deliver()
    assert notes(message) == [Reason(ReasonCode.REPORT_UNAVAILABLE)]


@pytest.mark.parametrize("offer", [ALL, ALL.replace("PIPELINING, ", "")], ids=["", "step by step"])
def test_rcpt_is_repeated_without_the_parameters_of_a_report(
    fault_lab: StartLab, offer: str
) -> None:
    """Some servers know RET and ENVID, and not NOTIFY."""
    lab = fault_lab(f"{offer}\nat rcpt of message 1: 555 5.5.4 Unsupported option: NOTIFY")
    message = queue(account_at(lab), BOB, "eve@example.net", wants_report=True)
    deliver()
    assert states(message) == [State.SENT] * 2
    assert not [line for line in lab.ledger.commands if "NOTIFY" in line][2:]
    assert {recipient.attempts for recipient in message.recipients.all()} == {1}


def test_an_address_that_is_rejected_beside_another_keeps_its_reply(fault_lab: StartLab) -> None:
    lab = fault_lab(f"{ALL}\nat rcpt <eve*>: 501 Bad address")
    message = queue(account_at(lab), BOB, "eve@example.net", wants_report=True)
    deliver()
    assert states(message) == [State.SENT, State.FAILED]
    assert Destination.objects.get().restrictions == ""


CHUNKED = f"{ALL}, CHUNKING"


@pytest.mark.parametrize(
    "reply", ["500 5.5.1 Unknown command", "502 5.5.1 Not implemented", "500", "504 what"]
)
@pytest.mark.parametrize("offer", [CHUNKED, "offer CHUNKING"], ids=["pipelined", "step by step"])
def test_data_is_used_where_bdat_is_rejected(fault_lab: StartLab, offer: str, reply: str) -> None:
    """The server reads the message as commands, so a new connection is needed."""
    lab = fault_lab(f"{offer}\nreject CHUNKING: {reply}")
    sender = account_at(lab)
    message = queue(sender)
    deliver()
    assert states(message) == [State.SENT]
    assert row(message).attempts == 1
    assert len(lab.ledger.sessions) == 2
    assert len(lab.ledger.accepted) == 1
    queue(sender)
    deliver()
    assert len(lab.ledger.sessions) == 3
    assert destination(sender).circuit == Circuit.CLOSED


def test_a_large_message_is_not_sent_in_chunks_either(fault_lab: StartLab) -> None:
    lab = fault_lab(f"{CHUNKED}\nreject CHUNKING: 502 5.5.1 Not implemented")
    source = EIGHT_BIT.partition(b"MIME")[0] + b"\r\n" + b"0123456789abcdef\r\n" * 200_000
    message = queue(account_at(lab), source=source)
    deliver()
    assert states(message) == [State.SENT]
    [taken] = lab.ledger.accepted
    assert taken.source == source


def test_a_lost_reply_to_bdat_stays_uncertain(fault_lab: StartLab) -> None:
    """Only a rejection makes a second copy impossible."""
    lab = fault_lab(f"{CHUNKED}\nat bdat: no-reply then close")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.UNCERTAIN]
    assert Destination.objects.get().restrictions == ""


@pytest.mark.parametrize(
    "rule",
    [
        "at rcpt: 503 5.5.0 Improper use of SMTP command pipelining",
        "at data: 554 SMTP synchronization error",
        "at mail: 421 4.7.0 Error: command pipelining is not allowed",
    ],
)
def test_commands_are_sent_one_by_one_where_pipelining_is_rejected(
    fault_lab: StartLab, rule: str
) -> None:
    lab = fault_lab(f"{ALL}\non connection 1: {rule}")
    message = queue(account_at(lab))
    deliver()
    assert states(message) == [State.SENT]
    assert (row(message).attempts, len(lab.ledger.sessions)) == (1, 2)
    restrictions = json.loads(Destination.objects.get().restrictions)
    assert [list(known) for known in restrictions.values()] == [["PIPELINING"]]


def test_a_server_that_loses_the_rest_of_a_group_gets_it_one_by_one(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """The attempt counts: the server may just have been slow."""
    settings.OUTBOX = settings.OUTBOX | {"COMMAND_TIMEOUT": 0.5}
    lab = fault_lab(f"{ALL}\non connection 1: at rcpt 2: black-hole")
    message = queue(account_at(lab), BOB, "eve@example.net")
    deliver()
    assert states(message) == [State.DEFERRED] * 2
    assert "PIPELINING" in Destination.objects.get().restrictions


@pytest.mark.parametrize(
    "reply",
    [
        "452 4.5.3 Too many recipients",
        "552 5.5.3 Too many recipients",
        "550 5.5.3 Too many recipients",
        "554 5.5.3 Too many recipients",
        "503 5.5.3 Too many recipients",
        "421 4.5.3 Too many recipients",
        "451 4.5.3 Too many recipients",
        "550 4.5.3 Of another class",
        "550 Too many recipients",
        "554 Recipient limit exceeded",
        "452 Maximum number of recipients reached",
        "550 5.7.1 Too many recipients",
        "450 #4.5.3 Enough",
    ],
)
@pytest.mark.parametrize("offer", [CHUNKED, "offer nothing"], ids=["pipelined", "step by step"])
def test_recipients_over_a_limit_follow_in_further_transactions(
    fault_lab: StartLab, offer: str, reply: str
) -> None:
    """Protocol item 56: none waits, and no attempt is counted for it."""
    lab = fault_lab(f"{offer}\nat rcpt 3+: {reply}")
    message = queue(account_at(lab), *[f"bob{number}@example.net" for number in range(5)])
    deliver()
    assert states(message) == [State.SENT] * 5
    assert {recipient.attempts for recipient in message.recipients.all()} == {1}
    assert [len(taken.recipients) for taken in lab.ledger.accepted] == [2, 2, 1]


@pytest.mark.parametrize("stage", ["data", "dot"])
def test_a_message_with_too_many_recipients_is_split(fault_lab: StartLab, stage: str) -> None:
    lab = fault_lab("at data: 554 5.5.3 Too many recipients" if stage == "data" else "")
    if stage == "dot":
        lab.play("at dot: 550 5.5.3 Too many recipients")
    message = queue(account_at(lab), *[f"bob{number}@example.net" for number in range(5)])
    deliver()
    assert states(message) == [State.FAILED] * 5  # a single one is too many, too
    tried = [len(line) for line in lab.ledger.commands if line.startswith("RCPT")]
    assert len(tried) <= 12


def test_a_server_that_announces_something_else_each_time_is_restricted_at_last() -> None:
    """Otherwise it would be relearned, and the message repeated, without end."""
    memory = ServerMemory(Destination(account=Account(host="far.test", port=25)))
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    words = ["AUTH", "DSN", "LIMITS", "SIZE", "SMTPUTF8", "STARTTLS", "8BITMIME", "PIPELINING"]
    learned = Restrictions(frozenset({"CHUNKING"}))
    rounds = 0
    for number in range(1 << len(words)):
        offered = {word: "" for place, word in enumerate(words) if number >> place & 1}
        rounds += memory.learn(offered, learned, now)
    assert rounds == 9


def test_what_is_stored_of_a_site_with_thousands_of_hosts_is_bounded() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    where = Destination(account=Account(host="", port=25))
    learned = Restrictions(frozenset({"CHUNKING"}))
    memories = [ServerMemory(where), ServerMemory(where)]

    for number in range(2_000):
        for position, memory in enumerate(memories):
            memory.learn({"CHUNKING": ""}, learned, now, f"mx{number}.{position}.test:25")
    for memory in memories:
        where.restrictions = memory.merged_into(where.restrictions, now)

    assert len(where.restrictions) < 10_000
    found = ServerMemory(where)
    assert found.restrictions({"CHUNKING": ""}, now, "mx1999.1.test:25") == learned  # the newest


def test_a_host_is_not_restricted_for_what_many_others_of_its_site_rejected() -> None:
    """The oldest entry is forgotten instead, also by other workers, and may be learned again."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    where = Destination(account=Account(host="", port=25))
    offered = {"SMTPUTF8": "", "SIZE": ""}
    learned = Restrictions(frozenset({"SMTPUTF8"}))
    memory = ServerMemory(where)

    for number in range(65):
        when = now + dt.timedelta(seconds=number)
        assert memory.learn(offered, learned, when, f"mx{number}.test:25")
        where.restrictions = memory.merged_into(where.restrictions, when)

    now = when
    for one in (memory, ServerMemory(where)):
        assert one.restrictions(offered, now, "other.test:25") == Restrictions()
        assert one.restrictions(offered, now, "mx0.test:25") == Restrictions()
        for number in range(1, 65):
            assert one.restrictions(offered, now, f"mx{number}.test:25") == learned
    assert memory.learn(offered, learned, now, "mx0.test:25")
    assert memory.restrictions(offered, now, "mx0.test:25") == learned


def test_each_host_of_a_site_has_servers_of_its_own() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    memory = ServerMemory(Destination(account=Account(host="", port=25)))
    learned = Restrictions(frozenset({"SIZE"}))

    for number in range(9):
        memory.learn({"SIZE": ""}, learned, now, f"mx{number}.test:25")

    assert memory.restrictions({"SIZE": "", "DSN": ""}, now, "mx8.test:25") == Restrictions()


def test_an_expired_entry_of_a_server_does_not_hide_that_of_its_host() -> None:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    hour = dt.timedelta(hours=1)
    stored = {
        "mx.test:25 *": {"CHUNKING": [(now + hour).timestamp(), 0]},
        "mx.test:25 SIZE": {"CHUNKING": [(now - hour).timestamp(), 0]},
    }
    where = Destination(account=Account(host="", port=25), restrictions=json.dumps(stored))
    found = ServerMemory(where).restrictions({"SIZE": ""}, now, "mx.test:25")
    assert found == Restrictions(frozenset({"CHUNKING"}))


def test_what_is_stored_survives_anything(fault_lab: StartLab) -> None:
    lab = fault_lab(ALL)
    sender = account_at(lab)
    destination(sender)
    for stored in ["nonsense", "[]", '{"a": 1}', '{"a": {"SIZE": null}}', '{"a": {"SIZE": [1]}}']:
        Destination.objects.update(restrictions=stored)
        queue(sender)
        deliver()
    assert set(states()) == {State.SENT}

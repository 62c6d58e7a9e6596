"""Each rule finds the message that a report is about, and moves no other recipient."""

import datetime as dt
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.inbound import candidates
from outbox.inbound.inspect import inspect
from outbox.inbound.inspection import Inspection, MessageKind, RecipientReport
from outbox.inbound.matching import match, match_notification
from outbox.inbound.storing import store_received
from outbox.mail.server_replies import Effect
from outbox.models import (
    Account,
    DiscardedFile,
    Event,
    EventKind,
    InboundMessage,
    InboundReport,
    InboundSource,
    MatchRule,
    Message,
    Recipient,
    State,
    Status,
)
from outbox.models.return_path import token_of, with_token
from tests.integration.inbound.returned import (
    ANN,
    BOB,
    UNKNOWN,
    USING,
    account,
    bounce,
    receive,
    reply,
    report_of,
    sent,
    states,
)

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]

RETURN_PATH = "bounces@example.org"
DATE = "Sun, 29 Nov 2026 10:00:00 +0000"


@pytest.fixture
def sender() -> Account:
    return account()


def token(message: Message) -> str:
    return token_of(message.pk, message.recipients.all()[0].attempts_at_retry)


def identified(rule: str, message: Message) -> dict[str, Any]:
    """Return what a bounce has that identifies the message by one rule alone."""
    queue_id = message.recipients.all()[0].remote_queue_id
    return {
        MatchRule.RETURN_PATH: {"to": with_token(RETURN_PATH, token(message))},
        MatchRule.QUEUE_ID: {
            "original": "Received: from client by mx.example.com (Postfix) with ESMTPSA id "
            f"{queue_id}\n\tfor <bob@example.net>; Sun, 29 Nov 2026 10:00:00 +0000\n"
        },
        MatchRule.WIRE_ID: {"message_id": queue_id},
        MatchRule.MESSAGE_ID: {"message_id": message.message_id},
        MatchRule.ENVELOPE_ID: {"envelope_id": token(message)},
    }[MatchRule(rule)]


RULES = ["return_path", "queue_id", "wire_id", "message_id", "envelope_id"]


@pytest.mark.parametrize("rule", RULES)
def test_a_bounce_moves_the_recipient(sender: Account, rule: str) -> None:
    queue_id = "AB1PR01.EURP190.PROD@x.prod.outlook.com" if rule == "wire_id" else "4F2A1B3C5D"
    message = sent(sender, queue_id=queue_id)
    other = sent(sender, queue_id="4F2A1B3C5E")
    received = receive(sender, bounce(**identified(rule, message)))
    assert (received.replies_to, received.matched_by) == (message, rule)
    assert states(message) == {BOB: State.BOUNCED}
    assert states(other) == {BOB: State.SENT}
    report = report_of(received)
    assert (report.matched_by, report.is_applied, report.effect) == (rule, True, "hard")
    assert report.rule
    recipient = message.recipients.get()
    # Both facts are kept.
    assert (recipient.reply_code, recipient.reply_text) == (250, "2.0.0 Ok: queued")
    message.refresh_from_db()
    assert (message.status, message.failed_count) == (Status.FAILED, 1)
    assert message.events.filter(kind=EventKind.BOUNCED, recipient=recipient).count() == 1


def test_the_microsoft_header_names_the_message(sender: Account) -> None:
    message = sent(sender)
    original = (
        "Message-ID: <AB1@x.prod.outlook.com>\n"
        f"X-Microsoft-Original-Message-ID: <{message.message_id}>\n"
    )
    receive(sender, bounce(original=original))
    assert states(message) == {BOB: State.BOUNCED}


def test_the_most_certain_rule_wins(sender: Account) -> None:
    signed, named = sent(sender), sent(sender)
    to = with_token(RETURN_PATH, token(signed))
    received = receive(sender, bounce(to=to, message_id=named.message_id))
    assert received.matched_by == MatchRule.RETURN_PATH
    assert (states(signed), states(named)) == ({BOB: State.BOUNCED}, {BOB: State.SENT})


@pytest.mark.parametrize("change", ["hash", "message", "retry", "text", "not ASCII"])
def test_a_forged_token_changes_nothing(sender: Account, change: str) -> None:
    message, other = sent(sender), sent(sender)
    genuine = token(message)
    forged = {
        "hash": f"{'a' * 11}{genuine[11:]}",
        "message": f"{genuine[:12]}{token(other)[12:]}",
        "retry": f"{genuine[:-1]}{'b' if genuine[-1] == 'a' else 'a'}",
        "text": "x" * 500,
        "not ASCII": f"\u017f{genuine[1:]}",  # its upper case is "S"
    }[change]
    received = receive(
        sender,
        bounce(to=with_token(RETURN_PATH, forged), envelope_id=forged, about="x@example.net"),
    )
    assert (received.replies_to, received.matched_by) == (None, "")
    assert states(message) == states(other) == {BOB: State.SENT}
    assert report_of(received).recipient is None


def test_a_token_is_valid_after_a_key_rotation(sender: Account, settings: Any) -> None:
    from cryptography.fernet import Fernet

    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [old]}
    message = sent(sender)
    to = with_token(RETURN_PATH, token(message)).upper()  # a server changed the case
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [new, old]}
    receive(sender, bounce(to=to))
    assert states(message) == {BOB: State.BOUNCED}
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": [new]}
    assert receive(sender, bounce(to=to, about="x@example.net")).replies_to is None


def test_an_id_that_anyone_can_guess_changes_nothing(sender: Account) -> None:
    message = sent(sender)
    receive(sender, bounce(envelope_id=f"outbox-{message.pk}", about="x@example.net"))
    assert states(message) == {BOB: State.SENT}


# --- reports of an attacker -----------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["queue_id", "message_id", "envelope_id", "return_path"])
def test_a_recipient_cannot_bounce_one_of_another_message(sender: Account, rule: str) -> None:
    mine = sent(sender, ANN, "carl@example.net", queue_id="4F2A1B3C5D")
    others = sent(sender, BOB)
    received = receive(sender, bounce(about=BOB, **identified(rule, mine)))
    assert states(others) == {BOB: State.SENT}
    assert set(states(mine).values()) == {State.SENT}
    assert received.replies_to == mine
    assert report_of(received).recipient is None


def test_an_address_alone_bounces_nothing(sender: Account) -> None:
    message = sent(sender)
    received = receive(sender, bounce(about=BOB, message_id="unknown@elsewhere.example"))
    assert states(message) == {BOB: State.SENT}
    report = report_of(received)
    assert (report.recipient, report.matched_by) == (message.recipients.get(), MatchRule.ADDRESS)
    assert not report.is_applied
    event = message.events.get(kind=EventKind.REPORTED)
    assert "Only its address matches" in str(event.reason)


def test_a_report_long_after_the_attempt_is_not_matched_by_its_address(sender: Account) -> None:
    message = sent(sender)
    recipient = message.recipients.get()
    assert recipient.last_attempt_at is not None
    message.recipients.update(last_attempt_at=recipient.last_attempt_at - dt.timedelta(days=8))
    received = receive(sender, bounce(message_id="unknown@elsewhere.example"))
    assert report_of(received).recipient is None


@pytest.mark.parametrize(
    ("after", "is_found"),
    [
        (dt.timedelta(milliseconds=900), True),  # in the same second
        (dt.timedelta(minutes=4), True),  # the clock of the mailbox's server is slow
        (dt.timedelta(minutes=6), False),
    ],
)
def test_the_time_of_a_report_has_whole_seconds(
    sender: Account, after: dt.timedelta, *, is_found: bool
) -> None:
    message = sent(sender)
    received = receive(sender, reply())
    message.recipients.update(last_attempt_at=received.received_at.replace(microsecond=0) + after)
    received.received_at = received.received_at.replace(microsecond=0)
    match(received, inspect(bounce(message_id="unknown@elsewhere.example")), USING)
    assert (report_of(received).recipient is not None) == is_found


def test_a_mailbox_serves_its_own_account_only(sender: Account) -> None:
    """A user enters another user's address, and fetches a crafted bounce."""
    user = get_user_model().objects.create_user("eve")
    message = sent(sender, queue_id="4F2A1B3C5D")
    eve = account(owner=user, from_address="alice@example.org", return_path="alice@example.org")
    for rule in ("return_path", "queue_id", "message_id", "envelope_id"):
        received = receive(eve, bounce(**identified(rule, message)))
        assert received.replies_to is None
    receive(eve, bounce(message_id="unknown@elsewhere.example"))
    assert states(message) == {BOB: State.SENT}
    assert not InboundReport.objects.exclude(recipient=None).exists()


@pytest.mark.parametrize("owned", [False, True])
def test_a_mailbox_of_the_site_serves_the_accounts_that_return_to_it(owned: bool) -> None:
    user = get_user_model().objects.create_user("ann")
    mailbox = account(from_address="Bounces@example.org")
    sender = account(
        owner=user if owned else None,
        from_address="ann@example.org",
        return_path="bounces@example.org",
    )
    other = account(owner=user, from_address="other@example.org")
    message, elsewhere = sent(sender), sent(other, envelope_sender="other@example.org")
    receive(mailbox, bounce(message_id=message.message_id))
    receive(mailbox, bounce(message_id=elsewhere.message_id))
    assert states(message) == {BOB: State.BOUNCED}
    assert states(elsewhere) == {BOB: State.SENT}


def copies(message: Message, sender: Account, *addresses: str) -> None:
    """Send newer messages with the ids of this one, more than are read with one id."""
    queue_id = message.recipients.all()[0].remote_queue_id
    for _ in range(21):
        fields = {"message_id": message.message_id, "envelope_sender": message.envelope_sender}
        sent(sender, *addresses, queue_id=queue_id, **fields)


@pytest.mark.parametrize("is_owned", [False, True])
@pytest.mark.parametrize("rule", ["queue_id", "message_id"])
def test_messages_of_another_user_hide_none(rule: str, *, is_owned: bool) -> None:
    users = get_user_model().objects
    ann = users.create_user("ann") if is_owned else None
    mailbox = account(owner=ann, from_address="bounces@example.org")
    sender = account(owner=ann, return_path="Bounces@example.org")
    message = sent(sender, queue_id="4F2A1B3C5D", is_sensitive=True)
    eve = account(owner=users.create_user("eve"), return_path="eve@example.org")
    copies(message, eve)
    received = receive(mailbox, bounce(**identified(rule, message)))
    assert (received.replies_to, received.source.is_redacted) == (message, True)
    assert states(message) == {BOB: State.BOUNCED}
    if is_owned:
        replied = receive(mailbox, reply(In_Reply_To=f"<{message.message_id}>"))
        assert replied.replies_to == message


@pytest.mark.parametrize("rule", ["queue_id", "message_id"])
def test_messages_to_other_recipients_hide_none(sender: Account, rule: str) -> None:
    message = sent(sender, queue_id="4F2A1B3C5D", is_sensitive=True)
    copies(message, sender, ANN)
    received = receive(sender, bounce(**identified(rule, message)))
    assert (received.replies_to, received.source.is_redacted) == (message, True)
    assert states(message) == {BOB: State.BOUNCED}


@pytest.mark.parametrize("maximum", ["_MESSAGES_MAX", "_SAME_ADDRESS_MAX"])
def test_an_address_to_which_other_users_send_is_matched(
    sender: Account, maximum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, maximum, 2)
    message = sent(sender, is_sensitive=True)
    eve = account(owner=get_user_model().objects.create_user("eve"), from_address="eve@example.org")
    for _ in range(3):
        sent(eve, envelope_sender="eve@example.org")
    received = receive(sender, bounce(message_id="unknown@elsewhere.example"))
    assert (received.replies_to, received.source.is_redacted) == (message, True)


# --- addresses ------------------------------------------------------------------------------------


def test_a_forwarded_address_that_bounces_to_the_return_path_is_soft(sender: Account) -> None:
    message = sent(sender)
    received = receive(
        sender, bounce(to=with_token(RETURN_PATH, token(message)), about="robert@home.example")
    )
    assert states(message) == {BOB: State.BOUNCED}
    assert report_of(received).effect == "soft"
    assert report_of(received).address == "robert@home.example"


def test_another_address_is_linked_and_changes_nothing(sender: Account) -> None:
    message = sent(sender)
    received = receive(sender, bounce(message_id=message.message_id, about="robert@home.example"))
    assert received.replies_to == message
    assert states(message) == {BOB: State.SENT}


def test_a_second_address_in_a_report_is_not_the_only_recipient(sender: Account) -> None:
    message = sent(sender)
    block = (
        b"\r\nFinal-Recipient: rfc822; robert@home.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    )
    source = bounce(message_id=message.message_id)
    received = receive(sender, source.replace(b"unknown\r\n\r\n", b"unknown\r\n" + block, 1))
    reports = {one.address: one.recipient for one in received.reports.all()}
    assert reports == {BOB: message.recipients.get(), "robert@home.example": None}


def test_the_case_and_the_form_of_a_domain_do_not_matter(sender: Account) -> None:
    message = sent(sender, "Bob@b\u00fccher.example", ANN)
    receive(sender, bounce(message_id=message.message_id, about="BOB@xn--bcher-kva.example"))
    assert states(message) == {"Bob@b\u00fccher.example": State.BOUNCED, ANN: State.SENT}


def test_of_several_recipients_only_the_reported_one_moves(sender: Account) -> None:
    message = sent(sender, BOB, ANN)
    receive(sender, bounce(message_id=message.message_id))
    assert states(message) == {BOB: State.BOUNCED, ANN: State.SENT}
    message.refresh_from_db()
    assert message.status == Status.PARTIAL


# --- replies --------------------------------------------------------------------------------------


def test_a_reply_is_linked_by_in_reply_to_and_references(sender: Account) -> None:
    first, second = sent(sender), sent(sender, queue_id="AB1PR01@x.prod.outlook.com")
    nearest = receive(
        sender,
        reply(
            In_Reply_To="<unknown@example.net>",
            References=f"<{first.message_id}> <{second.message_id}> <unknown@example.net>",
        ),
    )
    assert (nearest.replies_to, nearest.matched_by) == (second, MatchRule.MESSAGE_ID)
    direct = receive(sender, reply(In_Reply_To=f"<{first.message_id}>"))
    assert direct.replies_to == first
    wire = receive(sender, reply(In_Reply_To="<AB1PR01@x.prod.outlook.com>"))
    assert (wire.replies_to, wire.matched_by) == (second, MatchRule.WIRE_ID)
    assert not InboundReport.objects.exists()
    assert states(first) == {BOB: State.SENT}


def test_a_reply_to_one_account_of_the_site_is_not_linked_to_another(sender: Account) -> None:
    """They have no owner, which does not count as the same owner."""
    assert sender.owner is None
    message = sent(account(name="board", from_address="board@example.org"))
    received = receive(sender, reply(In_Reply_To=f"<{message.message_id}>"))
    assert received.replies_to is None
    of_app = sent(sender)
    assert receive(sender, reply(In_Reply_To=f"<{of_app.message_id}>")).replies_to == of_app


def test_all_ids_with_one_queue_id_are_known(sender: Account) -> None:
    queue_id = "0107018f1a2b-1c0a3d5e-000000"
    sent(sender, queue_id=queue_id)
    ids = {f"{queue_id}@{region}.amazonses.com" for region in ("email", "eu-central-1")}
    header = " ".join(f"<{one}>" for one in sorted(ids))
    assert candidates.known_ids([inspect(reply(References=header))], USING) == ids


def test_a_reply_takes_few_queries(sender: Account) -> None:
    message = sent(sender)
    ids = " ".join(f"<{number}@elsewhere.example>" for number in range(100))

    def queries_of(source: bytes) -> int:
        stored = receive(sender, source)
        stored.account = sender  # as the fetcher has it
        with CaptureQueriesContext(connection) as queries:
            match(stored, inspect(source), USING)
        return len(queries)

    assert queries_of(reply()) == 0
    assert queries_of(reply(References=ids)) == 1
    assert queries_of(reply(References=ids, In_Reply_To=f"<{message.message_id}>")) == 2


def test_a_reply_is_not_linked_to_a_message_of_another_user(sender: Account) -> None:
    user = get_user_model().objects.create_user("eve")
    message = sent(sender)
    received = receive(
        account(owner=user, name="eve"), reply(In_Reply_To=f"<{message.message_id}>")
    )
    assert received.replies_to is None


def test_an_automatic_reply_is_a_reply(sender: Account) -> None:
    message = sent(sender)
    received = receive(
        sender, reply(In_Reply_To=f"<{message.message_id}>", Auto_Submitted="auto-replied")
    )
    assert (received.kind, received.replies_to) == ("auto-reply", message)
    assert states(message) == {BOB: State.SENT}


@pytest.mark.parametrize("odd", [b"\x00", b"\xff", b"\xed\xa0\x80", b"=?utf-8?q?=00?=", b"%s\\"])
def test_odd_bytes_in_ids_and_addresses_stop_nothing(sender: Account, odd: bytes) -> None:
    sent(sender)
    report = bounce(
        to="bounces+ODD@example.org",
        about="bobODD@example.net",
        message_id="ODD@example.org",
        envelope_id="ODD",
        status="5.1.1 ODD",
        action="failed ODD",
    )
    receive(sender, report.replace(b"ODD", odd))
    response = reply(In_Reply_To="<ODD@example.net>", References="<aODD@b> <ODD>")
    stored = receive(sender, response.replace(b"ODD", odd))
    text = odd.decode("utf-8", "surrogateescape")
    said = RecipientReport(f"{text}@example.net", f"failed{text}", f"5{text}", None, text)
    for kind in (MessageKind.BOUNCE, MessageKind.MESSAGE):
        match(stored, Inspection(kind, "", (said,), "", text, text), USING)
    assert InboundMessage.objects.count() == 2


@pytest.mark.parametrize("char", ["\0", "\ud800"])
def test_characters_that_no_database_stores(sender: Account, char: str) -> None:
    message = sent(sender, BOB, ANN)
    texts = [f"a{char}b@example.net", f"bob{char}@example.net"]
    said = tuple(
        RecipientReport(text, text, text, Effect.HARD, text, final_recipient=text) for text in texts
    )
    crafted = Inspection(
        MessageKind.BOUNCE, "x", said, "x", texts[0], texts[0], tuple(texts), tuple(texts)
    )
    stored = receive(sender, reply())
    match(stored, crafted, USING)
    assert {one.address for one in stored.reports.all()} == {
        text.replace(char, "\ufffd") for text in texts
    }
    assert match_notification(crafted, "x", stored.received_at, USING) == 0
    match(stored, Inspection(MessageKind.MESSAGE, "x", references=tuple(texts)), USING)
    json = '{"notificationType": "Bounce", "bounce": {"bouncedRecipients": [{"emailAddress": '
    json += f'"a\\u{ord(char):04x}b@example.net"}}]}}, "mail": {{"messageId": "x"}}}}'
    received = receive(sender, f"Date: {DATE}\r\n\r\n{json}".encode())
    assert report_of(received).address == "a\ufffdb@example.net"
    assert set(states(message).values()) == {State.SENT}


def test_a_draft_is_not_matched(sender: Account) -> None:
    draft = sent(sender, status=Status.DRAFT)
    Message.objects.filter(pk=draft.pk).update(status=Status.DRAFT)  # the roll-up changed it
    assert receive(sender, bounce(message_id=draft.message_id)).replies_to is None


def test_the_content_of_a_sensitive_message_is_not_stored_with_its_bounce(sender: Account) -> None:
    message = sent(sender, is_sensitive=True)
    source = bounce(message_id=message.message_id).replace(b"Subject: Hello", b"Subject: 739184")
    received = receive(sender, source.replace(b"at host mx", b"at host 739184"))
    assert report_of(received).text == ""
    assert states(message) == {BOB: State.BOUNCED}
    stored = received.source.read()
    assert b"739184" not in stored
    assert b"Final-Recipient: rfc822; bob@example.net" in stored
    assert (received.subject, b"Undelivered Mail" in stored) == ("", False)
    assert received.source.is_redacted


QUOTING = """From: "739184" <MAILER-DAEMON@mx.example.net>
To: "739184" <alice@example.org>
Subject: Undelivered: 739184
Date: Mon, 30 Nov 2026 10:00:00 +0000 (739184)
Message-ID: <bounce.1@mx.example.net>
Auto-Submitted: auto-replied; subject="739184"
X-Code: 739184
MIME-Version: 1.0
Content-Type: multipart/report; report-type=TYPE; boundary="b"

--b
Content-Type: text/plain

Your code is 739184.

--b
Content-Type: message/TYPE

Reporting-MTA: dns; 739184.example.net
X-Postfix-Queue-ID: 739184
FIELDS
X-Subject: 739184

--b
Content-Type: message/rfc822

Message-ID: <ORIGINAL>
From: alice@example.org
Subject: Your code: 739184

Your code is 739184.
--b--
"""
STATUS = """
Original-Recipient: rfc822;bob@example.net (739184)
Final-Recipient: rfc822; bob@example.net (739184)
Action: failed (739184)
Status: 5.7.1 (739184)
Remote-MTA: dns; 739184.example.net
Diagnostic-Code: smtp; 550 5.7.1 Rejected: "Your code: 739184"
 folded 739184"""
COMPLAINT = """Feedback-Type: abuse
User-Agent: 739184/1.0
Original-Rcpt-To: bob@example.net
Reported-URI: https://example.org/739184"""
RECEIPT = """Final-Recipient: rfc822; bob@example.net
Disposition: manual-action/739184; 739184"""


@pytest.mark.parametrize(
    ("kind", "fields", "kept"),
    [
        ("delivery-status", STATUS, ["Action: failed\r\n", "Status: 5.7.1\r\n"]),
        ("feedback-report", COMPLAINT, ["Feedback-Type: abuse\r\n"]),
        ("disposition-notification", RECEIPT, []),
    ],
)
def test_nothing_in_a_report_on_a_sensitive_message_quotes_it(
    sender: Account, kind: str, fields: str, kept: list[str]
) -> None:
    message = sent(sender, is_sensitive=True)
    source = QUOTING.replace("TYPE", kind).replace("FIELDS", fields)
    source = source.replace("ORIGINAL", message.message_id)
    received = store_received(sender, source.replace("\n", "\r\n").encode())
    stored = InboundSource.objects.get(pk=received.pk).read().decode()
    assert received.replies_to == message
    report = report_of(received)
    rows = InboundMessage.objects.values(), InboundReport.objects.values(), Event.objects.values()
    assert "739184" not in f"{stored} {list(map(list, rows))}"
    assert "rfc822; bob@example.net\r\n" in stored
    assert all(one in stored for one in kept)
    assert (report.address, report.recipient is not None) == (BOB, True)
    if kind == "delivery-status":
        assert (report.action, report.status) == ("failed", "5.7.1")
        assert states(message) == {BOB: State.BOUNCED}
        assert "From: MAILER-DAEMON@mx.example.net\r\n" in stored
        assert "Date: Mon, 30 Nov 2026 10:00:00 GMT\r\n" in stored


def test_the_file_of_a_report_on_a_sensitive_message_is_discarded(
    sender: Account, settings: LazySettings
) -> None:
    message = sent(sender, is_sensitive=True)
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    received = store_received(sender, bounce(message_id=message.message_id))
    assert not InboundSource.objects.get(pk=received.pk).file
    assert DiscardedFile.objects.count() == 1


def test_a_bounce_of_a_sensitive_message_that_only_the_address_matches(sender: Account) -> None:
    message = sent(sender, is_sensitive=True)
    source = bounce(message_id="unknown@elsewhere.example", diagnostic="550 spam: 739184")
    source = source.replace(b"Subject: Hello", b"Subject: 739184")
    received = receive(sender, source.replace(b"Undelivered Mail", b"Undelivered: 739184"))
    assert (received.replies_to, received.subject) == (message, "")
    assert received.source.is_redacted
    assert b"Subject" not in received.source.read()
    assert report_of(received).text == ""


@pytest.mark.parametrize("is_sensitive", [True, False])
def test_an_automatic_reply_repeats_the_subject(sender: Account, *, is_sensitive: bool) -> None:
    message = sent(sender, is_sensitive=is_sensitive)
    source = reply(In_Reply_To=f"<{message.message_id}>", Auto_Submitted="auto-replied")
    received = receive(sender, source.replace(b"Re: Hello", b"Automatic reply: 739184"))
    assert received.replies_to == message
    assert (received.subject, received.source.is_redacted) == (
        ("", True) if is_sensitive else ("Automatic reply: 739184", False)
    )
    assert (b"739184" in received.source.read()) == (not is_sensitive)


def test_the_sign_of_an_automatic_reply_has_no_value_of_its_fields(sender: Account) -> None:
    message = sent(sender, is_sensitive=True)
    source = reply(In_Reply_To=f"<{message.message_id}>", Auto_Submitted="739184")
    received = store_received(sender, source)
    received.refresh_from_db()
    assert (received.replies_to, received.kind) == (message, "auto-reply")
    assert received.kind_sign == "Auto-Submitted"


def test_no_received_message_causes_a_new_one(sender: Account) -> None:
    message = sent(sender, BOB, ANN)
    count = Message.objects.count()
    receive(sender, bounce(message_id=message.message_id))
    receive(sender, bounce(message_id=message.message_id, about=ANN, action="delayed"))
    for field in (
        {"Return_Path": "<>"},
        {"Auto_Submitted": "auto-replied"},
        {"List_Id": "<list.example.net>"},
        {"Disposition_Notification_To": "bob@example.net"},
        {"Return_Receipt_To": "bob@example.net"},
    ):
        receive(sender, reply(In_Reply_To=f"<{message.message_id}>", **field))
    assert Message.objects.count() == count


@pytest.mark.skipif(connection.vendor != "postgresql", reason="plans are PostgreSQL's")
def test_every_lookup_uses_an_index(sender: Account) -> None:
    message = sent(sender, queue_id="4F2A1B3C5D")
    others = Message.objects.bulk_create(
        Message(account=sender, message_id=f"other{n}@example.org", status=Status.SENT)
        for n in range(2_000)
    )
    Recipient.objects.bulk_create(
        Recipient(message=one, address=f"other{n}@example.net", remote_queue_id=f"other{n}")
        for n, one in enumerate(others)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox_message; ANALYZE outbox_recipient")
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as queries:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for rule in RULES:
            receive(sender, bounce(**identified(rule, message) | {"about": "x@example.net"}))
        receive(sender, reply(In_Reply_To="<unknown@example.net>"))
    selects = [
        one["sql"] for one in queries if one["sql"].startswith("SELECT") and "outbox_" in one["sql"]
    ]
    plans = []
    with connection.cursor() as cursor:
        for sql in selects:
            cursor.execute(f"EXPLAIN {sql}")
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
    assert plans
    small = ("outbox_account", "outbox_webhook")
    scans = [plan for plan in plans if "Seq Scan" in plan]
    assert [plan for plan in scans if not any(f"Seq Scan on {one}" in plan for one in small)] == []
    for index in (
        "outbox_recipient_queue_id", "outbox_message_msgid", "outbox_recipient_folded",
    ):  # fmt: skip
        assert any(index in plan for plan in plans), index


def test_a_notification_without_any_id_is_stored_unmatched(sender: Account) -> None:
    received = receive(sender, bounce(about="x@example.net", diagnostic=UNKNOWN))
    assert report_of(received).recipient is None
    assert received.replies_to is None

"""What a report changes, in each state of its recipient, and when it arrives at a bad moment."""

import datetime as dt
from typing import Any

import pytest

from outbox import api, signals
from outbox.api.reasons import reason_of
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.delivery.sweep import sweep
from outbox.inbound.applying import apply_pending
from outbox.models import (
    Account,
    AuditAction,
    AuditEntry,
    EventKind,
    InboundMessage,
    InboundReport,
    Message,
    State,
    Suppression,
    Webhook,
    WebhookCall,
)
from outbox.models.removal import delete_messages
from outbox.models.return_path import token_of, with_token
from tests.integration.inbound.returned import (
    ANN,
    BLOCKED,
    BOB,
    FULL,
    MINUTE,
    USING,
    account,
    attempt,
    bounce,
    receive,
    report_of,
    sent,
    states,
)
from tests.integration.races import ONE_WRITER, committed_before
from tests.states import set_state

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]


@pytest.fixture
def sender() -> Account:
    return account()


def bounced(message: Message, **fields: Any) -> InboundMessage:
    assert message.account is not None
    return receive(message.account, bounce(message_id=message.message_id, **fields))


def why_not(message: Message) -> str:
    return str(message.events.filter(kind=EventKind.REPORTED).latest("pk").reason)


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (State.SENT, State.BOUNCED),
        (State.UNCERTAIN, State.BOUNCED),
        (State.BOUNCED, State.BOUNCED),
        *[
            (state, state)
            for state in (
                State.QUEUED, State.DEFERRED, State.FAILED, State.CANCELLED, State.EXPIRED,
                State.HELD,
            )
        ],
    ],
)  # fmt: skip
def test_a_bounce_in_each_state(sender: Account, state: State, after: State) -> None:
    message = sent(sender)
    _force(message, state)
    received = bounced(message)
    assert states(message) == {BOB: after}
    assert report_of(received).is_applied == (after == State.BOUNCED)
    if after != State.BOUNCED:
        assert "no bounce can follow" in why_not(message)


def _force(message: Message, state: State) -> None:
    """Replace the recipient by one in a state."""
    message.recipients.all().delete()
    message.recipients.create(address=BOB)
    set_state(message.recipients.all(), state)


def test_a_bounce_is_announced(sender: Account, django_capture_on_commit_callbacks: Any) -> None:
    Webhook.objects.create(url="https://example.com/hook", states=["bounced"])
    changes: list[signals.Change] = []

    def note(change: signals.Change, **_: object) -> None:
        changes.append(change)

    signals.bounced.connect(note)
    try:
        message = sent(sender)
        with django_capture_on_commit_callbacks(execute=True):
            bounced(message)
    finally:
        signals.bounced.disconnect(note)
    (change,) = changes
    assert (change.state, change.event_type, change.address) == ("bounced", "bounced", BOB)
    assert change.reason_code == "reported_undeliverable"
    assert WebhookCall.objects.count() == 1


def test_a_delay_notice_and_a_receipt_change_no_state(sender: Account) -> None:
    message = sent(sender, wants_report=True)
    delayed = bounced(message, action="delayed", status="4.4.1", diagnostic="connection timed out")
    assert delayed.kind == "delay"
    assert "delayed" in why_not(message)
    delivered = bounced(message, action="delivered", status="2.0.0", diagnostic="250 ok")
    assert delivered.kind == "receipt"
    assert "delivered" in why_not(message)
    assert states(message) == {BOB: State.SENT}


def test_a_notice_that_only_the_address_matches_is_not_proved(sender: Account) -> None:
    message = sent(sender)
    unknown = "unknown@elsewhere.example"
    receive(sender, bounce(message_id=unknown, action="delayed"))
    event = message.events.get(kind=EventKind.REPORTED)
    assert "delayed and is being tried again. Only the address matches" in str(event.reason)


def test_a_notice_that_repeats_a_recipient_is_one_event(sender: Account) -> None:
    message = sent(sender)
    block = "\r\nFinal-Recipient: rfc822; {}\r\nAction: delayed\r\nStatus: 4.0.0\r\n"
    blocks = "".join(block.format(f"forward{number}@home.example") for number in range(5))
    to = with_token("bounces@example.org", token_of(message.pk, 0))
    source = bounce(to=to, about="x@home.example", action="delayed").replace(
        b"Diagnostic-Code:", b"X: y\r\n" + blocks.encode() + b"Diagnostic-Code:"
    )
    assert receive(sender, source).reports.count() == 6
    assert message.events.filter(kind=EventKind.REPORTED).count() == 1


def test_a_receipt_confirms_an_uncertain_recipient(sender: Account) -> None:
    message = sent(sender)
    _force(message, State.UNCERTAIN)
    bounced(message, action="delivered", status="2.0.0", diagnostic="250 ok")
    assert states(message) == {BOB: State.SENT}


def test_a_bounced_recipient_can_be_retried(sender: Account) -> None:
    message = sent(sender)
    bounced(message)
    assert api.retry(message) == 1
    assert states(message) == {BOB: State.QUEUED}


# --- bad moments ----------------------------------------------------------------------------------


def test_a_bounce_while_sending_waits_for_the_outcome(sender: Account) -> None:
    message = sent(sender)
    _force(message, State.SENDING)
    attempt(message, State.SENDING)
    to = with_token("bounces@example.org", token_of(message.pk, 0))
    received = receive(sender, bounce(to=to))
    assert report_of(received).is_pending
    assert states(message) == {BOB: State.SENDING}
    assert apply_pending(USING) == 0
    set_state(message.recipients.all(), State.SENT, next_attempt_at=None)
    assert sweep(USING).reported == 1
    assert states(message) == {BOB: State.BOUNCED}
    assert not InboundReport.objects.filter(is_pending=True).exists()


def test_a_pending_bounce_after_a_refusal_changes_nothing(sender: Account) -> None:
    message = sent(sender)
    _force(message, State.SENDING)
    bounced(message)
    set_state(message.recipients.all(), State.FAILED, next_attempt_at=None)
    assert apply_pending(USING) == 1
    assert states(message) == {BOB: State.FAILED}
    assert apply_pending(USING) == 0


def test_a_second_bounce_changes_nothing_more(sender: Account) -> None:
    message = sent(sender)
    first, second = bounced(message), bounced(message)
    assert report_of(first).is_applied
    assert report_of(second).is_applied
    assert message.events.filter(kind=EventKind.BOUNCED).count() == 1
    message.refresh_from_db()
    assert message.failed_count == 1


@pytest.mark.parametrize("by", ["token", "time", "queue id"])
def test_an_old_bounce_does_not_bounce_a_later_retry(sender: Account, by: str) -> None:
    message = sent(sender, queue_id="4F2A1B3C5D")
    recipient = message.recipients.get()
    known: dict[str, dict[str, Any]] = {
        "token": {"envelope_id": token_of(message.pk, recipient.attempts_at_retry)},
        "time": {
            "message_id": message.message_id,
            "date": database_now(USING) - 2 * MINUTE,
        },
        "queue id": {
            "original": "Received: by mx.example.com (Postfix) id 4F2A1B3C5D; "
            "Sun, 29 Nov 2026 10:00:00 +0000\n"
        },
    }
    bounced(message)
    assert api.retry(message) == 1
    if by == "queue id":  # the retry has not been sent yet
        set_state(message.recipients.all(), State.SENDING)
    else:
        attempt(message, State.SENT, before=MINUTE)
    before = states(message)
    receive(sender, bounce(**known[by]))
    assert states(message) == before
    assert "earlier attempt" in why_not(message)
    assert not InboundReport.objects.filter(is_pending=True).exists()


def test_a_new_bounce_bounces_a_retry(sender: Account) -> None:
    message = sent(sender)
    bounced(message)
    api.retry(message)
    attempt(message, State.SENT)
    bounced(message)
    assert states(message) == {BOB: State.BOUNCED}


@ONE_WRITER
@pytest.mark.django_db(transaction=True)
def test_an_outcome_that_another_process_records_is_seen(sender: Account) -> None:
    message = sent(sender)
    _force(message, State.SENDING)

    def record() -> None:
        set_state(message.recipients.all(), State.SENT, next_attempt_at=None)

    with committed_before(
        'SELECT "outbox_recipient"."id", "outbox_recipient"."message_id"', record
    ):
        bounced(message)
    assert states(message) == {BOB: State.BOUNCED}


# --- suppression ----------------------------------------------------------------------------------


def suppressed() -> list[tuple[str, str]]:
    return [(one.address, one.reason.code) for one in Suppression.objects.order_by("pk")]


@pytest.fixture
def wanted(settings: Any) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SUPPRESS_BOUNCED": True, "SUPPRESS_SOFT_BOUNCES": 3}


@pytest.mark.parametrize(
    ("site", "own", "is_suppressed"),
    [
        (False, None, False),
        (True, None, True),
        (True, False, False),
        (False, True, True),
    ],
)
def test_a_hard_bounce_suppresses_only_where_it_is_wanted(
    settings: Any, site: bool, own: bool | None, is_suppressed: bool
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SUPPRESS_BOUNCED": site}
    message = sent(account(suppress_bounces=own))
    bounced(message)
    assert suppressed() == ([(BOB, "suppressed_bounced")] if is_suppressed else [])
    if is_suppressed:
        entry = Suppression.objects.get()
        assert entry.account == message.account
        assert "5.1.1" in entry.evidence
        assert AuditEntry.objects.filter(action=AuditAction.SUPPRESSED).count() == 1


def test_soft_bounces_of_several_messages_suppress(sender: Account, wanted: None) -> None:
    first, second, third = (sent(sender) for _ in range(3))
    bounced(first, diagnostic=FULL, status="5.2.2")
    bounced(second, diagnostic=FULL, status="5.2.2")
    bounced(second, diagnostic=FULL, status="5.2.2")  # of the same message
    assert suppressed() == []
    bounced(third, diagnostic=FULL, status="5.2.2")
    assert suppressed() == [(BOB, "suppressed_bounced")]


def test_soft_bounces_of_a_forwarded_address_add_up(sender: Account, wanted: None) -> None:
    for _ in range(3):
        to = with_token("bounces@example.org", token_of(sent(sender).pk, 0))
        received = receive(sender, bounce(to=to, about="robert@home.example"))
        assert report_of(received).effect == "soft"
    assert suppressed() == [(BOB, "suppressed_bounced")]


def test_soft_bounces_outside_the_window_do_not_count(sender: Account, wanted: None) -> None:
    for _ in range(3):
        bounced(sent(sender), diagnostic=FULL, status="5.2.2")
        window = dt.timedelta(seconds=get_conf().suppress_soft_window)
        InboundReport.objects.update(at=database_now(USING) - window - MINUTE)
    assert suppressed() == []


def test_soft_bounces_of_another_account_do_not_count(sender: Account, wanted: None) -> None:
    other = account(name="other")
    for one in (sender, other, sender, other):
        bounced(sent(one), diagnostic=FULL, status="5.2.2")
    assert suppressed() == []


def test_a_failure_of_our_infrastructure_never_suppresses(sender: Account, wanted: None) -> None:
    for _ in range(5):
        received = bounced(sent(sender), diagnostic=BLOCKED, status="5.7.1")
        assert report_of(received).effect == "infrastructure"
    assert suppressed() == []


def complaint(message: Message) -> bytes:
    text = f"""From: feedback@isp.example
To: alice@example.org
Subject: FW: Hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Rcpt-To: {BOB}

--b
Content-Type: message/rfc822

Message-ID: <{message.message_id}>
From: alice@example.org
To: {BOB}
Subject: Hello

Hello

--b--
"""
    return text.replace("\n", "\r\n").encode()


def test_a_complaint_of_a_message_suppresses_nothing(sender: Account) -> None:
    """Another recipient of the message may have written it."""
    message = sent(sender)
    received = receive(sender, complaint(message))
    assert received.kind == "complaint"
    assert states(message) == {BOB: State.SENT}
    assert suppressed() == []
    assert "spam" in why_not(message)


def test_a_complaint_that_anyone_could_have_written_suppresses_nothing(sender: Account) -> None:
    message = sent(sender)
    message.message_id = "unknown@elsewhere.example"
    receive(sender, complaint(message))
    assert suppressed() == []


# --- what else knows about bounces ----------------------------------------------------------------


def test_the_reason_of_a_bounced_recipient_is_not_the_reply_at_acceptance(sender: Account) -> None:
    message = sent(sender)
    bounced(message)
    reason = reason_of(message.recipients.get())
    assert "could not be delivered. The server replied: 550 5.1.1" in reason
    assert "User unknown" in api.explain(message).sentence


def test_a_message_is_deleted_with_its_reports(sender: Account) -> None:
    message = sent(sender, BOB, ANN)
    received = bounced(message)
    delete_messages([message.pk], USING)
    received.refresh_from_db()
    assert (received.replies_to, received.matched_by) == (None, "")
    assert not received.reports.exists()

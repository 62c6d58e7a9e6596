"""Sent messages, and what comes back: reports and replies as servers and people write them."""

import datetime as dt
import itertools
from typing import Any

from django.db import transaction

from outbox.db.clock import database_now
from outbox.inbound.applying import apply_reports
from outbox.inbound.inspect import inspect
from outbox.inbound.matching import match
from outbox.inbound.received import Received
from outbox.models import (
    Account,
    Attempt,
    InboundMessage,
    InboundReport,
    InboundSource,
    Message,
    Origin,
    Outcome,
    Recipient,
    Source,
    State,
)
from outbox.models.rollup import roll_up
from outbox.texts import storable
from tests.states import set_state

USING = "default"
BOB, ANN = "bob@example.net", "ann@example.net"
UNKNOWN = "550 5.1.1 <bob@example.net>: Recipient address rejected: User unknown"
FULL = "552 5.2.2 <bob@example.net>: mailbox full"
BLOCKED = "554 5.7.1 Service unavailable; client host blocked using a blocklist"
_numbers = itertools.count(1)
MINUTE = dt.timedelta(minutes=1)


def account(**fields: Any) -> Account:
    values = {"name": "shop", "from_address": "alice@example.org", "host": "127.0.0.1"}
    return Account.objects.create(**values | fields)


def sent(sender: Account, *addresses: str, queue_id: str = "", **fields: Any) -> Message:
    """Create a message that its server accepted for all recipients, by default for Bob."""
    number = next(_numbers)
    given = addresses or (BOB,)
    values = {
        "account": sender,
        "owner": sender.owner,
        "message_id": f"{number}@example.org",
        "envelope_sender": "alice@example.org",
        "status": "queued",
        "origin": Origin.COMPOSE if sender.owner else Origin.API,
        "recipient_count": len(given),
        "queued_at": database_now(USING),
    }
    message = Message.objects.create(**values | fields)
    for address in given:
        Recipient.objects.create(message=message, address=address, state=State.QUEUED)
    Source.of(message.pk, b"Subject: Hello\r\n\r\nHello\r\n", "0" * 64).save(force_insert=True)
    attempt(message, State.SENT, queue_id=queue_id)
    return message


def attempt(
    message: Message, state: State, *, queue_id: str = "", before: dt.timedelta = MINUTE
) -> Attempt:
    """Record an attempt for all recipients of the message, as a worker does."""
    now = database_now(USING)
    made = Attempt.objects.create(
        message=message,
        started_at=now - before,
        ended_at=None if state == State.SENDING else now - before,
        outcome=Outcome.SENT if state == State.SENT else "",
    )
    recipients = message.recipients.all()
    attempts = recipients[0].attempts + 1
    is_final = state == State.SENT
    set_state(
        recipients,
        state,
        attempt=made,
        attempts=attempts,
        last_attempt_at=now - before,
        remote_queue_id=queue_id,
        final_at=now if is_final else None,
        next_attempt_at=now if state == State.SENDING else None,
        reply_code=250 if is_final else None,
        reply_text="2.0.0 Ok: queued" if is_final else "",
    )
    with transaction.atomic():
        roll_up([message.pk], now, USING)
    return made


def bounce(
    *,
    to: str = "alice@example.org",
    about: str = BOB,
    diagnostic: str = UNKNOWN,
    action: str = "failed",
    status: str = "5.1.1",
    original: str = "",
    message_id: str = "",
    envelope_id: str = "",
    date: dt.datetime | None = None,
) -> bytes:
    """Return a delivery status notification (RFC 3464) as Postfix writes it."""
    at = (date or database_now(USING)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    header = original or f"Message-ID: <{message_id}>\n"
    envelope = f"Original-Envelope-Id: {envelope_id}\n" if envelope_id else ""
    text = f"""From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
To: {to}
Subject: Undelivered Mail Returned to Sender
Date: {at}
Message-ID: <{next(_numbers)}.bounce@mx.example.net>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

This is the mail system at host mx.example.net.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
{envelope}
Final-Recipient: rfc822; {about}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {diagnostic}

--b
Content-Type: text/rfc822-headers

{header}From: alice@example.org
Subject: Hello

--b--
"""
    return text.replace("\n", "\r\n").encode()


def receive(mailbox: Account, source: bytes) -> InboundMessage:
    """Store a message as the fetcher does, and match it."""
    now = database_now(USING)
    found = inspect(source)
    date = next(
        (line[6:].decode() for line in source.split(b"\r\n") if line.startswith(b"Date: ")), ""
    )
    with transaction.atomic():
        message = InboundMessage.objects.create(
            account=mailbox,
            owner=mailbox.owner,
            kind=found.kind.value,
            message_id=storable(found.message_id),
            subject=Received(source).first("subject"),
            sent_at=dt.datetime.strptime(date, "%a, %d %b %Y %H:%M:%S %z") if date else None,
            received_at=now,
        )
        InboundSource.of(message.pk, source, "0" * 64).save(force_insert=True)
        apply_reports(match(message, found, USING), USING)
    message.refresh_from_db()
    return message


def states(message: Message) -> dict[str, str]:
    return dict(message.recipients.values_list("address", "state"))


def report_of(message: InboundMessage) -> InboundReport:
    return message.reports.get()


def reply(**fields: str) -> bytes:
    """Return a reply with these fields, such as `In_Reply_To`."""
    header = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"From: Bob <bob@example.net>\r\n{header}Subject: Re: Hello\r\n\r\nYes.\r\n".encode()

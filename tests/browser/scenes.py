"""Mail in every state, as the rows a delivery would have left: what the pictures are taken of."""

import datetime as dt
import json
from collections.abc import Sequence

from django.contrib.auth.models import User
from django.utils import timezone

from outbox import api
from outbox.models import (
    Account,
    Attempt,
    Event,
    EventKind,
    Message,
    Outcome,
    Recipient,
    SearchEntry,
    SmtpSession,
    State,
    Status,
    Worker,
)
from outbox.models.rollup import roll_up
from outbox.reasons import Reason, ReasonCode
from tests.states import set_state

OPENING = [
    [0.0, "-", "looking up mail.example.com"],
    [3.1, "-", "connected to 192.0.2.25:587"],
    [24.8, "S", "220 mail.example.com ESMTP ready"],
    [24.9, "C", "EHLO worker1.example.net"],
    [
        41.2,
        "S",
        "250-mail.example.com\n250-PIPELINING\n250-SIZE 35882577\n250-STARTTLS\n250 8BITMIME",
    ],
    [41.3, "C", "STARTTLS"],
    [58.0, "S", "220 2.0.0 Ready to start TLS"],
    [97.4, "-", "TLSv1.3, TLS_AES_256_GCM_SHA384"],
    [97.5, "C", "EHLO worker1.example.net"],
    [
        114.1,
        "S",
        "250-mail.example.com\n250-PIPELINING\n250-SIZE 35882577\n250 AUTH PLAIN LOGIN",
    ],
    [114.2, "C", "AUTH PLAIN ***"],
    [139.9, "S", "235 2.7.0 Authentication successful"],
]
OPENING_MS = {
    "resolve": 3.1,
    "connect": 12.4,
    "greeting": 9.3,
    "ehlo": 33.0,
    "starttls": 16.8,
    "tls": 39.4,
    "auth": 25.7,
}
CLOSING = [
    [8300.0, "C", "QUIT"],
    [8316.2, "S", "221 2.0.0 Bye"],
]
REPLIES: dict[State, tuple[int, str, str, str]] = {
    State.SENT: (250, "2.0.0", "2.0.0 Ok: queued as 4Xk2pQ1zB9", "DOT"),
    State.FAILED: (
        550,
        "5.1.1",
        "5.1.1 <{}>: Recipient address rejected: User unknown in virtual mailbox table",
        "RCPT",
    ),
    State.DEFERRED: (451, "4.7.1", "4.7.1 Greylisting in action, please come back later", "RCPT"),
    State.BOUNCED: (250, "2.0.0", "2.0.0 Ok: queued as 4Xk2pQ1zC0", "DOT"),
    State.EXPIRED: (452, "4.2.2", "4.2.2 The mailbox is full; see https://example.com/q", "RCPT"),
}
LETTER = """
<h1 style="color: #3d56c5">News of the month</h1>
<p>Dear members,</p>
<p>the yard is <b>open again</b>. Bring what you have:</p>
<ul><li>a chair</li><li>something to eat</li><li><i>good weather</i></li></ul>
<table border="1" cellpadding="6" style="border-collapse: collapse">
<tr><th>Day</th><th>Name</th></tr><tr><td>Monday</td><td>Jane</td></tr>
<tr><td>Thursday</td><td>Léon</td></tr></table>
<p><img src="https://pictures.example.com/yard.jpg" alt="The yard"></p>
<blockquote>See you there! <a href="https://example.com/yard">How to find us</a></blockquote>
"""
ENDED = frozenset({State.SENT, State.FAILED, State.BOUNCED, State.EXPIRED})


def account(owner: User, name: str = "Work", address: str = "anna@example.com") -> Account:
    """An account that would reach nothing."""
    made = Account(
        owner=owner,
        name=name,
        from_name="Anna Lindqvist",
        from_address=address,
        host="mail.example.com",
        port=587,
        username=address,
    )
    made.secret = "swordfish"
    made.save()
    return made


def mail(
    sender: Account,
    subject: str,
    recipients: Sequence[tuple[str, State]],
    text: str = "Hello,\n\nthe figures for October are attached. Could you look at page 3?\n\nAnna",
    *,
    html: str = "",
    cc: Sequence[tuple[str, State]] = (),
    importance: str = "normal",
    age: dt.timedelta = dt.timedelta(minutes=3),
    attachments: Sequence[tuple[str, str, bytes]] = (),
) -> Message:
    """Create a message whose recipients are in these states, with their attempts."""
    assert sender.owner is not None
    draft = api.save_draft(
        sender.owner,
        api.DraftFields(
            account=sender,
            to=", ".join(address for address, _ in recipients),
            cc=", ".join(address for address, _ in cc),
            subject=subject,
            text=text,
            html=html,
            importance=importance,
        ),
    )
    for name, content_type, data in attachments:
        api.attach(draft, name, content_type, data)
    message = api.send_draft(draft, actor=sender.owner)
    queued_at = timezone.now() - age
    Message.objects.filter(pk=message.pk).update(queued_at=queued_at, listed_at=queued_at)
    SearchEntry.objects.filter(pk=message.pk).update(listed_at=queued_at)
    Event.objects.filter(message=message).update(at=queued_at)
    states = [state for _, state in (*recipients, *cc)]
    if any(state not in {State.QUEUED, State.HELD, State.CANCELLED} for state in states):
        _tried(message, states, queued_at + dt.timedelta(seconds=1))
    else:
        set_state(message.recipients, states[0], reason="Kept back for a check.")
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    return message


def _tried(message: Message, states: Sequence[State], at: dt.datetime) -> Attempt:
    is_open = State.SENDING in states
    worker = Worker.objects.create(
        host="worker1.example.net",
        pid=4711,
        started_at=at,
        heartbeat_at=at,
        lease_until=timezone.now() + dt.timedelta(days=1),
    )
    attempt = Attempt.objects.create(message=message, worker=worker, started_at=at)
    recipients = list(message.recipients.order_by("pk"))
    if not is_open:
        _finish(attempt, recipients, states)
    for recipient, state in zip(recipients, states, strict=True):
        _end(recipient, state, attempt)
    return attempt


def _finish(attempt: Attempt, recipients: Sequence[Recipient], states: Sequence[State]) -> None:
    sent = sum(state in {State.SENT, State.BOUNCED} for state in states)
    attempt.session = SmtpSession.objects.create(
        host="mail.example.com",
        address="192.0.2.25",
        port=587,
        started_at=attempt.started_at,
        ended_at=attempt.started_at + dt.timedelta(seconds=9),
        greeting="mail.example.com ESMTP ready",
        tls={
            "version": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "subject": "CN=mail.example.com",
            "issuer": "CN=R11, O=Let's Encrypt",
            "not_after": "2027-01-30",
            "verified": True,
        },
        auth_mechanism="PLAIN",
        phases_ms=OPENING_MS,
        opening=json.dumps(OPENING),
        closing=json.dumps(CLOSING),
    )
    attempt.number_in_session = 1
    attempt.dot_marked_at = attempt.started_at
    attempt.ended_at = attempt.started_at + dt.timedelta(milliseconds=412)
    attempt.outcome = _outcome(sent, states)
    attempt.transfer = json.dumps(_transfer(recipients, states, sent))
    attempt.phases_ms = json.dumps(
        {"mail": 0.4, "rcpt": 18.2, "data": 17.9, "body": 2.1, "dot": 214.6}
    )
    attempt.save()


def _outcome(sent: int, states: Sequence[State]) -> Outcome:
    if State.UNCERTAIN in states:
        return Outcome.UNCERTAIN
    if sent == len(states):
        return Outcome.SENT
    if sent:
        return Outcome.PARTIAL
    return Outcome.DEFERRED if State.DEFERRED in states else Outcome.FAILED


def _transfer(
    recipients: Sequence[Recipient], states: Sequence[State], sent: int
) -> list[list[object]]:
    lines: list[list[object]] = [[140.2, "C", "MAIL FROM:<anna@example.com> SIZE=2104"]]
    lines += [[140.3, "C", f"RCPT TO:<{recipient.address}>"] for recipient in recipients]
    lines += [[140.4, "C", "DATA"], [157.1, "S", "250 2.1.0 Ok"]]
    for recipient, state in zip(recipients, states, strict=True):
        code, _enhanced, text, command = REPLIES.get(state, (250, "", "2.1.5 Ok", "RCPT"))
        said = f"{code} {text.format(recipient.address)}" if command == "RCPT" else "250 2.1.5 Ok"
        lines.append([158.3, "S", said])
    if sent:
        lines += [
            [176.2, "S", "354 End data with <CR><LF>.<CR><LF>"],
            [178.3, "C", "<2,104 bytes, sha256 9b74c9897bac…>"],
            [178.4, "C", "."],
            [392.9, "S", "250 2.0.0 Ok: queued as 4Xk2pQ1zB9"],
        ]
    return lines


def _end(recipient: Recipient, state: State, attempt: Attempt) -> None:
    code, enhanced, text, command = REPLIES.get(state, (0, "", "", ""))
    set_state(Recipient.objects.filter(pk=recipient.pk), state)
    recipient.state = state
    recipient.attempt = attempt
    recipient.attempts = 1
    recipient.first_attempt_at = recipient.last_attempt_at = attempt.started_at
    if code:
        recipient.reply_code = code
        recipient.reply_enhanced = enhanced
        recipient.reply_text = text.format(recipient.address)
        recipient.reply_command = command
        recipient.remote_host = "mail.example.com"
    if state in {State.SENT, State.BOUNCED}:
        recipient.remote_queue_id = "4Xk2pQ1zB9"
    if state == State.DEFERRED:
        recipient.next_attempt_at = timezone.now() + dt.timedelta(minutes=4, seconds=20)
        recipient.reason = Reason(
            ReasonCode.SERVER_REPLY, reply="451 4.7.1 Greylisting in action, please come back later"
        )
    if state == State.UNCERTAIN:
        recipient.next_attempt_at = None
        recipient.resend_at = timezone.now() + dt.timedelta(hours=4)
        lost = Reason(ReasonCode.CONNECTION_RESET)
        recipient.reason = Reason(ReasonCode.REPLY_LOST, why=lost)
    if state in ENDED:
        recipient.final_at = attempt.ended_at
    recipient.save()


def busy_site(owner: User) -> dict[str, Message]:
    """Fill a user's folders. Return the messages whose pages are shown."""
    work = account(owner)
    account(owner, "Newsletter", "news@example.com")
    day = dt.timedelta(days=1)
    many = [
        (
            f"person{number:02d}@a-rather-long-department-name.example.com",
            State.FAILED if number % 9 == 4 else State.SENT,  # a few of them
        )
        for number in range(40)
    ]
    shown = {
        "partial": mail(
            work,
            "Figures for October",
            [("jane@example.com", State.SENT), ("unknown@example.org", State.FAILED)],
            cc=[("Léon Müller <leon@example.net>", State.DEFERRED)],
            importance="high",
            attachments=[
                ("Figures October.xlsx", "application/vnd.ms-excel", b"x" * 48_200),
                ("page 3.pdf", "application/pdf", b"%PDF" * 30_000),
            ],
        ),
        "sent": mail(work, "Lunch on Thursday?", [("jane@example.com", State.SENT)], age=day),
        "deferred": mail(work, "Your invoice 2026-113", [("joe@example.org", State.DEFERRED)]),
        "uncertain": mail(
            work, "Contract, signed", [("legal@example.org", State.UNCERTAIN)], age=day / 12
        ),
        "forty": mail(work, "Invitation: summer party in the yard", many, age=day * 2),
        "sending": mail(work, "Minutes of today", [("team@example.com", State.SENDING)]),
        "held": mail(work, "Wrong list", [("all@example.com", State.HELD)]),
        "long": mail(
            work,
            "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
            "sjahreshauptversammlungsprotokollentwurf: "
            + "a very long subject goes on and on, "
            * 5,
            [
                (
                    "averyveryveryverylongmailboxnamewithoutanybreaks.inside.it.at.all"[:64]
                    + "@subdomain.of.a.subdomain.of.another.subdomain.example.com",
                    State.FAILED,
                )
            ],
            text="https://example.com/" + "path/" * 80,
        ),
        "failed": mail(work, "Grüße aus 東京 – いい天気ですね", [("x@example.org", State.FAILED)]),
        "letter": mail(work, "News of the month", [("club@example.com", State.SENT)], html=LETTER),
        "queued": mail(work, "Reminder", [("joe@example.org", State.QUEUED)], age=day / 86400),
    }
    for number in range(3):
        mail(work, f"Status of week {40 + number}", [("boss@example.com", State.SENT)], age=day * 7)
    shown["draft"] = api.save_draft(
        owner,
        api.DraftFields(
            account=work,
            to="jane@example.com, Léon Müller <leon@example.net>",
            cc="boss@example.com",
            subject="Quote for the new roof",
            importance="high",
            text="Dear Jane,\n\nthank you for the call this morning.\n",
        ),
    )
    agenda = api.DraftFields(
        account=work,
        to="team@example.com",
        subject="Agenda",
        text="See you on Monday.",
        send_at=timezone.now() + day * 3,
    )
    shown["scheduled"] = api.send_draft(api.save_draft(owner, agenda), actor=owner)
    api.attach(shown["draft"], "Quote 2026-44.pdf", "application/pdf", b"%PDF" * 20_000)
    assert shown["held"].status == Status.HELD
    held = shown["held"].recipients.get()
    Event.objects.create(
        message=shown["held"],
        recipient=held,
        kind=EventKind.HELD,
        from_state=State.QUEUED,
        to_state=State.HELD,
        actor=owner,
        why="Wrong list of recipients",
        at=timezone.now(),
    )
    return shown

"""What the message page tells beside the state: its origin, and how and how long it is tried."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Attempt, Event, EventKind, Message, Session, State

SOURCE = b"From: shop@example.com\r\nSubject: Invoice\r\n\r\nPlease pay.\r\n"


def page_of(client: Client, mail: Message, **query: object) -> str:
    url = reverse("outbox:message", args=[mail.pk])
    return client.get(url, {name: str(value) for name, value in query.items()}).content.decode()


def timeline_of(page: str) -> str:
    return page[page.index('id="timeline"') :].partition("</section>")[0]


def test_a_mail_of_an_app_shows_what_the_app_said_of_it(
    as_anna: Client, anna: User, account: Account
) -> None:
    mail = api.send(
        to="jane@example.com",
        subject="Invoice",
        text="Please pay.",
        account=account,
        owner=anna,
        tags=["invoice", "<b>"],
        metadata={"order": "2026-113"},
        idempotency_key="order-113",
    ).message()
    page = page_of(as_anna, mail)
    for said in ("queued by an app", "order-113", "invoice", "&lt;b&gt;", "2026-113"):
        assert said in page


def test_the_key_of_a_page_of_the_composer_is_nobody_s_business(
    as_anna: Client, mail: Message
) -> None:
    Message.objects.filter(pk=mail.pk).update(idempotency_key="compose 1 abc")
    assert "compose 1 abc" not in page_of(as_anna, mail)


@pytest.mark.parametrize(
    ("recipient", "headers", "said"),
    [
        ("jörg@example.com", b"", "because of <bdi>jörg@example.com</bdi>"),
        ("jane@example.com", "X-Name: Jörg\r\n".encode(), "because of its headers"),
    ],
)
def test_it_says_why_it_needs_smtputf8(
    as_anna: Client, anna: User, account: Account, recipient: str, headers: bytes, said: str
) -> None:
    outgoing = api.Outgoing(
        source=headers + SOURCE,
        envelope_sender="shop@example.com",
        recipients=[api.OutgoingRecipient(recipient), api.OutgoingRecipient("joe@exämple.org")],
        account=account,
        owner=anna,
    )
    (mail,) = api.queue_sources([outgoing])
    page = page_of(as_anna, mail)
    assert said in page
    assert "because of <bdi>joe@" not in page


def test_each_recipient_tells_its_tries_and_when_they_end(as_anna: Client, mail: Message) -> None:
    now = timezone.now()
    mail.recipients.filter(address="jane@example.com").update(
        state=State.DEFERRED,
        attempts=3,
        first_attempt_at=now - dt.timedelta(hours=2),
        last_attempt_at=now - dt.timedelta(minutes=30),
        next_attempt_at=now + dt.timedelta(minutes=30, seconds=15),
        expires_at=now + dt.timedelta(days=4, seconds=30),
    )
    page = page_of(as_anna, mail)
    for said in (">2 hours ago<", ">30 minutes ago<", ">in 30 minutes<", ">in 4 days<"):
        assert said in page


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (None, "no TLS"),
        ({"version": "TLSv1.3", "verified": True}, "<span>TLSv1.3</span>"),
        ({"version": "TLSv1.2", "verified": False}, "TLSv1.2, certificate not verified"),
    ],
)
def test_each_recipient_tells_the_security_that_was_reached(
    as_anna: Client, mail: Message, tls: dict[str, object] | None, said: str
) -> None:
    session = Session.objects.create(host="mx.example.com", started_at=timezone.now(), tls=tls)
    attempt = Attempt.objects.create(message=mail, session=session, started_at=timezone.now())
    mail.recipients.update(attempt=attempt, state=State.SENT, remote_host="mx.example.com")
    recipients = page_of(as_anna, mail).partition('id="attempts-title"')[0]
    assert said in recipients


def test_an_attempt_that_is_gone_breaks_nothing(as_anna: Client, mail: Message) -> None:
    mail.recipients.update(attempt=4711, state=State.SENT)
    assert "jane<wbr>@" in page_of(as_anna, mail)


def test_the_timeline_of_one_recipient_leaves_out_the_others(
    as_anna: Client, mail: Message
) -> None:
    jane, joe = mail.recipients.order_by("pk")
    for recipient in (jane, joe):
        Event.objects.create(
            message=mail, recipient=recipient, kind=EventKind.HELD, at=timezone.now(),
            why=f"for {recipient.address}",
        )  # fmt: skip
    for recipient in (jane, joe):
        Attempt.objects.create(
            message=mail,
            started_at=timezone.now(),
            ended_at=timezone.now(),
            outcome="deferred",
            results=f'[{{"address": "{recipient.address}", "state": "deferred"}}]',
        )
    every = timeline_of(page_of(as_anna, mail))
    for said in ("for jane", "for joe", "Attempt 1", "Attempt 2", "Queued"):
        assert said in every
    page = page_of(as_anna, mail, recipient=joe.pk)
    his = timeline_of(page)
    for said in ("for joe", "Attempt 2", "Queued", "Created"):
        assert said in his
    assert "for jane" not in his
    assert "Attempt 1" not in his
    assert f"&amp;recipient={joe.pk}" in page  # what is refreshed stays chosen


@pytest.mark.parametrize("asked", ["", "0", "x", "99999999"])
def test_the_timeline_of_nobody_is_everybody_s(as_anna: Client, mail: Message, asked: str) -> None:
    assert "Queued" in timeline_of(page_of(as_anna, mail, recipient=asked))


def test_what_can_be_copied_is_what_is_shown(as_anna: Client, mail: Message) -> None:
    mail.recipients.update(
        state=State.FAILED, reply_code=550, reply_text='5.1.1 "no" \x1b[2J\u202e', attempts=1
    )
    page = page_of(as_anna, mail)
    assert 'data-copy="550 5.1.1 &quot;no&quot; ⟨1B⟩[2J⟨202E⟩"' in page
    for copied in (mail.message_id, str(mail.pk), "jane@example.com", mail.envelope_sender):
        assert f'data-copy="{copied}"' in page
    assert f'data-copy="http://testserver/messages/{mail.pk}/"' in page
    assert 'aria-label="Copy jane@example.com"' in page

"""The message page beside the state: origin, attempts, times and security."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Attempt, Event, EventKind, Message, SmtpSession, State
from tests.states import set_state

SOURCE = b"From: shop@example.com\r\nSubject: Invoice\r\n\r\nPlease pay.\r\n"


def page_of(client: Client, mail: Message, **query: object) -> str:
    url = reverse("outbox:message", args=[mail.pk])
    return client.get(url, {name: str(value) for name, value in query.items()}).content.decode()


def timeline_of(page: str) -> str:
    return page[page.index('id="timeline"') :].partition("</section>")[0]


def test_a_message_of_an_app_shows_its_tags_metadata_and_key(
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


@pytest.mark.parametrize("given", [None, "own@example.com", ""])
def test_the_envelope_sender_in_force_is_shown(
    as_anna: Client, anna: User, account: Account, given: str | None
) -> None:
    Account.objects.filter(pk=account.pk).update(return_path="bounces@example.com")
    options: dict[str, Any] = {"account": account, "owner": anna, "envelope_sender": given}
    mail = api.send(to="jane@example.com", subject="Invoice", text="Hi", **options).message()
    page = page_of(as_anna, mail)
    assert ("<bdi>bounces@example.com</bdi>" in page) == (given is None)
    assert ("<bdi>own@example.com</bdi>" in page) == bool(given)


def test_the_internal_key_of_the_composer_is_not_shown(as_anna: Client, mail: Message) -> None:
    Message.objects.filter(pk=mail.pk).update(idempotency_key="compose 1 abc")
    assert "compose 1 abc" not in page_of(as_anna, mail)


@pytest.mark.parametrize(
    ("recipient", "headers", "said"),
    [
        ("jörg@example.com", b"", "because of <bdi>jörg@example.com</bdi>"),
        ("jane@example.com", "X-Name: Jörg\r\n".encode(), "because of its headers"),
    ],
)
def test_the_reason_for_smtputf8_is_shown(
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


def test_each_recipient_shows_its_attempts(as_anna: Client, mail: Message) -> None:
    now = timezone.now()
    set_state(
        mail.recipients.filter(address="jane@example.com"),
        State.DEFERRED,
        attempts=3,
        first_attempt_at=now - dt.timedelta(hours=2),
        last_attempt_at=now - dt.timedelta(minutes=30),
        next_attempt_at=now + dt.timedelta(minutes=30, seconds=15),
    )
    page = page_of(as_anna, mail)
    for said in (">2 hours ago<", ">30 minutes ago<", ">in 30 minutes<"):
        assert said in page


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (None, "no TLS"),
        ({"version": "TLSv1.3", "verified": True}, "<span>TLSv1.3</span>"),
        ({"version": "TLSv1.2", "verified": False}, "TLSv1.2, certificate not verified"),
    ],
)
def test_each_recipient_shows_the_tls_version(
    as_anna: Client, mail: Message, tls: dict[str, object] | None, said: str
) -> None:
    session = SmtpSession.objects.create(host="mx.example.com", started_at=timezone.now(), tls=tls)
    attempt = Attempt.objects.create(message=mail, session=session, started_at=timezone.now())
    set_state(mail.recipients, State.SENT, attempt=attempt, remote_host="mx.example.com")
    recipients = page_of(as_anna, mail).partition('id="attempts-title"')[0]
    assert said in recipients


def test_a_deleted_attempt_does_not_break_the_page(as_anna: Client, mail: Message) -> None:
    set_state(mail.recipients, State.SENT, attempt=4711)
    assert "jane<wbr>@" in page_of(as_anna, mail)


def test_the_timeline_of_one_recipient_has_no_events_of_others(
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
def test_an_invalid_recipient_shows_the_whole_timeline(
    as_anna: Client, mail: Message, asked: str
) -> None:
    assert "Queued" in timeline_of(page_of(as_anna, mail, recipient=asked))


def test_the_copied_text_is_the_shown_text(as_anna: Client, mail: Message) -> None:
    set_state(
        mail.recipients,
        State.FAILED,
        reply_code=550,
        reply_text='5.1.1 "no" \x1b[2J\u202e',
        attempts=1,
    )
    page = page_of(as_anna, mail)
    assert 'data-copy="550 5.1.1 &quot;no&quot; ⟨1B⟩[2J⟨202E⟩"' in page
    for copied in (mail.message_id, str(mail.pk), "jane@example.com", mail.envelope_sender):
        assert f'data-copy="{copied}"' in page
    assert f'data-copy="http://testserver/messages/{mail.pk}/"' in page
    assert 'aria-label="Copy jane@example.com"' in page

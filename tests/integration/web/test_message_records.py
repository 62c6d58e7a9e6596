"""Conversations and JSON of a message, as safe downloads."""

import json

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Attempt, Message, SmtpSession, Worker
from outbox.reasons import Reason, ReasonCode, quoted
from tests.integration.web.conftest import signed_in, staff_member

HOSTILE = "<script>alert(1)</script>\u202eevil\x1b[2J"


def tried(mail: Message, said: str = "550 5.1.1 no") -> Attempt:
    session = SmtpSession.objects.create(
        host="mx.example.net",
        port=25,
        started_at=timezone.now(),
        opening=json.dumps([[1.5, "S", "250-mx\n250 SIZE"], [2, "C", "AUTH PLAIN ***"]]),
        closing=json.dumps([[90, "C", "QUIT"]]),
    )
    return Attempt.objects.create(
        message=mail,
        session=session,
        started_at=timezone.now(),
        ended_at=timezone.now(),
        outcome="failed",
        reason=quoted("Refused."),
        results=json.dumps([{"address": "jane@example.com", "state": "failed"}]),
        transfer=json.dumps([[10, "C", "RCPT TO:<jane@example.com>"], [11, "S", said]]),
    )


def text_of(client: Client, mail: Message, **query: int) -> str:
    response = client.get(reverse("outbox:transcript", args=[mail.pk]), query)
    assert response["Content-Disposition"].startswith('attachment; filename="transcript-')
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    return response.content.decode()


def test_a_transcript_names_the_speaker_of_each_line(as_anna: Client, mail: Message) -> None:
    tried(mail)
    tried(mail, "250 2.0.0 taken")
    lines = text_of(as_anna, mail).splitlines()
    assert "          2 ms  C  AUTH PLAIN ***" in lines
    assert "          2 ms  S  250-mx" in lines
    assert "                   250 SIZE" in lines
    assert "         11 ms  S  550 5.1.1 no" in lines
    assert [line[:10] for line in lines if line.startswith("Attempt")] == [
        "Attempt 1:",
        "Attempt 2:",
    ]


def test_workers_and_inner_addresses_are_shown_to_staff_only(
    as_anna: Client, mail: Message
) -> None:
    attempt = tried(mail)
    assert attempt.session is not None
    note = str(Reason(ReasonCode.CONNECTING, address="10.0.0.5", port="25").dump())
    SmtpSession.objects.filter(pk=attempt.session.pk).update(
        address="10.0.0.5",
        local_address="172.18.0.7",
        opening=json.dumps([[1, "-", note], [2, "C", "EHLO [172.18.0.7]"]]),
        tried=[["fd00::9", Reason(ReasonCode.CONNECTION_REFUSED).dump()]],
        tls_requested="opportunistic",
        tls_achieved="none",
        tls_why=Reason(ReasonCode.STARTTLS_REJECTED).with_reply("454 no TLS for 172.18.0.7"),
    )
    now = timezone.now()
    worker = Worker.objects.create(
        host="worker-7.internal",
        pid=4711,
        version="1",
        started_at=now,
        heartbeat_at=now,
        lease_until=now,
    )
    Attempt.objects.update(worker=worker)

    def shown_to(client: Client) -> str:
        names = ("message", "transcript", "record")
        pages = (client.get(reverse(f"outbox:{name}", args=[mail.pk])) for name in names)
        return "".join(page.content.decode() for page in pages)

    inner = ("worker-7", "4711", "10.0.0.5", "172.18.0.7", "fd00::9")
    to_owner, to_staff = shown_to(as_anna), shown_to(signed_in(staff_member("view_message")))
    assert [text for text in inner if text in to_owner] == []
    assert [text for text in inner if text in to_staff] == [*inner]


def test_one_attempt_can_be_had_alone(as_anna: Client, mail: Message) -> None:
    tried(mail)
    second = tried(mail, "250 2.0.0 taken")
    text = text_of(as_anna, mail, attempt=second.pk)
    assert "taken" in text
    assert "5.1.1" not in text
    address = reverse("outbox:transcript", args=[mail.pk])
    assert as_anna.get(address, {"attempt": second.pk + 1}).status_code == 404


def test_a_transcript_cannot_play_with_a_terminal(as_anna: Client, mail: Message) -> None:
    """Protocol item 155."""
    Message.objects.filter(pk=mail.pk).update(subject=HOSTILE)
    tried(mail, HOSTILE)
    text = text_of(as_anna, mail)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "⟨1B⟩[2J" in text


def test_the_record_has_every_row(as_anna: Client, mail: Message) -> None:
    tried(mail)
    response = as_anna.get(reverse("outbox:record", args=[mail.pk]))
    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"] == f'attachment; filename="message-{mail.pk}.json"'
    assert response["X-Content-Type-Options"] == "nosniff"
    record = json.loads(response.content)
    assert record["message"]["subject"] == "Figures"
    assert record["account"] == "Work"
    assert [row["address"] for row in record["recipients"]] == [
        "jane@example.com",
        "joe@example.org",
    ]
    (attempt,) = record["attempts"]
    assert attempt["session"]["host"] == "mx.example.net"
    assert attempt["transfer"][1] == [11, "S", "550 5.1.1 no"]
    assert [event["actor"] for event in record["events"]] == ["anna"]


def test_neither_has_a_secret(as_anna: Client, mail: Message) -> None:
    tried(mail)
    for name in ("transcript", "record"):
        assert b"swordfish" not in as_anna.get(reverse(f"outbox:{name}", args=[mail.pk])).content


def test_the_record_of_a_hostile_mail_is_plain_ascii(as_anna: Client, mail: Message) -> None:
    Message.objects.filter(pk=mail.pk).update(subject=HOSTILE)
    data = as_anna.get(reverse("outbox:record", args=[mail.pk])).content
    assert data.isascii()
    assert b"\x1b" not in data
    assert json.loads(data)["message"]["subject"] == HOSTILE


@pytest.mark.parametrize("name", ["transcript", "record"])
def test_a_draft_has_neither(as_anna: Client, draft: Message, name: str) -> None:
    assert as_anna.get(reverse(f"outbox:{name}", args=[draft.pk])).status_code == 404


def test_the_page_offers_both(as_anna: Client, mail: Message) -> None:
    attempt = tried(mail)
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).content.decode()
    transcript = reverse("outbox:transcript", args=[mail.pk])
    assert f'href="{transcript}"' in page
    assert f'href="{transcript}?attempt={attempt.pk}"' in page
    assert reverse("outbox:record", args=[mail.pk]) in page

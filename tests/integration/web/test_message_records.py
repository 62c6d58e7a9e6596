"""Transcript and JSON: everything known of a mail's fate, handed out harmlessly."""

import json

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Attempt, Message, Session

HOSTILE = "<script>alert(1)</script>\u202eevil\x1b[2J"


def tried(mail: Message, said: str = "550 5.1.1 no") -> Attempt:
    session = Session.objects.create(
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
        detail="Refused.",
        results=json.dumps([{"address": "jane@example.com", "state": "failed"}]),
        transfer=json.dumps([[10, "C", "RCPT TO:<jane@example.com>"], [11, "S", said]]),
    )


def text_of(client: Client, mail: Message, **query: int) -> str:
    answer = client.get(reverse("outbox:transcript", args=[mail.pk]), query)
    assert answer["Content-Disposition"].startswith('attachment; filename="transcript-')
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]
    return answer.content.decode()


def test_a_transcript_tells_both_sides_apart(as_anna: Client, mail: Message) -> None:
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
    answer = as_anna.get(reverse("outbox:record", args=[mail.pk]))
    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Disposition"] == f'attachment; filename="mail-{mail.pk}.json"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    told = json.loads(answer.content)
    assert told["message"]["subject"] == "Figures"
    assert told["account"] == "Work"
    assert [row["address"] for row in told["recipients"]] == ["jane@example.com", "joe@example.org"]
    (attempt,) = told["attempts"]
    assert attempt["session"]["host"] == "mx.example.net"
    assert attempt["transfer"][1] == [11, "S", "550 5.1.1 no"]
    assert [event["actor"] for event in told["events"]] == ["anna"]


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

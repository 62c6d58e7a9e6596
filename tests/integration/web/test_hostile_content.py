"""Subjects, names, addresses and replies that contain markup."""

import json

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Attempt, Message, SmtpSession
from outbox.reasons import quoted
from tests.states import set_state

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'\u202eevil\x00\x1b[2J"
PLACES = ("outbox:list", "outbox:message", "text", "headers", "raw", "parts", "outbox:retry")


@pytest.fixture
def poisoned(mail: Message) -> Message:
    """A message with HOSTILE in every text that another person can write."""
    storable = HOSTILE.replace("\x00", "\\x00")  # as the recorder does: PostgreSQL takes no NUL
    Message.objects.filter(pk=mail.pk).update(
        subject=storable, from_header=storable, to_summary=storable, snippet=storable,
        message_id=storable,
    )  # fmt: skip
    session = SmtpSession.objects.create(
        host=storable,
        port=25,
        started_at=timezone.now(),
        tls={"version": storable, "cipher": storable, "subject": storable, "verified": True},
        auth_mechanism="PLAIN",
        tried=[[storable, storable]],
        opening=json.dumps([[1, "S", HOSTILE]]),
        closing=json.dumps([[1, "S", HOSTILE]]),
    )
    Attempt.objects.create(
        message=mail,
        session=session,
        started_at=timezone.now(),
        ended_at=timezone.now(),
        outcome="failed",
        reason=quoted(storable),
        late_reply=storable,
        traceback=storable,
        transfer=json.dumps([[1, "C", HOSTILE]]),
    )
    set_state(
        mail.recipients,
        "failed",
        name=storable,
        reply_code=550,
        reply_text=storable,
        reason=storable,
        reply_command="RCPT",
        remote_host=storable,
    )
    mail.source.data = (
        f"Subject: {storable}\r\nFrom: {storable} <x@example.com>\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        f"{HOSTILE}\r\n--b\r\nContent-Type: text/html\r\n"
        f'Content-Disposition: attachment; filename="{storable[:20]}.html"\r\n\r\nx\r\n--b--\r\n'
    ).encode()
    mail.source.save()
    return mail


@pytest.mark.parametrize("place", PLACES)
def test_hostile_text_stays_text(as_anna: Client, poisoned: Message, place: str) -> None:
    """Protocol item 155."""
    if place == "outbox:list":
        response = as_anna.get(reverse("outbox:folder", args=["outbox"]))
    elif place.startswith("outbox:"):
        response = as_anna.get(reverse(place, args=[poisoned.pk]))
    else:
        response = as_anna.get(reverse("outbox:message", args=[poisoned.pk]), {"show": place})
    page = response.content.decode()
    assert response.status_code == 200
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "\x1b" not in page


def test_the_policy_allows_no_inline_script_or_style(as_anna: Client, mail: Message) -> None:
    response = as_anna.get(reverse("outbox:message", args=[mail.pk]))
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy
    page = response.content.decode()
    assert " style=" not in page
    assert " onclick=" not in page
    assert "<style" not in page

"""Formatted text, its pictures, and when it leaves: what the composer hands on."""

import base64
import datetime as dt
import email
import email.policy
import zoneinfo
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from outbox import api
from outbox.models import Account, Message, Preferences, Status
from outbox.web.compose.send_at import PRESETS
from tests.integration.web.conftest import typed

COMPOSE = reverse("outbox:compose")
HOSTILE = (
    '<p onclick="x()">Hi <script>x()</script><b>bold</b>'
    '<img src="http://x.test/a.png" onerror="x()"><a href="javascript:x()">link</a></p>'
)


def sent(message: Message) -> EmailMessage:
    parsed = email.message_from_bytes(message.source.read(), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_formatted_text_is_cleaned_and_its_text_is_derived(
    as_anna: Client, account: Account
) -> None:
    as_anna.post(COMPOSE, typed(account, text="forged", html=HOSTILE, send="1"))
    mail = Message.objects.get()
    assert mail.draft.text == "Hi bold\n" or mail.draft.text.startswith("Hi bold")
    assert "forged" not in mail.draft.text
    html = sent(mail).get_body(("html",))
    assert html is not None
    body = html.get_content()
    assert "<b>bold</b>" in body
    assert not any(word in body for word in ("script", "onclick", "onerror", "javascript"))


def test_a_formatted_text_that_is_too_long_is_shown_and_keeps_the_plain_one(
    as_anna: Client, account: Account
) -> None:
    response = as_anna.post(COMPOSE, typed(account, html="<p>x</p>" * 70_000, save="1"))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["html"]
    assert Message.objects.get().draft.text == "Hello"


def test_plain_text_stays_plain(as_anna: Client, account: Account) -> None:
    as_anna.post(COMPOSE, typed(account, html="", send="1"))
    assert sent(Message.objects.get()).get_content_type() == "text/plain"


def add_picture(client: Client, draft: Message) -> str:
    upload = SimpleUploadedFile("dot.png", b"\x89PNG dot", "image/png")
    fields = {"attachments": upload, "inline": "1"}
    reported = client.post(reverse("outbox:draft-attachments", args=[draft.pk]), fields).json()
    address: str = reported["pictures"][0]
    return address


def test_a_picture_in_the_text_is_kept_and_sent_by_its_content_id(
    as_anna: Client, draft: Message
) -> None:
    address = add_picture(as_anna, draft)
    shown = as_anna.get(address)
    assert (shown["Content-Type"], shown["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert shown.content == b"\x89PNG dot"
    html = f'<p>Look:</p><img src="{address}" alt="dot">'
    page = reverse("outbox:draft", args=[draft.pk])
    as_anna.post(page, typed(draft.account, version="1", html=html, save="1"))
    kept = Message.objects.get()
    picture = kept.attachments.exclude(content_id="").get()
    assert f'src="cid:{picture.content_id}"' in kept.draft.html
    assert f'src="{address}"' in as_anna.get(page).context["form"]["html"].value()
    as_anna.post(page, typed(draft.account, version="2", html=html, send="1"))
    parts = {part.get_content_type(): part for part in sent(kept).walk()}
    assert parts["image/png"]["Content-ID"] == f"<{picture.content_id}>"


def test_a_picture_taken_out_of_the_text_is_not_sent(as_anna: Client, draft: Message) -> None:
    add_picture(as_anna, draft)
    page = reverse("outbox:draft", args=[draft.pk])
    as_anna.post(page, typed(draft.account, version="1", send="1"))
    assert [part.get_filename() for part in sent(Message.objects.get()).iter_attachments()] == [
        "figures.csv"
    ]


def test_a_picture_taken_off_the_draft_leaves_its_text_too(as_anna: Client, draft: Message) -> None:
    address = add_picture(as_anna, draft)
    html = f'<p>Look:</p><img src="{address}" alt="dot">'
    page = reverse("outbox:draft", args=[draft.pk])
    as_anna.post(page, typed(draft.account, version="1", html=html, save="1"))
    picture = draft.attachments.exclude(content_id="").get()
    files = reverse("outbox:draft-attachments", args=[draft.pk])
    assert as_anna.post(files, {"remove": picture.pk}).json()["removed"] == [address]
    assert Message.objects.get().draft.html == "<p>Look:</p>"
    assert as_anna.post(files, {"remove": picture.pk}).json()["removed"] == []  # the second time


def test_a_picture_of_another_draft_is_not_taken_along(
    as_anna: Client, anna: User, draft: Message, account: Account
) -> None:
    address = add_picture(as_anna, draft)
    other = api.save_draft(anna, api.DraftFields(account=account))
    fields = typed(account, version="1", html=f'<img src="{address}" alt="">', save="1")
    as_anna.post(reverse("outbox:draft", args=[other.pk]), fields)
    other = Message.objects.get(pk=other.pk)
    assert address not in other.draft.html
    assert "cid:" not in other.draft.html


@pytest.mark.parametrize("kind", ["image/svg+xml", "text/html", "application/pdf"])
def test_only_plain_pictures_go_into_the_text(as_anna: Client, draft: Message, kind: str) -> None:
    fields = {"attachments": SimpleUploadedFile("x", b"<svg/>", kind), "inline": "1"}
    reported = as_anna.post(reverse("outbox:draft-attachments", args=[draft.pk]), fields).json()
    assert reported["pictures"] == []
    plain = draft.attachments.get(content_type=kind)
    assert plain.content_id == ""
    address = reverse("outbox:picture", args=[draft.pk, plain.pk])
    assert as_anna.get(address).status_code == 404


# When it leaves.

NOON = dt.datetime(2026, 3, 27, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))  # a Friday


@pytest.mark.parametrize(
    ("name", "now", "then"),
    [
        ("evening", NOON, "2026-03-27T18:00:00+01:00"),
        ("tomorrow", NOON, "2026-03-28T09:00:00+01:00"),
        ("monday", NOON, "2026-03-30T09:00:00+02:00"),  # summer time begins between
        ("monday", NOON.replace(day=30), "2026-04-06T09:00:00+02:00"),  # on a Monday, the next
    ],
)
def test_a_named_time_is_meant_on_the_clock_of_the_wall(
    name: str, now: dt.datetime, then: str
) -> None:
    assert PRESETS[name].after(now).isoformat() == then


def test_a_typed_time_is_in_the_person_s_zone(
    as_anna: Client, anna: User, account: Account
) -> None:
    Preferences.objects.create(user=anna, time_zone="America/New_York")
    as_anna.post(COMPOSE, typed(account, send_at="2071-07-01T09:00", send="1"))
    mail = Message.objects.get()
    assert mail.status == Status.SCHEDULED
    assert mail.send_at == dt.datetime(2071, 7, 1, 13, tzinfo=dt.UTC)
    assert sent(mail)["Date"].datetime == mail.send_at


@pytest.mark.parametrize(
    ("typed_time", "said"),
    [
        ("2001-01-01T09:00", "has passed"),
        ("soon", "valid date"),
        ("2026-02-30T09:00", "valid date"),
        ("2071-03-08T02:30", "couldn’t be interpreted"),  # the clock is set forward over it
    ],
)
def test_a_time_that_cannot_be_is_shown_at_its_field(
    as_anna: Client, anna: User, account: Account, typed_time: str, said: str
) -> None:
    Preferences.objects.create(user=anna, time_zone="America/New_York")
    response = as_anna.post(COMPOSE, typed(account, send_at=typed_time, send="1"))
    assert response.status_code == 422
    assert said in str(response.context["form"].errors["send_at"])
    assert Message.objects.get().status == Status.DRAFT


def test_a_preset_wins_over_a_typed_time(as_anna: Client, account: Account) -> None:
    as_anna.post(COMPOSE, typed(account, send_at="soon", preset="monday"))
    mail = Message.objects.get()
    assert mail.status == Status.SCHEDULED
    assert mail.send_at is not None
    assert (mail.send_at.weekday(), mail.send_at.hour) == (0, 9)


def test_an_unknown_preset_sends_nothing(as_anna: Client, account: Account) -> None:
    as_anna.post(COMPOSE, typed(account, preset="never"))
    assert Message.objects.get().status == Status.DRAFT


# Pictures that the text holds itself.

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DATA_PNG = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
DATA_GIF = f"data:image/gif;base64,{base64.b64encode(b'GIF89a' + bytes(9)).decode()}"


def test_pictures_inside_of_the_text_become_parts(as_anna: Client, account: Account) -> None:
    html = (
        f'<p>a <img src="{DATA_PNG}" alt="x"> b <img src="{DATA_GIF}"> <img src="{DATA_PNG}"></p>'
    )
    as_anna.post(COMPOSE, typed(account, html=html, send="1"))
    message = Message.objects.get()
    parts = [part for part in sent(message).walk() if part.get_content_maintype() == "image"]
    assert [part.get_content_type() for part in parts] == ["image/png", "image/gif"]
    assert parts[0].get_content() == PNG
    body = sent(message).get_body(("html",))
    assert body is not None
    for part, count in zip(parts, (2, 1), strict=True):
        assert body.get_content().count(f'src="cid:{part["Content-ID"].strip("<>")}"') == count


def test_a_save_that_is_repeated_attaches_a_picture_once(as_anna: Client, account: Account) -> None:
    fields = typed(account, form="page-1", html=f'<p><img src="{DATA_PNG}"></p>')
    for version in ("", "1", "2"):
        address = reverse("outbox:compose-save")
        assert as_anna.post(address, fields | {"version": version}).status_code == 200
    draft = Message.objects.get()
    picture = draft.attachments.get()
    assert draft.draft.html == f'<p><img src="cid:{picture.content_id}"></p>'
    assert (draft.attachment_count, picture.read()) == (1, PNG)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("data:image/svg+xml;base64,PHN2Zz4=", "image/svg+xml cannot be displayed"),
        ("data:image/png;base64,####", "is damaged"),
    ],
)
def test_a_picture_that_cannot_become_a_part_is_refused_with_words(
    as_anna: Client, account: Account, address: str, said: str
) -> None:
    html = f'<p>before <img src="{address}"> after</p>'
    response = as_anna.post(COMPOSE, typed(account, html=html, send="1"))
    assert response.status_code == 422
    assert said in response.context["form"].errors["html"][0]
    assert said in response.content.decode()
    assert response.context["form"]["html"].value() == html
    assert Message.objects.get().is_draft


def test_pictures_over_the_limit_are_refused_with_words(
    as_anna: Client, account: Account, settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 50}
    html = f'<p><img src="{DATA_PNG}"></p>'
    response = as_anna.post(COMPOSE, typed(account, html=html, send="1"))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["attachments"]
    assert (
        as_anna.post(reverse("outbox:compose-save"), typed(account, html=html)).status_code == 200
    )

"""Every field of the composer survives a page that is displayed again."""

import datetime as dt
import zoneinfo

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from outbox import api
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, Message, Preferences, Status
from outbox.web.compose.send_at import PRESETS, SendAtField
from tests.integration.web.conftest import typed
from tests.integration.web.controls import controls_of

COMPOSE = reverse("outbox:compose")
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
AUCKLAND = zoneinfo.ZoneInfo("Pacific/Auckland")
EVERY_FIELD = {
    "to": "Jane Doe <jane@example.com>, joe@example.org",
    "cc": "cc@example.com",
    "bcc": "bcc@example.com",
    "reply_to": "office@example.com",
    "subject": "  Figures & <facts>  ",
    "importance": "high",
    "text": "\n  First line, see attached\n\nLast line  \n",
    "send_at": "2071-07-01T09:00",
    "wants_report": "on",
}
WARNING = {"subject": ""}  # the subject is empty
ERRORS = {
    "address": {"to": "jane@example.com, joe at example.org"},
    "no recipient": {"to": "", "cc": "", "bcc": ""},
    "account": {"account": ""},
    "time": {"send_at": "2001-01-01T09:00"},
}
PENDING = {"warning": WARNING, **ERRORS}


@pytest.fixture(autouse=True)
def in_berlin(anna: User) -> None:
    Preferences.objects.create(user=anna, time_zone="Europe/Berlin")


def stored(draft: Message) -> dict[str, str]:
    """Return the draft's fields as the form names them."""
    content = draft.draft
    at = draft.send_at
    return {
        "account": str(draft.account_id or ""),
        "to": content.to,
        "cc": content.cc,
        "bcc": content.bcc,
        "reply_to": content.reply_to,
        "subject": draft.subject,
        "importance": draft.importance,
        "text": content.text.replace("\r\n", "\n"),
        "send_at": at.astimezone(BERLIN).strftime("%Y-%m-%dT%H:%M") if at else "",
    } | ({"wants_report": "on"} if draft.wants_report else {})


@pytest.mark.parametrize("pending", PENDING)
def test_every_field_survives_a_warning_and_an_error(
    as_anna: Client, account: Account, pending: str
) -> None:
    fields = typed(account) | EVERY_FIELD | PENDING[pending]
    page = as_anna.post(COMPOSE, fields | {"send": "1"})
    assert page.status_code == 422
    draft = Message.objects.get(status=Status.DRAFT)
    assert stored(draft) == fields
    shown = controls_of(page.content.decode())
    assert {name: shown.get(name, "") for name in fields} == fields
    reloaded = controls_of(as_anna.get(reverse("outbox:draft", args=[draft.pk])).content.decode())
    assert {name: reloaded.get(name, "") for name in fields} == fields


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("pending", [name for name in PENDING if name != "time"])
def test_a_preset_survives_a_warning_and_an_error(
    as_anna: Client, account: Account, preset: str, pending: str
) -> None:
    # “This evening” needs a zone in which the evening is still to come.
    zone = next(one for one in (BERLIN, AUCKLAND) if timezone.localtime(timezone=one).hour < 17)
    with timezone.override(zone):
        expected = PRESETS[preset].after(timezone.localtime())
    Preferences.objects.update(time_zone=zone.key)
    fields = typed(account) | PENDING[pending] | {"preset": preset}
    page = as_anna.post(COMPOSE, fields)
    draft = Message.objects.get(status=Status.DRAFT)
    assert draft.send_at is not None
    assert abs(draft.send_at - expected) <= dt.timedelta(minutes=1)
    shown = controls_of(page.content.decode())["send_at"]
    assert shown == draft.send_at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")
    assert ("Schedule anyway" in page.content.decode()) == (pending == "warning")


def test_the_warned_page_schedules_when_it_is_sent_as_displayed(
    as_anna: Client, account: Account
) -> None:
    page = as_anna.post(COMPOSE, typed(account, subject="", preset="tomorrow"))
    draft = Message.objects.get()
    again = controls_of(page.content.decode()) | {"shown_warning": "subject", "send": "1"}
    as_anna.post(reverse("outbox:draft", args=[draft.pk]), again)
    draft.refresh_from_db()
    assert draft.status == Status.SCHEDULED
    assert draft.send_at is not None
    assert draft.send_at.astimezone(BERLIN).strftime("%H:%M") == "09:00"


def test_a_file_survives_a_warning(as_anna: Client, account: Account) -> None:
    upload = SimpleUploadedFile("figures.csv", b"1;2", "text/csv")
    page = as_anna.post(COMPOSE, typed(account, subject="", send="1") | {"attachments": upload})
    assert Message.objects.get().attachments.get().name == "figures.csv"
    assert "figures.csv" in page.content.decode()


def test_formatted_text_survives_a_warning(as_anna: Client, account: Account) -> None:
    html = "<p>Some <strong>bold</strong> words</p>"
    page = as_anna.post(COMPOSE, typed(account, subject="", html=html, send="1"))
    assert Message.objects.get().draft.html == html
    assert controls_of(page.content.decode())["html"] == html


def test_a_preset_survives_a_conflict(as_anna: Client, account: Account, draft: Message) -> None:
    address = reverse("outbox:draft", args=[draft.pk])
    fields = typed(account) | EVERY_FIELD | {"send_at": "", "version": "999"}
    page = as_anna.post(address, fields | {"preset": "tomorrow"})
    assert page.status_code == 409
    mine = page.context["mine"]
    assert mine["send_at"].endswith("T09:00")
    kept = {name: value for name, value in mine.items() if name != "send_at"}
    expected = {name: value for name, value in fields.items() if name not in {"send_at", "version"}}
    assert kept == expected
    version = page.context["draft"].draft.version
    as_anna.post(address, mine | {"version": version, "save": "1"})
    draft = Message.objects.get()
    assert stored(draft) == expected | {"send_at": mine["send_at"]}


def test_presets_are_displayed_with_their_date(as_anna: Client, account: Account) -> None:
    page = as_anna.get(COMPOSE)
    tomorrow = timezone.localtime(timezone=BERLIN) + dt.timedelta(days=1)
    assert f"{tomorrow:%a} {tomorrow.day} {tomorrow:%b}, 09:00" in page.content.decode()
    assert "In 1 hour" in page.content.decode()


def test_an_hour_from_now_is_an_hour_when_the_clock_changes() -> None:
    before = dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)  # occurs again an hour later
    after = PRESETS["hour"].after(before)
    assert after.astimezone(dt.UTC) - before.astimezone(dt.UTC) == dt.timedelta(hours=1)
    before = dt.datetime(2026, 3, 29, 1, 30, tzinfo=BERLIN)  # an hour before is skipped
    after = PRESETS["hour"].after(before)
    assert after.astimezone(dt.UTC) - before.astimezone(dt.UTC) == dt.timedelta(hours=1)


def test_a_time_that_occurs_twice_is_not_refused() -> None:
    with timezone.override(BERLIN):
        first = SendAtField().clean("2071-10-25T02:30")
    assert first == dt.datetime(2071, 10, 25, 0, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("at", ["9999-12-31T23:59", "0001-01-01T00:00", "3000-06-01T09:00"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("name", ["outbox:compose", "outbox:compose-save"])
def test_a_year_that_no_clock_reaches_is_refused_at_its_field(
    as_anna: Client, account: Account, at: str, zone: str, name: str
) -> None:
    Preferences.objects.update(time_zone=zone)
    response = as_anna.post(reverse(name), typed(account, send_at=at, send="1"))
    assert Message.objects.get().status == Status.DRAFT
    if name == "outbox:compose":
        assert response.status_code == 422
        errors = response.context["form"].errors["send_at"]
        assert errors[0].startswith(("Enter a valid date", "That time has passed"))
        assert (
            as_anna.get(reverse("outbox:draft", args=[Message.objects.get().pk])).status_code == 200
        )
        assert as_anna.get(reverse("outbox:folder", args=["drafts"])).status_code == 200


@pytest.mark.parametrize("year", [1, 1969, 3000, 9999])
def test_the_api_refuses_a_time_outside_of_the_calendar(account: Account, year: int) -> None:
    moment = dt.datetime(year, 12, 31, tzinfo=dt.UTC)
    with pytest.raises(InvalidMessageError) as raised:
        api.send(to="jane@example.com", subject="x", text="x", account=account, send_at=moment)
    assert raised.value.field == "send_at"
    assert not Message.objects.exists()


@pytest.mark.parametrize("name", ["outbox:compose", "outbox:compose-save"])
@pytest.mark.parametrize("at", ["start", "middle", "only"])
@pytest.mark.parametrize(
    "field", [*typed(None), *EVERY_FIELD, "form", "html", "shown_warning", "version"]
)
def test_a_nul_in_any_field_causes_no_server_error(
    as_anna: Client, account: Account, name: str, field: str, at: str
) -> None:
    value = {"start": "\0ab", "middle": "a\0b", "only": "\0"}[at]
    response = as_anna.post(reverse(name), typed(account) | {field: value, "send": "1"})
    assert response.status_code < 500


def test_a_nul_in_a_request_of_the_composer_causes_no_server_error(
    as_anna: Client, account: Account, draft: Message
) -> None:
    for address in (
        reverse("outbox:suggest") + "?q=a%00b",
        reverse("outbox:compose") + "?to=a%00b&text=%00&as=%00&from=%00",
        reverse("outbox:compose-template") + "?template=%00",
    ):
        assert as_anna.get(address).status_code < 500
    files = reverse("outbox:draft-attachments", args=[draft.pk])
    upload = SimpleUploadedFile("a\0b.txt", b"text", "text/pl\0ain")
    assert as_anna.post(files, {"attachments": upload, "remove": "\0"}).status_code == 200
    assert draft.attachments.count() == 2


@pytest.mark.parametrize("name", ["empty.txt", "__init__.py", "data"])
def test_an_empty_file_is_attached_and_sent(as_anna: Client, account: Account, name: str) -> None:
    upload = SimpleUploadedFile(name, b"", "text/plain")
    as_anna.post(COMPOSE, typed(account, send="1") | {"attachments": upload})
    message = Message.objects.exclude(status=Status.DRAFT).get()
    assert f'filename="{name}"'.encode() in message.source.read()


def test_an_empty_file_is_uploaded_while_the_message_is_written(
    as_anna: Client, draft: Message
) -> None:
    upload = SimpleUploadedFile("empty.txt", b"", "text/plain")
    response = as_anna.post(
        reverse("outbox:draft-attachments", args=[draft.pk]), {"attachments": upload}
    )
    assert "empty.txt" in response.json()["list"]


def test_a_file_over_the_limit_is_refused_with_words_while_the_message_is_written(
    as_anna: Client, draft: Message, settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 1000}
    upload = SimpleUploadedFile("large.bin", b"x" * 1001)
    response = as_anna.post(
        reverse("outbox:draft-attachments", args=[draft.pk]), {"attachments": upload}
    )
    assert response.status_code == 422
    assert "large.bin" in response.json()["problem"]

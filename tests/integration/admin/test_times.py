"""Times in the admin: all in 24 hours, with seconds, in the format of the pages about messages."""

import datetime as dt
import re
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import DateTimeField, Model, QuerySet
from django.test import Client
from django.urls import reverse
from django.utils import formats, translation
from django.utils.html import strip_tags

from mailsite.settings import FORMAT_MODULE_PATH as FORMATS
from outbox.models import Account, Alarm, AlarmNotification
from tests.integration.admin.conftest import queue
from tests.integration.admin.test_permissions import rows_of

AT = dt.datetime(2024, 1, 2, 13, 5, 7, tzinfo=dt.UTC)
TWELVE_HOURS = re.compile(r"[ap]\.m\.|noon|midnight|\d [AP]M")
WITHOUT_SECONDS = re.compile(r"13:05(?!:07)")
LANGUAGES = {"en": "Tue 2 Jan 2024, 13:05:07", "zh-hans": "2024年1月2日 星期二 13:05:07"}


@pytest.fixture
def formats_of_django(settings: LazySettings) -> Iterator[None]:
    """The formats of a project that has none of its own."""
    settings.FORMAT_MODULE_PATH = None
    formats.reset_format_cache()
    yield
    settings.FORMAT_MODULE_PATH = FORMATS
    formats.reset_format_cache()


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_of_django_have_the_same_format(language: str) -> None:
    with translation.override(language):
        assert formats.date_format(AT, "DATETIME_FORMAT") == LANGUAGES[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_time_is_shown_with_24_hours_and_seconds(
    language: str, account: Account, staff: Client, formats_of_django: None
) -> None:
    rows = rows_of(account, queue(account, "jane@example.com"), User.objects.get())
    AlarmNotification.objects.create(alarm=Alarm.objects.get(), channel="http")
    missing, wrong = [], {}
    headers = {"accept-language": language}
    models: list[type[Model]] = [*admin.site._registry, AlarmNotification]
    for one in models:
        times = [each.name for each in one._meta.fields if isinstance(each, DateTimeField)]
        if one._meta.app_label == "outbox" and times:
            QuerySet(one).update(**dict.fromkeys(times, AT))  # also of the audit log
    for model, page in admin.site._registry.items():
        name = model._meta.model_name or ""
        if model._meta.app_label != "outbox" or name not in rows:
            continue
        for form, address in (
            ("seconds", reverse(f"admin:outbox_{name}_changelist")),
            ("full", reverse(f"admin:outbox_{name}_change", args=[rows[name]])),
        ):
            shown = strip_tags(staff.get(address, headers=headers).content.decode())
            if found := [*TWELVE_HOURS.findall(shown), *WITHOUT_SECONDS.findall(shown)]:
                wrong[address] = found
            methods = page.shown_times  # type: ignore[attr-defined]
            has_times = any(one.endswith(f"_{form}") for one in methods)
            if has_times and LANGUAGES[language] not in shown:
                missing.append(address)
    assert (wrong, missing) == ({}, [])


@pytest.mark.parametrize(
    ("model", "times"),
    [
        ("message", {"created_at", "queued_at", "send_at", "expires_at"}),
        ("inboundmessage", {"received_at", "sent_at"}),
        ("bulkoperation", {"created_at", "confirmed_at", "finished_at"}),
        ("suppression", {"since", "until"}),
    ],
)
def test_the_page_of_a_row_shows_its_times(
    model: str, times: set[str], account: Account, staff: Client
) -> None:
    rows = rows_of(account, queue(account, "jane@example.com"), User.objects.get())
    kind: type[Model] = apps.get_model("outbox", model)
    QuerySet(kind).update(**dict.fromkeys(times, AT))
    page = staff.get(reverse(f"admin:outbox_{model}_change", args=[rows[model]])).content.decode()
    shown = " ".join(strip_tags(page).split())
    with translation.override("en"):
        labels = [str(kind._meta.get_field(name).verbose_name) for name in times]  # type: ignore[union-attr]
    missing = [
        label
        for label in labels
        if f"{label[0].upper()}{label[1:]}: Tue 2 Jan 2024, 13:05:07" not in shown
    ]
    assert missing == []


def test_a_new_suppression_has_an_end_to_enter(staff: Client) -> None:
    page = staff.get(reverse("admin:outbox_suppression_add")).content.decode()
    assert 'name="until_0"' in page
    assert "field-since" not in page

"""Preferences: a person's own language, time zone, signature and time to undo."""

import re

import pytest
from django.conf import LazySettings, global_settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.api import DraftFields, save_draft
from outbox.models import Account, Message, Preferences
from outbox.web.auth import ZONE_COOKIE

PREFERENCES = reverse("outbox:preferences")
USUAL = {
    "language": "",
    "time_zone": "",
    "theme": "",
    "page_size": "",
    "uses_shortcuts": "on",
    "default_account": "",
    "undo_period": "",
    "signature": "",
}


def test_what_is_chosen_is_kept(as_anna: Client, anna: User) -> None:
    chosen = {
        "language": "zh-hans",
        "time_zone": "Asia/Shanghai",
        "undo_period": "30",
        "writes_rich": "on",
        "signature": "Anna",
    }
    assert as_anna.post(PREFERENCES, USUAL | chosen).status_code == 302
    kept = Preferences.objects.get(user=anna)
    assert (kept.language, kept.time_zone, kept.undo_period) == ("zh-hans", "Asia/Shanghai", 30)
    assert (kept.writes_rich, kept.signature) == (True, "Anna")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "xx"),
        ("time_zone", "Mars/Olympus"),
        ("undo_period", "3600"),
        ("undo_period", "x"),
        ("theme", "pink"),
        ("page_size", "7"),
        ("default_account", "999"),
    ],
)
def test_an_invalid_choice_is_reported_at_its_field(
    as_anna: Client, field: str, value: str
) -> None:
    response = as_anna.post(PREFERENCES, USUAL | {field: value})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert not Preferences.objects.exists()


@pytest.mark.parametrize(
    ("configured", "offered"),
    [
        pytest.param(global_settings.LANGUAGES, ["", "en", "zh-hans"], id="Django's default"),
        pytest.param([("de", "German"), ("en", "English")], ["", "de", "en"], id="a choice"),
    ],
)
def test_the_languages_of_the_pages_are_offered(
    as_anna: Client, settings: LazySettings, configured: object, offered: list[str]
) -> None:
    settings.LANGUAGES = configured
    form = as_anna.get(PREFERENCES).context["form"]
    assert [code for code, _name in form.fields["language"].choices] == offered


def test_a_language_that_was_chosen_before_stays_a_choice(
    as_anna: Client, anna: User, settings: LazySettings
) -> None:
    settings.LANGUAGES = global_settings.LANGUAGES
    Preferences.objects.create(user=anna, language="de")
    form = as_anna.get(PREFERENCES).context["form"]
    assert ("de", "German") in form.fields["language"].choices
    as_anna.post(PREFERENCES, USUAL | {"language": "de"})
    assert Preferences.objects.get().language == "de"


def offset_shown(client: Client) -> str:
    """Return the offset of the time that the page names as now."""
    found = re.search(r"Current time: <time[^>]*>[^<]* (UTC[^<]*)</time>", page_of(client))
    assert found is not None
    return found[1]


def page_of(client: Client) -> str:
    return client.get(PREFERENCES).content.decode()


def test_times_are_in_the_chosen_zone(as_anna: Client, mail: Message) -> None:
    address = reverse("outbox:message", args=[mail.pk])
    assert " UTC</time>" in as_anna.get(address).content.decode()
    as_anna.post(PREFERENCES, USUAL | {"time_zone": "Asia/Shanghai"})
    page = as_anna.get(address).content.decode()
    assert " UTC+8</time>" in page
    assert " UTC</time>" not in page


def test_the_browser_s_zone_is_used_if_none_is_chosen(as_anna: Client) -> None:
    as_anna.cookies[ZONE_COOKIE] = "Asia/Tokyo"
    assert offset_shown(as_anna) == "UTC+9"
    as_anna.post(PREFERENCES, USUAL | {"time_zone": "UTC"})
    assert offset_shown(as_anna) == "UTC"


@pytest.mark.parametrize("named", ["Mars/Olympus", "../../etc/passwd", "", "x" * 4000])
def test_an_unknown_zone_is_ignored(as_anna: Client, named: str) -> None:
    as_anna.cookies[ZONE_COOKIE] = named
    assert offset_shown(as_anna) == "UTC"


def test_pages_come_in_the_chosen_language(as_anna: Client, anna: User) -> None:
    as_anna.post(PREFERENCES, USUAL | {"language": "zh-hans"})
    page = as_anna.get(PREFERENCES, headers={"accept-language": "en"}).content.decode()
    assert '<html lang="zh-hans"' in page


def test_pages_without_a_user_keep_the_language_in_the_same_browser(
    as_anna: Client, anna: User
) -> None:
    as_anna.post(PREFERENCES, USUAL | {"language": "zh-hans"})
    as_anna.post(reverse("logout"))
    assert '<html lang="zh-hans"' in as_anna.get(reverse("login")).content.decode()
    assert '<html lang="zh-hans"' in as_anna.get("/nowhere/").content.decode()


def test_a_language_that_is_no_longer_chosen_is_forgotten(as_anna: Client, anna: User) -> None:
    chosen = as_anna.post(PREFERENCES, USUAL | {"language": "zh-hans"})
    assert chosen.cookies["django_language"].value == "zh-hans"
    reset = as_anna.post(PREFERENCES, USUAL)
    assert reset.cookies["django_language"].value == ""


def test_a_new_message_ends_with_the_signature(as_anna: Client, account: Account) -> None:
    as_anna.post(PREFERENCES, USUAL | {"signature": "Anna\r\nSales"})
    form = as_anna.get(reverse("outbox:compose")).context["form"]
    assert form["text"].value() == "\n\n-- \nAnna\nSales"
    account.signature = "Work"
    account.save()
    form = as_anna.get(reverse("outbox:compose"), {"text": "Hi"}).context["form"]
    assert form["text"].value() == "Hi\n\n-- \nWork"


def test_theme_is_an_attribute_of_every_page(as_anna: Client) -> None:
    assert "data-theme" not in as_anna.get(PREFERENCES).content.decode()
    as_anna.post(PREFERENCES, USUAL | {"theme": "dark"})
    assert 'data-theme="dark"' in as_anna.get(PREFERENCES).content.decode()
    assert 'data-theme="dark"' in as_anna.get(reverse("outbox:message", args=[0])).content.decode()
    as_anna.post(reverse("logout"))
    assert 'data-theme="dark"' in as_anna.get(reverse("login")).content.decode()
    assert 'data-theme="dark"' in as_anna.get("/nowhere/").content.decode()


@pytest.mark.parametrize("value", ["pink", '"><script>', ""])
def test_theme_cookie_with_another_value_is_ignored(client: Client, value: str) -> None:
    client.cookies["outbox_theme"] = value
    assert "data-theme" not in client.get(reverse("login")).content.decode()


def test_theme_cookie_is_removed_with_the_choice(as_anna: Client) -> None:
    as_anna.post(PREFERENCES, USUAL | {"theme": "light"})
    assert as_anna.post(PREFERENCES, USUAL).cookies["outbox_theme"].value == ""


def test_page_size_applies_to_folders_and_search(
    as_anna: Client, anna: User, account: Account
) -> None:
    for number in range(27):
        save_draft(anna, DraftFields(account=account, subject=f"Draft {number}"))
    drafts = reverse("outbox:folder", args=["drafts"])
    assert len(as_anna.get(drafts).context["list"].rows) == 27
    as_anna.post(PREFERENCES, USUAL | {"page_size": "25"})
    first = as_anna.get(drafts).context["list"]
    assert len(first.rows) == 25
    older = as_anna.get(drafts, {"before": str(first.slice.older)}).context["list"]
    assert len(older.rows) == 2
    found = as_anna.get(reverse("outbox:search"), {"q": "in:drafts"}).context["list"]
    assert len(found.rows) == 25


def test_default_account_is_selected_in_a_new_message(as_anna: Client, account: Account) -> None:
    other = Account.objects.create(owner=account.owner, name="Zoo", from_address="zoo@example.com")
    compose = reverse("outbox:compose")
    assert as_anna.get(compose).context["form"]["account"].value() == account.pk
    as_anna.post(PREFERENCES, USUAL | {"default_account": str(other.pk)})
    assert as_anna.get(compose).context["form"]["account"].value() == other.pk
    other.owner = None
    other.save()
    assert as_anna.get(compose).context["form"]["account"].value() == account.pk


def test_account_of_another_person_cannot_be_the_default(as_anna: Client, carl: User) -> None:
    foreign = Account.objects.create(owner=carl, name="Carl", from_address="carl@example.com")
    response = as_anna.post(PREFERENCES, USUAL | {"default_account": str(foreign.pk)})
    assert response.status_code == 422


def test_deleted_default_account_leaves_none(as_anna: Client, account: Account) -> None:
    as_anna.post(PREFERENCES, USUAL | {"default_account": str(account.pk)})
    account.delete()
    assert Preferences.objects.get().default_account_id is None


def test_time_zone_that_is_no_longer_listed_can_be_kept(as_anna: Client, anna: User) -> None:
    Preferences.objects.create(user=anna, time_zone="Asia/Calcutta")
    as_anna.post(PREFERENCES, USUAL | {"time_zone": "Asia/Calcutta", "signature": "Anna"})
    kept = Preferences.objects.get()
    assert (kept.time_zone, kept.signature) == ("Asia/Calcutta", "Anna")

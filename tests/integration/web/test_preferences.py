"""Preferences: a person's own language, time zone, signature and time to undo."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.models import Account, Message, Preferences
from outbox.web.person import ZONE_COOKIE

PREFERENCES = reverse("outbox:preferences")
USUAL = {"language": "", "time_zone": "", "undo_for": "", "signature": ""}


def test_what_is_chosen_is_kept(as_anna: Client, anna: User) -> None:
    chosen = {
        "language": "zh-hans",
        "time_zone": "Asia/Shanghai",
        "undo_for": "30",
        "writes_rich": "on",
        "signature": "Anna",
    }
    assert as_anna.post(PREFERENCES, chosen).status_code == 302
    kept = Preferences.objects.get(user=anna)
    assert (kept.language, kept.time_zone, kept.undo_for) == ("zh-hans", "Asia/Shanghai", 30)
    assert (kept.writes_rich, kept.signature) == (True, "Anna")


@pytest.mark.parametrize(
    ("field", "value"),
    [("language", "xx"), ("time_zone", "Mars/Olympus"), ("undo_for", "3600"), ("undo_for", "x")],
)
def test_what_is_no_choice_is_told_at_its_field(as_anna: Client, field: str, value: str) -> None:
    answer = as_anna.post(PREFERENCES, USUAL | {field: value})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert not Preferences.objects.exists()


def test_times_are_told_in_the_chosen_zone(as_anna: Client, anna: User, mail: Message) -> None:
    address = reverse("outbox:message", args=[mail.pk])
    assert " UTC" in as_anna.get(address).content.decode()
    as_anna.post(PREFERENCES, USUAL | {"time_zone": "Asia/Shanghai"})
    page = as_anna.get(address).content.decode()
    assert " CST" in page
    assert " UTC" not in page


def test_the_browser_s_zone_counts_as_long_as_none_is_chosen(as_anna: Client, anna: User) -> None:
    as_anna.cookies[ZONE_COOKIE] = "Asia/Tokyo"
    assert " JST" in as_anna.get(PREFERENCES).content.decode()
    as_anna.post(PREFERENCES, USUAL | {"time_zone": "UTC"})
    assert " JST" not in as_anna.get(PREFERENCES).content.decode()


@pytest.mark.parametrize("named", ["Mars/Olympus", "../../etc/passwd", "", "x" * 4000])
def test_a_zone_that_is_none_is_ignored(as_anna: Client, named: str) -> None:
    as_anna.cookies[ZONE_COOKIE] = named
    assert " UTC" in as_anna.get(PREFERENCES).content.decode()


def test_pages_come_in_the_chosen_language(as_anna: Client, anna: User) -> None:
    as_anna.post(PREFERENCES, USUAL | {"language": "zh-hans"})
    page = as_anna.get(PREFERENCES, headers={"accept-language": "en"}).content.decode()
    assert '<html lang="zh-hans">' in page


def test_pages_that_know_nobody_follow_in_the_same_browser(as_anna: Client, anna: User) -> None:
    as_anna.post(PREFERENCES, USUAL | {"language": "zh-hans"})
    as_anna.post(reverse("logout"))
    assert '<html lang="zh-hans">' in as_anna.get(reverse("login")).content.decode()
    assert '<html lang="zh-hans">' in as_anna.get("/nowhere/").content.decode()


def test_a_language_that_is_given_up_is_forgotten(as_anna: Client, anna: User) -> None:
    chosen = as_anna.post(PREFERENCES, USUAL | {"language": "zh-hans"})
    assert chosen.cookies["django_language"].value == "zh-hans"
    given_up = as_anna.post(PREFERENCES, USUAL)
    assert given_up.cookies["django_language"].value == ""


def test_the_signature_stands_below_a_new_mail(as_anna: Client, account: Account) -> None:
    as_anna.post(PREFERENCES, USUAL | {"signature": "Anna\r\nSales"})
    form = as_anna.get(reverse("outbox:compose")).context["form"]
    assert form["text"].value() == "\n\n-- \nAnna\nSales"
    account.signature = "Work"
    account.save()
    form = as_anna.get(reverse("outbox:compose"), {"text": "Hi"}).context["form"]
    assert form["text"].value() == "Hi\n\n-- \nWork"

"""The message page in a browser."""

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Message, State, Status
from tests.browser.scenes import LETTER, account, mail
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

FILM = ("film.mp4", "video/mp4", b"x" * 1_100_000)


def test_a_letter_is_seen_as_its_reader_sees_it(page: "Page", anna: User) -> None:
    letter = mail(account(anna), "News", [("club@example.com", State.SENT)], html=LETTER)
    sign_in(page)
    page.goto(reverse("outbox:message", args=[letter.pk]))
    light = page.locator("#preview-light")
    page.frame_locator("#preview-light").get_by_role("heading", name="News").wait_for()
    assert page.get_by_text("pictures.example.com").is_visible()

    page.get_by_label("Phone").check()
    box = light.bounding_box()
    assert box is not None
    assert box["width"] < 400
    page.get_by_label("150%").check()
    zoomed = light.bounding_box()
    assert zoomed is not None
    assert zoomed["width"] == pytest.approx(box["width"] * 1.5, abs=2)

    page.get_by_label("Dark").check()
    dark = page.frame_locator("#preview-dark").locator("html")
    dark.wait_for()
    assert light.is_hidden()
    assert dark.evaluate("html => getComputedStyle(html).color") == "rgb(255, 255, 255)"

    page.get_by_role("link", name="HTML").click()
    page.get_by_text('<h1 style="color:').wait_for()
    page.get_by_role("link", name="Preview").click()
    page.frame_locator("#preview-light").get_by_role("heading", name="News").wait_for()


def test_edit_and_resend_copies_the_failed_recipients(page: "Page", anna: User) -> None:
    states = [("jane@example.com", State.SENT), ("unknown@example.org", State.FAILED)]
    failed = mail(account(anna), "Figures", states, attachments=[("f.csv", "text/csv", b"1;2")])
    sign_in(page)
    page.goto(reverse("outbox:message", args=[failed.pk]))
    page.get_by_role("button", name="Edit and resend").click()
    page.locator("#id_to_entry").wait_for()
    assert page.get_by_label("Subject").input_value() == "Figures"
    assert page.get_by_role("link", name="f.csv").is_visible()
    page.locator(".address-chip").get_by_text("unknown@example.org").wait_for()
    assert page.get_by_text("jane@example.com").count() == 0
    page.get_by_label("Subject").press("End")
    page.keyboard.type(" again")
    page.wait_for_url("**/compose/*/")
    page.goto(reverse("outbox:message", args=[failed.pk]))
    page.locator("dd", has=page.get_by_role("link", name="Figures")).get_by_text("draft").wait_for()


def test_a_message_that_is_too_large_to_forward_is_reported(
    page: "Page", anna: User, settings: Any
) -> None:
    sent = mail(account(anna), "Film", [("a@example.com", State.SENT)], attachments=[FILM])
    settings.OUTBOX = {**settings.OUTBOX, "MAX_MESSAGE_BYTES": 1_000_000}
    sign_in(page)
    page.goto(reverse("outbox:message", args=[sent.pk]))
    page.get_by_role("button", name="Forward").click()
    page.get_by_text("The limit is 1.0 MB").wait_for()
    assert page.get_by_role("heading", name="Film").is_visible()


def test_a_copy_of_a_delivered_mail_asks_twice_before_it_goes(page: "Page", anna: User) -> None:
    states = [("jane@example.com", State.SENT), ("joe@example.org", State.SENT)]
    sent = mail(account(anna), "Lunch", states)
    sign_in(page)
    page.goto(reverse("outbox:message", args=[sent.pk]))
    page.get_by_role("button", name="Edit as new").click()
    page.locator("#id_to_entry").wait_for()
    page.get_by_role("button", name="Remove joe@example.org").click()
    page.get_by_role("button", name="Send", exact=True).click()
    asked = page.get_by_role("alert", name="Check before sending")
    asked.get_by_text("1 recipient already has this message and would receive it twice.").wait_for()
    assert asked.get_by_text("jane@example.com").is_visible()
    assert Message.objects.filter(status=Status.DRAFT).count() == 1

    page.get_by_role("button", name="Send anyway").click()
    page.wait_for_url("**/messages/**")
    assert Message.objects.filter(status=Status.DRAFT).count() == 0

"""The inbox in a real browser: hostile HTML, remote pictures on one click, keyboard, reply."""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from outbox.models import InboundMessage, ReplyReminder, State
from tests.browser.album import CHINESE, Variant, open_album
from tests.browser.hostile import COLLECT_REPORTS, Server, every_trick, serving
from tests.browser.scenes import account, mail
from tests.browser.writing import sign_in
from tests.received import letter, receive

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOP = (
    '<h1>Autumn sale</h1><p>20 % off.</p><img src="https://img.shop.example/a.png" alt="Garden">'
    '<img src="https://t.tracker.example/p.gif">'
)
QUIET = 500  # milliseconds in which every trick has long called


@pytest.fixture
def counter() -> Iterator[Server]:
    with serving() as server:
        yield server


def html_letter(html: str) -> str:
    return (
        f"From: x@example.org\nSubject: Offer\nContent-Type: text/html; charset=utf-8\n\n{html}\n"
    )


def test_a_hostile_message_calls_no_server_until_its_pictures_are_loaded(
    page: "Page", writer: User, counter: Server
) -> None:
    message = receive(writer, html_letter(f"<p>First</p>{every_trick(counter.host)}"))
    sign_in(page)
    page.add_init_script(COLLECT_REPORTS)
    page.goto(reverse("outbox:received", args=[message.pk]))
    page.frame_locator("#preview-light").get_by_text("First").wait_for()
    page.wait_for_timeout(QUIET)
    assert counter.calls == []

    page.get_by_role("button", name="Load pictures").click()
    page.get_by_text("Remote pictures are displayed.").wait_for()
    page.wait_for_timeout(QUIET)
    # Pictures only, also those with which a trick replaces its script. Nothing runs.
    assert "/picture" in counter.paths
    assert not {
        "/script", "/inline-script", "/module", "/handler", "/style-import", "/style-url", "/frame",
        "/style-font", "/object", "/embed", "/video", "/form", "/meta-refresh", "/base", "/preload",
    }.intersection(counter.paths)  # fmt: skip
    assert set(counter.referrers.values()) == {None}
    assert page.evaluate("reports") == []


def test_messages_are_read_and_archived_with_keys(page: "Page", writer: User) -> None:
    first, second, third = (
        receive(writer, letter(subject)) for subject in ("First", "Second", "Third")
    )
    sign_in(page)
    page.goto(reverse("outbox:inbox"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{reverse('outbox:received', args=[third.pk])}")
    page.keyboard.press("j")
    page.wait_for_url(f"**{reverse('outbox:received', args=[second.pk])}")
    page.keyboard.press("j")
    page.wait_for_url(f"**{reverse('outbox:received', args=[first.pk])}")
    page.keyboard.press("k")
    page.wait_for_url(f"**{reverse('outbox:received', args=[second.pk])}")
    page.keyboard.press("y")
    page.get_by_text("Archived: 1 message.").wait_for()
    page.goto(reverse("outbox:received", args=[first.pk]))
    page.keyboard.press("#")
    page.get_by_text("Moved to Trash: 1 message.").wait_for()
    folders = InboundMessage.objects.order_by("pk").values_list("folder", "is_read")
    assert list(folders) == [("trash", True), ("archive", True), ("inbox", True)]
    page.goto(reverse("outbox:received", args=[third.pk]))
    page.keyboard.press("r")
    page.wait_for_url("**/compose/**")
    assert page.get_by_label("Subject").input_value() == "Re: Third"


LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2


def addresses(writer: User) -> dict[str, str]:
    """Fill the inbox, and name the pages worth a picture."""
    sender = account(writer)
    sent = mail(sender, "Offer for the garden", [("jane@example.org", State.SENT)])
    reminded = mail(sender, "Contract", [("tom@example.org", State.SENT)])
    ReplyReminder.objects.create(
        message=reminded, owner=writer, days=3, remind_at=timezone.now() - dt.timedelta(days=1)
    )
    receive(writer, letter("", "没有主题的邮件", sender="张伟 <zhang@example.cn>"), sender)
    receive(writer, letter(LONG, LONG, sender=f"{LONG} <{'x' * 60}@{'y' * 60}.example>"), sender)
    automatic = receive(writer, letter("Out of office", Auto_Submitted="auto-replied"), sender)
    shop = receive(writer, html_letter(SHOP), sender)
    first = receive(writer, letter("Re: Offer for the garden"), sender, thread="t", replies_to=sent)
    receive(writer, letter("Re: Offer for the garden", "Friday?"), sender, thread="t")
    bounce = receive(writer, letter(LONG, LONG), sender, kind="bounce", replies_to=sent)
    for recipient in (sent.recipients.get(), None):
        bounce.reports.create(
            recipient=recipient, kind="bounce", address=f"{LONG}@example.org", status="5.1.1",
            text=f"550 5.1.1 {LONG}", at=timezone.now(), matched_by="message_id",
        )  # fmt: skip
    archive = reverse("outbox:received-folder", args=["archive"])
    pages = {"shop": shop, "bounce": bounce, "thread": first, "automatic": automatic}
    return {
        f"received-{name}": reverse("outbox:received", args=[one.pk]) for name, one in pages.items()
    } | {
        "inbox": reverse("outbox:inbox"),
        "inbox-unread": f"{reverse('outbox:received-folder', args=['inbox'])}?show=unread",
        "archive-empty": archive,
        "search-received": f"{reverse('outbox:search')}?q=offer",
        "message-with-reminder": reverse("outbox:message", args=[sent.pk]),
    }


@pytest.mark.system
@pytest.mark.parametrize("locale", ["en", CHINESE])
def test_pages_fit_and_have_no_fault(
    browser: "Browser", live_server: Any, writer: User, locale: str
) -> None:
    variants: list[Variant] = [("wide", "light"), ("wide", "dark"), ("narrow", "dark")]
    pages = addresses(writer)
    with open_album(browser, live_server.url, variants=variants, locale=locale) as album:
        album.sign_in()
        for name, address in pages.items():
            album.visit(name, address)

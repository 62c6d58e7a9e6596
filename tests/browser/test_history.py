"""The sent history in the admin: pictures in each size, theme and language, and its links."""

from typing import TYPE_CHECKING, Any, Literal

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.admin.readonly import ReadOnlyAdmin
from outbox.models import InboundMessage, Message, State
from outbox.models.search import index_new
from tests.browser import scenes
from tests.browser.album import MEASURE, PICTURES, SIZES
from tests.browser.test_apps_folder import messages_of_apps
from tests.browser.writing import PASSWORD, authenticate
from tests.received import letter, receive
from tests.states import set_state

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIST = reverse("admin:outbox_message_changelist")


@pytest.fixture
def staff(transactional_db: None) -> User:
    return User.objects.create_superuser("anna", password=PASSWORD)


@pytest.fixture
def history(staff: User) -> Message:
    """Messages in several states, with long words and in Chinese. Return one that failed."""
    scenes.busy_site(staff)
    failed = messages_of_apps(staff)
    Message.objects.filter(pk=failed.pk).update(tags=["password-reset"])
    index_new("default", 1_000)
    return failed


def look(page: "Page", name: str, path: str) -> None:
    """Save pictures of a page. It never scrolls sideways as a whole."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    PICTURES.mkdir(parents=True, exist_ok=True)
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in themes:
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=PICTURES / f"admin-{name}-{size}-{theme}.png", full_page=True)
        assert page.evaluate(MEASURE)[0] <= 0, f"{name} overflows in size {size}"


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_pages_of_the_sent_history_fit(
    browser: "Browser", live_server: Any, history: Message
) -> None:
    message = reverse("admin:outbox_message_change", args=[history.pk])
    errors: list[str] = []
    long = Message.objects.filter(subject__startswith="Donau", owner=None).latest("pk")
    for locale, mark in (("en", ""), ("zh-CN", "-chinese")):
        context = browser.new_context(base_url=live_server.url, locale=locale)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        authenticate(page)
        look(page, f"list{mark}", LIST)
        look(page, f"list-filtered{mark}", f"{LIST}?code=5&domain=example.org&since=2020-01-01")
        look(page, f"list-empty{mark}", f"{LIST}?q=nowhere")
        look(page, f"message{mark}", f"{message}?content=text")
        look(page, f"message-long{mark}", reverse("admin:outbox_message_change", args=[long.pk]))
        context.close()
    assert errors == []


@pytest.fixture
def received(staff: User) -> list[InboundMessage]:
    """Received messages: a letter, a Chinese one, a long subject, and a page with pictures."""
    sender = scenes.account(staff, "Shop")
    page = (
        "From: =?utf-8?b?5p2O5piO?= <li@example.cn>\nTo: shop@example.com\nSubject: Offer\n"
        "Content-Type: text/html; charset=utf-8\n\n"
        '<h1>Autumn sale</h1><p>20 % off.</p>\n<img src="https://img.shop.example/a.png" alt="A">\n'
    )
    letters = [
        letter("Are my shoes on their way?", "I ordered them last week.\n\nJane"),
        letter("十一月的账单", "请查收附件中的账单。", sender="李明 <li@example.cn>"),
        letter(
            "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamte " * 3, "Hello."
        ),
        page,
    ]
    return [receive(staff, source, sender, is_read=bool(n)) for n, source in enumerate(letters)]


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_pages_of_received_messages_fit(
    browser: "Browser", live_server: Any, received: list[InboundMessage]
) -> None:
    shown = "admin:outbox_inboundmessage_{}".format
    for locale, mark in (("en", ""), ("zh-CN", "-chinese")):
        context = browser.new_context(base_url=live_server.url, locale=locale)
        page = context.new_page()
        authenticate(page)
        look(page, f"received{mark}", reverse(shown("changelist")))
        for name, message, tab in (
            ("plain", received[0], "text"),
            ("long", received[2], "text"),
            ("html", received[3], "html"),
        ):
            url = reverse(shown("change"), args=[message.pk])
            look(page, f"received-{name}{mark}", f"{url}?content={tab}")
        context.close()


def test_an_operator_finds_a_message_and_opens_its_content(
    page: "Page", history: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 3)
    authenticate(page)
    page.goto(LIST)
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newest").click()
    page.get_by_text("By reply code").click()
    page.get_by_label("Reply code").fill("5")
    page.get_by_role("button", name="Filter").first.click()
    page.locator("#searchbar").fill("reset")
    page.locator("#searchbar").press("Enter")
    assert "code=5" in page.url
    page.get_by_role("link", name="Reset your password").click()
    page.get_by_role("heading", name="Recipients").wait_for()
    assert "4711" not in page.content()
    page.get_by_role("link", name="Text", exact=True).click()
    page.get_by_text("reset/4711").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download .eml").click()
    assert download.value.suggested_filename.endswith(".eml")
    page.goto(f"{LIST}?q=reset")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "messages.csv"


def test_a_reply_is_readable_on_a_phone(page: "Page", staff: User) -> None:
    account = scenes.account(staff)
    reply = "5.7.1 Rejected by the policy of this site"
    failed = scenes.mail(account, "Offer", [("a.long.name@example.org", State.FAILED)])
    set_state(failed.recipients, State.FAILED, reply_code=550, reply_text=reply)
    authenticate(page)
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(reverse("admin:outbox_message_change", args=[failed.pk]))
    cell = page.locator(".outbox-scroll td").filter(has_text=reply)
    assert cell.evaluate("cell => cell.offsetWidth") >= 150

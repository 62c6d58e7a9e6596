"""What a person sets up once: the first steps, accounts and their trouble, templates."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from outbox.models import Account, Circuit, Destination, Template
from outbox.testing.mailserver import MailServer
from outbox.testing.offer import Offer
from tests.browser import scenes
from tests.browser.album import SIZES, THEMES, Album, Theme, open_album
from tests.browser.writing import PASSWORD, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REFUSED = "the server refused the login: 535 5.7.8 Username and Password not accepted"
TEXT = """Dear {{ name }},

thank you for your call. The price for {{ what }} is {{ price }}
until {{ until|default:"the end of the month" }}.

Anna"""


@pytest.fixture
def anna(transactional_db: None) -> User:
    """Somebody who has nothing yet."""
    return User.objects.create_user("anna", password=PASSWORD)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    """A mail server that wants a login."""
    offer = Offer(
        extensions=("PIPELINING", "8BITMIME", "AUTH PLAIN LOGIN"),
        login=("anna@example.invalid", "pale fire"),
        login_required=True,
    )
    with MailServer(tmp_path / "mail", offer=offer) as server:
        yield server


def held_back(account: Account) -> Destination:
    return Destination.objects.create(
        account=account,
        circuit=Circuit.OPEN,
        circuit_until=timezone.now() + dt.timedelta(minutes=10),
        circuit_reason=REFUSED,
        circuit_needs_person=True,
    )


def describe(page: "Page", server: MailServer) -> None:
    """Fill in the form of a new account, all but its password."""
    page.get_by_label("Your email address").fill("anna@example.invalid")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Server", exact=True).fill(server.host)
    page.get_by_label("Port").fill(str(server.port))
    page.get_by_label("None (not encrypted)").check()


@pytest.mark.usefixtures("anna")
def test_three_steps_lead_to_the_composer(page: "Page", server: MailServer) -> None:
    sign_in(page)
    page.get_by_role("heading", name="Send your first message in three steps").wait_for()
    page.get_by_role("link", name="Add an account").click()
    describe(page, server)
    page.get_by_label("Password", exact=True).fill("pale fire")
    page.get_by_role("button", name="Save account").click()
    page.get_by_text("Connection not tested yet").wait_for()
    page.get_by_role("link", name="Outbox").first.click()
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connected.").wait_for()
    page.get_by_text("Connection tested").wait_for()
    assert page.url.endswith("/")
    page.get_by_role("link", name="Write a message").click()
    page.wait_for_url("**/compose/?to=*")
    assert page.locator("[name=to]").input_value() == "anna@example.invalid"


@pytest.mark.usefixtures("anna")
def test_a_refused_login_is_shown_step_by_step(page: "Page", server: MailServer) -> None:
    sign_in(page)
    page.goto(reverse("outbox:account-add"))
    describe(page, server)
    page.get_by_label("Password", exact=True).fill("red herring")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connection failed").wait_for()
    steps = page.locator(".steps").inner_text()
    assert "greeting" in steps
    assert "login" in steps
    assert page.get_by_label("Password", exact=True).input_value() == "red herring"


def test_an_owner_is_led_from_the_notice_to_trying_again(page: "Page", anna: User) -> None:
    route = held_back(scenes.account(anna))
    sign_in(page)
    page.get_by_text("“Work” cannot send").wait_for()
    page.get_by_role("link", name="Fix").click()
    page.get_by_text("535 5.7.8").wait_for()
    page.get_by_role("button", name="Retry now").click()
    page.get_by_text("are retried now").wait_for()
    assert page.get_by_text("535 5.7.8").count() == 0
    route.refresh_from_db()
    assert route.circuit == Circuit.CLOSED


@pytest.mark.usefixtures("anna")
def test_a_template_is_tried_out_while_it_is_written(page: "Page") -> None:
    sign_in(page)
    page.get_by_role("link", name="Templates").click()
    page.get_by_role("link", name="Write a template").first.click()
    page.get_by_label("Name", exact=True).fill("Offer")
    page.get_by_label("Subject").fill("Offer for {{ name }}")
    mail = page.locator("#trial-mail")
    mail.get_by_text("Offer for {{ name }}").wait_for()
    value = page.get_by_label("name", exact=True).last
    value.press_sequentially("Jane Doe", delay=40)
    mail.get_by_text("Offer for Jane Doe").wait_for()
    assert value.input_value() == "Jane Doe"
    assert value.evaluate("field => field === document.activeElement")
    page.get_by_role("button", name="Save template").click()
    page.get_by_text("Template saved.").wait_for()
    page.get_by_role("link", name="Use template").click()
    page.get_by_label("name", exact=True).fill("Jane")
    page.get_by_role("button", name="Insert").click()
    page.get_by_role("heading", name="Draft").wait_for()
    assert page.get_by_label("Subject").input_value() == "Offer for Jane"


@pytest.mark.usefixtures("anna")
def test_a_mistake_in_a_template_is_told_at_its_field(page: "Page") -> None:
    sign_in(page)
    page.goto(reverse("outbox:template-add"))
    page.get_by_label("Name", exact=True).fill("Offer")
    page.get_by_label("Text", exact=True).fill("Dear {{ name")
    page.get_by_role("button", name="Save template").click()
    page.locator("#id_text_error").wait_for()
    assert page.get_by_label("Text", exact=True).input_value() == "Dear {{ name"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", THEMES)
def test_each_page_fits_is_accessible_and_keeps_its_policy(
    browser: "Browser", live_server: Any, anna: User, size: str, theme: Theme
) -> None:
    with open_album(browser, live_server.url, size, theme) as album:
        album.sign_in()
        album.visit("start-account", reverse("outbox:list"))
        album.visit("accounts-empty", reverse("outbox:accounts"))
        album.visit("templates-empty", reverse("outbox:templates"))
        account = scenes.account(anna)
        album.visit("start-test", reverse("outbox:list"))
        Account.objects.update(tested_at=timezone.now())
        album.visit("start-mail", reverse("outbox:list"))
        see_trouble(album, account)
        see_templates(album, anna)


def see_trouble(album: Album, account: Account) -> None:
    """Look at an account whose mail waits for its owner."""
    assert account.owner is not None
    held_back(account)
    other = scenes.account(account.owner, "Newsletter", "news@example.com")
    route = held_back(other)
    Destination.objects.filter(pk=route.pk).update(
        circuit_needs_person=False, circuit_reason="nothing listens there (connection refused)"
    )
    album.visit("notice", reverse("outbox:list"))
    album.visit("accounts-held", reverse("outbox:accounts"))
    album.visit("account-held", reverse("outbox:account", args=[account.pk]))
    album.visit("account-unknown", f"{reverse('outbox:account-add')}?address=anna@example.invalid")
    album.visit("account-remove", reverse("outbox:account-remove", args=[account.pk]))
    Destination.objects.all().delete()


def see_templates(album: Album, owner: User) -> None:
    """Look at templates: plain, formatted, of the site, and one that is wrong."""
    offer = Template.objects.create(
        owner=owner, name="Offer", subject="Offer for {{ name }}", text=TEXT
    )
    invitation = Template.objects.create(
        owner=owner, name="Invitation", subject="Come, {{ name }}", html=scenes.LETTER
    )
    welcome = Template.objects.create(name="welcome", subject="Welcome to {{ site }}", text="Hello")
    album.visit("templates", reverse("outbox:templates"))
    for name, template in {"plain": offer, "formatted": invitation, "site": welcome}.items():
        album.visit(f"template-{name}", reverse("outbox:template", args=[template.pk]))
    album.visit("template-new", reverse("outbox:template-add"))
    album.page.locator("[name=text]").fill("Dear {{ name")
    album.page.get_by_role("button", name="Save template").click()
    album.page.locator("#id_text_error").wait_for()
    album.keep("template-wrong")

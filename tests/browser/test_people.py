"""What a person sets up once: the first steps, accounts and their trouble, templates."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from outbox.api import sharing
from outbox.models import Account, Circuit, Destination, Template
from outbox.reasons import Reason, ReasonCode
from outbox.testing.capabilities import Capabilities
from outbox.testing.mailserver import MailServer
from tests.browser import scenes
from tests.browser.album import Album, open_album
from tests.browser.writing import PASSWORD, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REFUSED = Reason(ReasonCode.LOGIN_REJECTED, reply="535 5.7.8 Username and Password not accepted")
TEXT = """Dear {{ name }},

thank you for your call. The price for {{ what }} is {{ price }}
until {{ until|default:"the end of the month" }}.

Anna"""


@pytest.fixture
def anna(transactional_db: None) -> User:
    """A user who has nothing yet."""
    return User.objects.create_user("anna", password=PASSWORD)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    """A mail server that wants a login."""
    capabilities = Capabilities(
        extensions=("PIPELINING", "8BITMIME", "AUTH PLAIN LOGIN"),
        login=("anna@example.invalid", "pale fire"),
        login_required=True,
    )
    with MailServer(tmp_path / "mail", capabilities=capabilities) as server:
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


@pytest.mark.usefixtures("anna", "connection_tester")
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
    page.locator("#start").get_by_role("link", name="Compose").click()
    page.wait_for_url("**/compose/?to=*")
    assert page.locator("[name=to]").input_value() == "anna@example.invalid"


@pytest.mark.usefixtures("anna", "connection_tester")
def test_a_refused_login_is_shown_step_by_step(page: "Page", server: MailServer) -> None:
    sign_in(page)
    page.goto(reverse("outbox:account-add"))
    describe(page, server)
    page.get_by_label("Password", exact=True).fill("red herring")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connection failed").wait_for()
    steps = page.locator(".steps").inner_text()
    assert "Greeting" in steps
    assert "Login" in steps
    assert page.get_by_label("Password", exact=True).input_value() == "red herring"


def test_the_notice_leads_an_owner_to_the_retry(page: "Page", anna: User) -> None:
    destination = held_back(scenes.account(anna))
    sign_in(page)
    page.get_by_text("“Work” cannot send").wait_for()
    page.get_by_role("link", name="Fix account").click()
    page.get_by_text("535 5.7.8").wait_for()
    page.get_by_role("button", name="Retry connection").click()
    page.get_by_text("The connection is retried now.").wait_for()
    assert page.get_by_text("535 5.7.8").count() == 0
    destination.refresh_from_db()
    assert destination.circuit == Circuit.CLOSED


@pytest.mark.usefixtures("anna")
def test_a_template_is_tried_out_while_it_is_written(page: "Page") -> None:
    sign_in(page)
    page.get_by_role("link", name="Templates").click()
    page.get_by_role("link", name="Add a template").first.click()
    page.get_by_label("Name", exact=True).fill("Quote")
    page.get_by_label("Subject").fill("Quote for {{ name }}")
    mail = page.locator("#template-message")
    mail.get_by_text("Quote for {{ name }}").wait_for()
    value = page.get_by_label("name", exact=True).last
    value.press_sequentially("Jane Doe", delay=40)
    mail.get_by_text("Quote for Jane Doe").wait_for()
    assert value.input_value() == "Jane Doe"
    assert value.evaluate("field => field === document.activeElement")
    page.get_by_role("button", name="Save template").click()
    page.get_by_text("Template saved.").wait_for()
    page.get_by_role("link", name="Compose a message with “Quote”").click()
    page.get_by_label("name", exact=True).fill("Jane")
    page.get_by_role("button", name="Insert").click()
    page.get_by_role("heading", name="Draft").wait_for()
    assert page.get_by_label("Subject").input_value() == "Quote for Jane"


@pytest.mark.usefixtures("anna")
def test_a_mistake_in_a_template_is_shown_at_its_field(page: "Page") -> None:
    sign_in(page)
    page.goto(reverse("outbox:template-add"))
    page.get_by_label("Name", exact=True).fill("Quote")
    page.get_by_label("Text", exact=True).fill("Dear {{ name")
    page.get_by_role("button", name="Save template").click()
    page.locator("#id_text_error").wait_for()
    assert page.get_by_label("Text", exact=True).input_value() == "Dear {{ name"


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_each_page_fits_is_accessible_and_keeps_its_policy(
    browser: "Browser", live_server: Any, anna: User
) -> None:
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("start-account", reverse("outbox:list"))
        album.visit("accounts-empty", reverse("outbox:accounts"))
        album.visit("templates-empty", reverse("outbox:templates"))
        account = scenes.account(anna)
        album.visit("start-test", reverse("outbox:list"))
        Account.objects.update(tested_at=timezone.now())
        album.visit("start-mail", reverse("outbox:list"))
        see_trouble(album, account)
        see_sharing(album, account)
        see_templates(album, anna)


def see_trouble(album: Album, account: Account) -> None:
    """Visit the pages of an account whose messages wait for its owner."""
    assert account.owner is not None
    held_back(account)
    other = scenes.account(account.owner, "Newsletter", "news@example.com")
    destination = held_back(other)
    Destination.objects.filter(pk=destination.pk).update(
        circuit_needs_person=False, circuit_reason=Reason(ReasonCode.CONNECTION_REFUSED)
    )
    album.visit("notice", reverse("outbox:list"))
    album.visit("accounts-held", reverse("outbox:accounts"))
    album.visit("account-held", reverse("outbox:account", args=[account.pk]))
    album.page.goto(f"{reverse('outbox:account-add')}?address=anna@example.invalid")
    album.page.get_by_role("button", name="Continue").click()
    album.page.get_by_text("No settings found").wait_for()
    album.keep("account-unknown")
    album.visit("account-delete", reverse("outbox:account-delete", args=[account.pk]))
    Destination.objects.all().delete()


def see_sharing(album: Album, own: Account) -> None:
    """Visit invitations, a shared account, and an account that is shared with others."""
    assert own.owner is not None
    ben, carl = (User.objects.create_user(name) for name in ("ben", "carl"))
    sharing.share_with_names(own, ["ben", "carl"], actor=own.owner)
    sharing.accept(own, ben)
    for number, owner in enumerate((ben, carl)):
        offered = scenes.account(owner, f"Sales {number}", "sales@example.com")
        sharing.share_with_names(offered, [own.owner.username], actor=owner)
    album.visit("invitation-notice", reverse("outbox:list"))
    album.visit("invitations", reverse("outbox:accounts"))
    accepted = Account.objects.get(owner=ben)
    sharing.accept(accepted, own.owner)
    album.visit("accounts-shared", reverse("outbox:accounts"))
    album.visit("account-leave", reverse("outbox:account-leave", args=[accepted.pk]))
    album.visit("account-shared", reverse("outbox:account", args=[own.pk]))
    album.visit("compose-shared", reverse("outbox:compose"))
    album.page.goto(reverse("outbox:account", args=[own.pk]))
    album.page.get_by_label("Password", exact=True).fill("swordfish")
    album.page.get_by_role("button", name="Test connection").click()
    album.page.get_by_text("No worker is running").wait_for()
    album.keep("account-test-waiting")


def see_templates(album: Album, owner: User) -> None:
    """Look at templates: plain, formatted, of the site, and one that is wrong."""
    offer = Template.objects.create(
        owner=owner, name="Quote", subject="Quote for {{ name }}", text=TEXT
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

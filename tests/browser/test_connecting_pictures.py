"""The pages on which accounts are connected, of users and of administrators, in both languages."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import (
    Account,
    Circuit,
    Destination,
    OAuthKind,
    OAuthProvider,
    OAuthToken,
    Preferences,
)
from outbox.reasons import Reason, ReasonCode
from outbox.testing.oauth import IdentityProvider
from outbox.testing.oauth_smtp import TokenMailServer
from tests.browser.album import CHINESE, EVERY_VARIANT, MEASURE, PICTURES, SIZES, Album, open_album
from tests.integration.oauth.lab import ANNA, provider_row

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

LATER = 30_000  # milliseconds, on a busy machine
ADMIN = "/admin/outbox/oauthprovider/"


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


@pytest.fixture
def server(provider: IdentityProvider) -> Iterator[TokenMailServer]:
    with TokenMailServer(provider) as running:
        yield running


def stays(route: "Route") -> None:
    """Send a response with which the browser stays on its page."""
    route.fulfill(status=204)


def consent(album: Album) -> None:
    """Connect, consent at the provider, and wait for the result of the connection test."""
    page = album.page
    page.locator("form[action$='/connect/'] button").first.click()
    page.get_by_role("button", name="Allow").click(timeout=LATER)
    page.locator(".probe .verdict").wait_for(timeout=LATER)


def pages_of_a_user(album: Album, provider: IdentityProvider, mark: str) -> None:
    page = album.page
    page.goto(reverse("outbox:account-add"))
    page.locator("#id_address").fill(ANNA)
    album.keep(f"connect-{mark}1-address")
    page.locator("main form button[type=submit]").first.click()
    page.locator("form[action$='/connect/']").wait_for()
    album.keep(f"connect-{mark}2-recognized")
    page.route("**/authorize?*", stays)
    page.locator("form[action$='/connect/'] button").click()
    page.locator("#continue").wait_for()
    album.keep(f"connect-{mark}3-leaving")
    page.unroute("**/authorize?*")
    page.locator("#continue").click()
    page.get_by_role("button", name="Allow").click(timeout=LATER)
    page.locator(".probe .verdict.good").wait_for(timeout=LATER)
    album.keep(f"connect-{mark}4-returned")
    account = Account.objects.get()
    address = reverse("outbox:account", args=[account.pk])
    page.goto(address)
    album.keep(f"connect-{mark}5-connected")

    OAuthProvider.objects.update(scopes="openid email https://mail.google.com/")
    provider.signed_in_as = "ben.the-other-one@example.org"
    consent(album)
    album.keep(f"connect-{mark}6-another-mailbox")
    provider.signed_in_as = ""

    reason = Reason(ReasonCode.TOKEN_REVOKED)
    OAuthToken.objects.update(is_rejected=True, reason=reason)
    Destination.objects.update_or_create(
        account=account,
        defaults={
            "circuit": Circuit.OPEN,
            "circuit_needs_person": True,
            "circuit_reason": reason,
        },
    )
    page.goto(reverse("outbox:preferences"))
    page.locator(".account-notice").wait_for()
    album.keep(f"connect-{mark}7-banner")
    page.goto(address)
    album.keep(f"connect-{mark}8-connect-again")
    page.goto(reverse("outbox:accounts"))
    album.keep(f"connect-{mark}9-accounts")
    page.goto(address)
    page.locator("form[action$='/connect/'] button").click()
    page.get_by_role("button", name="Deny").click(timeout=LATER)
    page.locator(".notice.error").wait_for()
    album.keep(f"connect-{mark}10-denied")


def pages_of_an_administrator(album: Album, mark: str) -> None:
    page = album.page
    page.goto(f"{ADMIN}add/")
    keep_of_django(album, f"connect-{mark}admin-add")
    for kind, access in ((OAuthKind.GOOGLE, "user"), (OAuthKind.MICROSOFT, "app")):
        row = OAuthProvider(kind=kind, name=str(kind.label), client_id="ours", access=access)
        row.secret = "of the client"
        row.save()
        page.goto(f"{ADMIN}{row.pk}/change/")
        keep_of_django(album, f"connect-{mark}admin-{kind}")
    page.goto(f"{ADMIN}add/")
    page.locator("#id_kind").select_option("custom")
    page.locator("#id_name").fill("Lab")
    page.locator("[name=_save]").click()
    page.locator(".errorlist").first.wait_for()
    keep_of_django(album, f"connect-{mark}admin-errors")
    page.goto(ADMIN)
    keep_of_django(album, f"connect-{mark}admin-list")


def keep_of_django(album: Album, name: str) -> None:
    """Save pictures of a page of Django's own, whose links and styles are not checked by axe."""
    for size, theme in EVERY_VARIANT:
        album.page.set_viewport_size({"width": SIZES[size][0], "height": SIZES[size][1]})
        album.page.emulate_media(color_scheme=theme)
        overflow, _height = album.page.evaluate(MEASURE)
        assert overflow <= 0, f"{name} overflows sideways ({size})"
        album.page.screenshot(path=PICTURES / f"{name}-{size}-{theme}.png", full_page=True)


@pytest.mark.system
@pytest.mark.usefixtures("connection_tester")
@pytest.mark.timeout(600)  # also on a busy machine
@pytest.mark.parametrize(("locale", "language"), [("en", "en"), (CHINESE, "zh-hans")])
def test_the_pages_fit_and_are_accessible(
    browser: "Browser",
    live_server: Any,
    anna: User,
    provider: IdentityProvider,
    server: TokenMailServer,
    monkeypatch: pytest.MonkeyPatch,
    locale: str,
    language: str,
) -> None:
    monkeypatch.setitem(SIZES, "narrow", (375, 844))  # of a small phone
    User.objects.update(is_staff=True, is_superuser=True)
    Preferences.objects.create(user=anna, language=language)
    mark = "" if locale == "en" else "chinese-"
    provider_row(provider, port=server.port)
    with open_album(browser, live_server.url, locale=locale) as album:
        album.sign_in()
        pages_of_a_user(album, provider, mark)
        pages_of_an_administrator(album, mark)

"""What staff see of apps: the folder, a message whose content is hidden, and one that is shown."""

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from outbox.models import Message, State
from tests.browser import scenes
from tests.browser.album import open_album
from tests.browser.writing import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft " * 3


@pytest.fixture
def anna(transactional_db: None) -> User:
    """Staff with every permission but the one to read content."""
    anna = User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    permit(anna, "view_message", "change_message", "view_all_accounts")
    return anna


def permit(user: User, *names: str) -> None:
    found = Permission.objects.filter(content_type__app_label="outbox", codename__in=names)
    user.user_permissions.add(*found)


def messages_of_apps(owner: User) -> Message:
    """Create app messages in several states. Return one with a failed recipient."""
    shop = scenes.account(owner, "Shop")
    scenes.mail(shop, LONG, [(f"{'x' * 60}@example.org", State.DEFERRED)], "Hello")
    scenes.mail(shop, "Your order left", [("jane@example.com", State.SENT)], "Hello")
    failed = scenes.mail(
        shop,
        "Reset your password",
        [("jane@example.com", State.SENT), ("unknown@example.org", State.FAILED)],
        "https://shop.example.com/reset/4711",
    )
    Message.objects.update(owner=None, origin="api")
    return failed


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_pages_of_apps_fit_and_are_accessible(
    browser: "Browser", live_server: Any, anna: User
) -> None:
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("apps-empty", reverse("outbox:apps"))
        failed = messages_of_apps(anna)
        message = reverse("outbox:message", args=[failed.pk])
        album.visit("apps-first-steps", reverse("outbox:list"))
        album.visit("apps-folder", reverse("outbox:apps"))
        album.visit("apps-folder-failed", f"{reverse('outbox:apps')}?folder=failed")
        album.visit("apps-message-hidden", message)
        permit(anna, "read_source")
        album.visit("apps-message", message)
        album.visit("apps-folder-read", reverse("outbox:apps"))

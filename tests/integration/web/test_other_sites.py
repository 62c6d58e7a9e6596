"""What other sites and injected content can make a browser do: nothing, at every address."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.urls.resolvers import RegexPattern

from outbox.models import Message
from tests.integration.web.conftest import signed_in, staff_member

VALUES = {"folder": "sent", "name": "cancel", "tab": "headers", "path": "1", "permit": "x"}
# The HTML of a message, in a sandbox in which no script runs. Its policy has tests of its own.
FRAMES = {
    "outbox:preview",
    "outbox:received-preview",
    "outbox:received-pictures-preview",
    "admin:outbox_message_preview",
    "admin:outbox_inboundmessage_preview",
}
CHANGING = {"logout", "outbox:undo", "outbox:discard", "admin:outbox_account_delete"}


def addresses() -> dict[str, str]:
    """Return the address of each page by its name, those of the sign-in and of the admin too."""
    return dict(_below(get_resolver(), ""))


def _below(resolver: URLResolver, namespace: str) -> Iterator[tuple[str, str]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inside = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from _below(entry, inside)
        elif entry.name and not isinstance(entry.pattern, RegexPattern):
            name = f"{namespace}{entry.name}"
            values = [VALUES.get(key, "1") for key in entry.pattern.converters]
            yield name, reverse(name, args=values)


@pytest.mark.system
def test_every_post_needs_the_token_of_the_site(db: None) -> None:
    """A form of another site is rejected, before and after the user has signed in."""
    root = User.objects.create_superuser("root")
    found = addresses()
    assert found.keys() >= CHANGING
    for user in (None, root):
        client = Client(enforce_csrf_checks=True)
        if user is not None:
            client.force_login(user)
        statuses = {name: client.post(address).status_code for name, address in found.items()}
        # Requests of these are signed by the provider, or have a token that no other site knows.
        # Without topics, and without a valid token, there is no such page.
        unsigned = {"outbox:sns": 404, "outbox:unsubscribe": 404}
        assert statuses == dict.fromkeys(found, 403) | unsigned


@pytest.mark.system
def test_every_page_has_a_policy_without_inline_scripts(mail: Message, as_anna: Client) -> None:
    for name, address in addresses().items():
        if name in FRAMES:
            continue
        for client in (as_anna, Client()):
            response = client.get(address)
            if response["Content-Type"].startswith("text/html"):
                policy = response["Content-Security-Policy"]
                assert "default-src 'none'" in policy, name
                assert "unsafe" not in policy, name
                assert response["X-Frame-Options"] == "SAMEORIGIN", name
                assert response["X-Content-Type-Options"] == "nosniff", name


@pytest.mark.parametrize("page", ["live", "record", "transcript"])
def test_a_page_that_stays_open_shows_nothing_after_a_permission_ended(
    page: str, mail: Message
) -> None:
    staff = staff_member("view_message")
    client = signed_in(staff)
    address = reverse(f"outbox:{page}", args=[mail.pk])
    assert client.get(address).status_code == 200
    staff.user_permissions.clear()
    assert client.get(address).status_code == 404

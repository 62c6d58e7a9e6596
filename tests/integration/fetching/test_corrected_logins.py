"""A mailbox that waits for a person continues when the login of its account was corrected."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.db.clock import database_now
from outbox.delivery.tokens import access_for
from outbox.inbound.fetch import fetch_mailbox
from outbox.models import Account, InboundMessage, Mailbox, OAuthAccess, OAuthToken
from outbox.reasons import Reason, ReasonCode
from outbox.testing.oauth import IdentityProvider
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PASSWORD, PopServer
from tests.integration.oauth.lab import ANNA, USING, connected, provider_row
from tests.integration.web.conftest import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


@pytest.fixture
def token(server: PopServer, provider: IdentityProvider) -> OAuthToken:
    """The tokens of an account whose mailbox is on a server that accepts them only."""
    row = connected(provider)
    Mailbox.objects.create(account=row.account, host="127.0.0.1", port=server.port, security="none")
    server.mailbox.capabilities += ("SASL XOAUTH2",)
    server.mailbox.accepts_token = lambda given: provider.is_current(ANNA, given)
    server.mailbox.messages = {"a": message(1)}
    return row


def test_a_rejected_token_is_renewed(
    server: PopServer, provider: IdentityProvider, token: OAuthToken
) -> None:
    access_for(token.account, USING)
    provider.expire_access_tokens()  # as after a change of the password there
    fetch_mailbox(token.pk)
    assert InboundMessage.objects.count() == 1
    assert not Mailbox.objects.get().reason


def test_a_rejected_token_is_renewed_once(
    server: PopServer, provider: IdentityProvider, token: OAuthToken
) -> None:
    server.mailbox.accepts_token = lambda given: False
    fetch_mailbox(token.pk)
    assert "the token is not valid" in str(Mailbox.objects.get().reason)
    assert (server.mailbox.commands["AUTH"], len(provider.requests)) == (2, 2)
    fetch_mailbox(token.pk)
    assert (server.mailbox.commands["AUTH"], len(provider.requests)) == (3, 2)


# --- a person has changed something ---------------------------------------------------------------


def pause(mailbox: Mailbox, **values: object) -> None:
    reason = Reason(ReasonCode.LOGIN_REJECTED)
    Mailbox.objects.filter(pk=mailbox.pk).update(
        next_fetch_at=None, reason=reason, unclear_logins=3, **values
    )


def is_due(mailbox: Mailbox) -> bool:
    mailbox.refresh_from_db()
    return mailbox.next_fetch_at is not None and mailbox.next_fetch_at <= database_now()


def form(account: Account, **typed: str) -> dict[str, str]:
    return {
        "name": account.name,
        "from_address": account.from_address,
        "host": account.host,
        "port": "587",
        "security": "none",
        "username": "ann",
        "max_connections": "4",
        "on_uncertain": "hold",
        "resend_after": "04:00:00",
        "is_active": "on",
    } | typed


@pytest.fixture(params=["web", "admin"])
def page(request: pytest.FixtureRequest, mailbox: Mailbox, owner: User) -> tuple[str, str]:
    """Return a page that edits the account, and the field of its password."""
    account = mailbox.account
    account.port, account.username = 587, "ann"
    account.secret = PASSWORD
    account.save()
    if request.param == "web":
        return reverse("outbox:account", args=[account.pk]), "password"
    User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
    return reverse("admin:outbox_account_change", args=[account.pk]), "new_password"


def save(page: tuple[str, str], mailbox: Mailbox, password: str) -> None:
    owner = User.objects.get()
    client: Client = signed_in(owner)
    url, field = page
    typed = {field: password, "owner": str(owner.pk)}
    response = client.post(url, form(mailbox.account, **typed))
    assert response.status_code == 302, response.content.decode()


def test_a_new_password_of_the_account_is_tried(page: tuple[str, str], mailbox: Mailbox) -> None:
    pause(mailbox, username="", secret_encrypted="")
    save(page, mailbox, "")
    assert not is_due(mailbox), "nothing was corrected"
    save(page, mailbox, "another")
    assert is_due(mailbox)
    assert mailbox.unclear_logins == 0


def test_a_mailbox_with_a_password_of_its_own_still_waits(
    page: tuple[str, str], mailbox: Mailbox
) -> None:
    pause(mailbox)
    save(page, mailbox, "another")
    assert not is_due(mailbox)


def test_a_new_consent_of_an_administrator_is_tried(
    provider: IdentityProvider, mailbox: Mailbox
) -> None:
    from outbox.api import oauth

    pause(mailbox, username="", secret_encrypted="")
    oauth.connect_app(mailbox.account, provider_row(provider, access=OAuthAccess.APP))
    assert is_due(mailbox)

"""Connect an account in the browser: the request for consent, and the way back."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.api import oauth as connections
from outbox.api.oauth_notices import notify_owners
from outbox.delivery import connection_tests
from outbox.models import (
    Account,
    AuditEntry,
    Circuit,
    Destination,
    Message,
    OAuthProvider,
    OAuthToken,
)
from outbox.reasons import Reason, ReasonCode
from outbox.testing.oauth import SCOPE, IdentityProvider, Trouble
from outbox.testing.oauth_smtp import TokenMailServer
from tests.integration.delivery.mail_client import account as password_account
from tests.integration.oauth.lab import ANNA, USING, account_of, connected, provider_row

pytestmark = pytest.mark.django_db(transaction=True)

SETTINGS = reverse("outbox:account-settings")
START = reverse("outbox:oauth-start")
RETURN = reverse("outbox:oauth-return")


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna", email="anna@home.example")


@pytest.fixture
def client(anna: User) -> Client:
    browser = Client()
    browser.force_login(anna)
    return browser


def started(client: Client, **fields: Any) -> dict[str, str]:
    """Request a consent; return the query of the provider's page."""
    page = client.post(START, {"address": ANNA, **fields})
    assert page.status_code == 200, page["Location"]
    url = page.context["authorization_url"]
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def consented(provider: IdentityProvider, query: dict[str, str]) -> dict[str, str]:
    """Return what the provider sends back after the user's consent."""
    return {"code": provider.issue_code(query), "state": query["state"]}


def shown(client: Client, response: Any) -> str:
    assert response.status_code == 302
    return client.get(response["Location"]).content.decode()


def test_a_known_provider_is_offered_by_its_button(
    client: Client, provider: IdentityProvider
) -> None:
    provider_row(provider)
    page = client.post(SETTINGS, {"address": ANNA}).content.decode()
    assert "Connect with Lab" in page
    assert START in page
    assert "Connect with" not in client.post(SETTINGS, {"address": "a@b.test"}).content.decode()


def test_google_is_offered_once_it_is_configured(client: Client, settings: LazySettings) -> None:
    assert "Connect with" not in client.post(SETTINGS, {"address": "a@gmail.com"}).content.decode()
    settings.OUTBOX = settings.OUTBOX | {
        "GOOGLE_CLIENT_ID": "ours.apps.googleusercontent.com",
        "GOOGLE_CLIENT_SECRET": "planted",
    }
    page = client.post(SETTINGS, {"address": "a@gmail.com"}).content.decode()
    assert "Connect with Google" in page
    row = OAuthProvider.objects.get()
    assert row.secret == "planted"
    assert row.secret_encrypted == "", "it is not stored"
    OAuthProvider.objects.update(is_active=False)
    assert "Connect with" not in client.post(SETTINGS, {"address": "a@gmail.com"}).content.decode()


def test_an_account_is_connected_and_tested(
    client: Client, provider: IdentityProvider, google: TokenMailServer
) -> None:
    row = provider_row(provider, port=google.port)
    query = started(client, provider=row.pk)
    assert query["login_hint"] == ANNA
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == f"http://testserver{RETURN}"
    response = client.get(RETURN, consented(provider, query))
    account = Account.objects.get()
    assert (account.username, account.port, account.secret_is_token) == (ANNA, google.port, True)
    assert not account.has_secret
    assert connection_tests.run_due(USING) == 1
    page = shown(client, response)
    assert "Connected with Lab" in page
    assert "The server accepts messages from this account." in page
    assert 'name="password"' not in page
    assert 'name="host"' not in page
    assert google.logins == [True]
    account.refresh_from_db()
    assert account.tested_at is not None
    assert AuditEntry.objects.filter(action="account_added").count() == 1


@pytest.mark.parametrize(
    ("kind", "address", "known", "host", "limits"),
    [
        ("google", "a@gmail.com", "", "smtp.gmail.com", (None, 500)),
        ("google", "a@shop.test", "Google Workspace", "smtp.gmail.com", (None, 2000)),
        ("microsoft", "a@shop.test", "Microsoft 365", "smtp.office365.com", (30, 10_000)),
        ("microsoft", "a@outlook.com", "", "smtp-mail.outlook.com", (None, None)),
    ],
)
def test_server_and_limits_are_preset(
    client: Client,
    provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    address: str,
    known: str,
    host: str,
    limits: tuple[int | None, int | None],
) -> None:
    row = provider_row(provider)
    lab = row.endpoints
    monkeypatch.setattr(OAuthProvider, "endpoints", property(lambda self: lab))
    OAuthProvider.objects.update(kind=kind, name=kind.title())
    query = started(client, provider=row.pk, address=address, known=known)
    client.get(RETURN, consented(provider, query))
    account = Account.objects.get()
    assert (account.host, (account.per_minute, account.per_day)) == (host, limits)


def test_a_response_counts_once(client: Client, provider: IdentityProvider) -> None:
    query = started(client, provider=provider_row(provider).pk)
    given = consented(provider, query)
    client.get(RETURN, given)
    assert "Start it again" in shown(client, client.get(RETURN, given))
    assert Account.objects.count() == 1


@pytest.mark.parametrize("state", ["", "another", "ä"])
def test_a_wrong_state_is_rejected(client: Client, provider: IdentityProvider, state: str) -> None:
    query = started(client, provider=provider_row(provider).pk)
    given = consented(provider, query) | {"state": state}
    assert "Start it again" in shown(client, client.get(RETURN, given))
    assert provider.requests == []
    assert not OAuthToken.objects.exists()
    client.get(RETURN, given | {"state": query["state"]})
    assert OAuthToken.objects.exists(), "the request did not end"


def test_the_code_of_another_person_is_not_attached(
    client: Client, provider: IdentityProvider
) -> None:
    """Mallory makes Anna's browser open the return address with his own code and state."""
    row = provider_row(provider)
    mallory = Client()
    mallory.force_login(User.objects.create_user("mallory"))
    his = started(mallory, provider=row.pk)
    started(client, provider=row.pk)
    client.get(RETURN, consented(provider, his))
    assert not Account.objects.exists()
    assert provider.requests == []


def test_another_user_of_the_same_browser_is_not_connected(
    client: Client, provider: IdentityProvider
) -> None:
    query = started(client, provider=provider_row(provider).pk)
    session = client.session
    kept = session["outbox_oauth_request"]
    client.force_login(User.objects.create_user("ben"))
    session = client.session
    session["outbox_oauth_request"] = kept
    session.save()
    client.get(RETURN, consented(provider, query))
    assert not Account.objects.exists()


def test_a_request_expires(client: Client, provider: IdentityProvider) -> None:
    query = started(client, provider=provider_row(provider).pk)
    session = client.session
    session["outbox_oauth_request"] = session["outbox_oauth_request"] | {"at": 0}
    session.save()
    assert "took too long" in shown(client, client.get(RETURN, consented(provider, query)))
    assert provider.requests == []


def test_the_account_of_another_user_is_not_connected(
    client: Client, provider: IdentityProvider
) -> None:
    row = provider_row(provider)
    other = account_of(None, owner=User.objects.create_user("carl"))
    assert client.post(START, {"provider": row.pk, "account": other.pk}).status_code == 404
    assert client.post(reverse("outbox:oauth-disconnect", args=[other.pk])).status_code == 404
    mine = account_of(None, owner=User.objects.get(username="anna"))
    query = started(client, provider=row.pk, account=mine.pk)
    Account.objects.filter(pk=mine.pk).update(owner=other.owner)
    assert client.get(RETURN, consented(provider, query)).status_code == 404
    assert not OAuthToken.objects.exists()


def test_who_is_not_signed_in_connects_nothing(provider: IdentityProvider) -> None:
    row = provider_row(provider)
    assert "/login/" in Client().post(START, {"provider": row.pk, "address": ANNA})["Location"]
    assert "/login/" in Client().get(RETURN, {"code": "c", "state": "s"})["Location"]


def test_a_denied_consent_changes_nothing(client: Client, provider: IdentityProvider) -> None:
    query = started(client, provider=provider_row(provider).pk)
    response = client.get(RETURN, {"error": "access_denied", "state": query["state"]})
    assert "Nothing was changed" in shown(client, response)
    assert not Account.objects.exists()


@pytest.mark.parametrize(
    ("signed_in_as", "warns"), [("ben@example.org", True), ("Anna@Example.org", False)]
)
def test_another_mailbox_is_noticed_by_the_id_token(
    client: Client,
    provider: IdentityProvider,
    google: TokenMailServer,
    signed_in_as: str,
    warns: bool,
) -> None:
    row = provider_row(provider, port=google.port)
    OAuthProvider.objects.update(scopes=f"openid email {SCOPE}")
    provider.signed_in_as = signed_in_as
    query = started(client, provider=row.pk)
    page = shown(client, client.get(RETURN, consented(provider, query)))
    assert ("You signed in as ben@example.org, but the account is for" in page) is warns
    assert "Connected with Lab" in page


def test_another_mailbox_is_noticed_by_the_login(
    client: Client, provider: IdentityProvider, google: TokenMailServer
) -> None:
    row = provider_row(provider, port=google.port)
    provider.signed_in_as = "ben@example.org"
    query = started(client, provider=row.pk)
    response = client.get(RETURN, consented(provider, query))
    assert connection_tests.run_due(USING) == 1
    page = shown(client, response)
    assert "Connection failed" in page
    assert f"connect again and sign in as {ANNA}" in page
    assert "You signed in as" not in page
    provider.signed_in_as = ""
    account = Account.objects.get()
    query = started(client, provider=row.pk, account=account.pk)
    response = client.get(RETURN, consented(provider, query))
    assert connection_tests.run_due(USING) == 1
    page = shown(client, response)
    assert "The server accepts messages from this account." in page
    assert "sign in as" not in page


def test_a_narrower_consent_is_explained(client: Client, provider: IdentityProvider) -> None:
    query = started(client, provider=provider_row(provider).pk)
    provider.granted_scope = "https://www.googleapis.com/auth/userinfo.email"
    page = shown(client, client.get(RETURN, consented(provider, query)))
    assert "was not allowed to send email" in page
    assert not Account.objects.exists()


def test_a_response_without_a_refresh_token_is_explained(
    client: Client, provider: IdentityProvider
) -> None:
    """The access would end within the hour, and the account would stop without a reason."""
    query = started(client, provider=provider_row(provider).pk)
    provider.sends_refresh_tokens = False
    page = shown(client, client.get(RETURN, consented(provider, query)))
    assert "Lab sent no refresh token" in page
    assert not Account.objects.exists()
    assert not OAuthToken.objects.exists()


@pytest.mark.parametrize("trouble", [Trouble.ERROR, Trouble.HTML, Trouble.INVALID_CLIENT])
def test_trouble_of_the_service_is_explained(
    client: Client, provider: IdentityProvider, trouble: Trouble
) -> None:
    query = started(client, provider=provider_row(provider).pk)
    provider.fail_next(trouble)
    assert "Lab" in shown(client, client.get(RETURN, consented(provider, query)))
    assert not Account.objects.exists()


def test_a_new_account_is_validated_like_any_other(
    client: Client, provider: IdentityProvider
) -> None:
    User.objects.update(first_name="x" * 150, last_name="y" * 150)
    response = client.post(START, {"provider": provider_row(provider).pk, "address": ANNA})
    assert "at most 200 characters" in shown(client, response)


def test_a_sender_domain_that_staff_do_not_allow_is_rejected_before_the_consent(
    client: Client, provider: IdentityProvider, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SENDER_DOMAINS": ["allowed.example"]}
    row = provider_row(provider)
    response = client.post(START, {"provider": row.pk, "address": ANNA})
    assert "allowed.example" in shown(client, response)


def test_connecting_again_releases_what_waits(
    client: Client, provider: IdentityProvider, google: TokenMailServer
) -> None:
    row = connected(provider, google, owner=User.objects.get(username="anna"))
    reason = Reason(ReasonCode.TOKEN_REVOKED)
    OAuthToken.objects.update(is_rejected=True, reason=reason)
    Destination.objects.create(
        account=row.account,
        circuit=Circuit.OPEN,
        circuit_needs_person=True,
        circuit_reason=reason,
    )
    address = reverse("outbox:account", args=[row.pk])
    page = client.get(address).content.decode()
    assert "Messages are waiting until the account is connected again." in page
    assert "Connect again" in page
    assert "Retry connection" not in page
    listed = client.get(reverse("outbox:accounts")).content.decode()
    assert "Connect again" in listed
    assert "Retry connection" not in listed
    banner = client.get(reverse("outbox:preferences")).content.decode()
    assert "Connect again" in banner
    assert f'href="{address}"' in banner
    Account.objects.update(tested_at="2026-01-01T00:00Z")
    query = started(client, provider=row.provider_id, account=row.pk)
    client.get(RETURN, consented(provider, query))
    assert Account.objects.get().tested_at is None, "the test was of another login"
    stored = OAuthToken.objects.get()
    assert not stored.is_rejected
    assert Destination.objects.get().circuit == Circuit.CLOSED
    assert "Connect again" in client.get(address).content.decode()


def test_the_account_of_a_password_can_be_connected(
    client: Client, provider: IdentityProvider
) -> None:
    row = provider_row(provider)
    account = account_of(None, owner=User.objects.get(username="anna"), secret_is_token=False)
    account.secret = "swordfish"
    account.save()
    page = client.get(reverse("outbox:account", args=[account.pk])).content.decode()
    assert "Connect with Lab" in page
    query = started(client, provider=row.pk, account=account.pk)
    client.get(RETURN, consented(provider, query))
    account.refresh_from_db()
    assert not account.has_secret
    assert connections.connection_of(account) is not None


@pytest.mark.parametrize("is_connected", [False, True])
def test_no_token_goes_to_the_server_of_another_provider(
    client: Client, provider: IdentityProvider, is_connected: bool
) -> None:
    """Also one that staff entered between the request and the response."""
    anna = User.objects.get(username="anna")
    if is_connected:
        row = connected(provider, owner=anna)
        lab, account = row.provider, row.account
    else:
        lab, account = provider_row(provider), account_of(None, owner=anna)
    page = reverse("outbox:account", args=[account.pk])
    query = started(client, provider=lab.pk, account=account.pk)
    Account.objects.update(host="mail.attacker.example")
    before = list(OAuthToken.objects.values())
    response = client.get(RETURN, consented(provider, query))
    assert "its server is another one" in shown(client, response)
    response = client.post(START, {"provider": lab.pk, "account": account.pk})
    assert "its server is another one" in shown(client, response)
    assert provider.requests == []
    assert list(OAuthToken.objects.values()) == before
    assert START not in client.get(page).content.decode()


def test_the_owner_does_not_end_app_only_access(client: Client, provider: IdentityProvider) -> None:
    row = connected(provider, owner=User.objects.get(username="anna"))
    OAuthProvider.objects.update(access="app")
    page = client.get(reverse("outbox:account", args=[row.pk])).content.decode()
    assert "Connected with Lab" in page
    assert "Connect again" not in page
    assert "Disconnect" not in page
    client.post(reverse("outbox:oauth-disconnect", args=[row.pk]))
    assert OAuthToken.objects.exists()


def test_a_connected_account_is_edited_without_its_server(
    client: Client, provider: IdentityProvider
) -> None:
    row = connected(provider, owner=User.objects.get(username="anna"))
    fields = {
        "name": "Renamed",
        "from_address": ANNA,
        "max_connections": "3",
        "on_uncertain": "hold",
        "host": "attacker.example",
    }
    response = client.post(reverse("outbox:account", args=[row.pk]), fields)
    assert response.status_code == 302
    account = Account.objects.get()
    assert (account.name, account.host) == ("Renamed", "127.0.0.1")
    assert OAuthToken.objects.get().refresh_token


def test_disconnecting_deletes_the_tokens(client: Client, provider: IdentityProvider) -> None:
    row = connected(provider, owner=User.objects.get(username="anna"))
    client.post(reverse("outbox:oauth-disconnect", args=[row.pk]))
    assert not OAuthToken.objects.exists()
    assert not Account.objects.get().secret_is_token


def test_deleting_the_user_deletes_the_tokens(provider: IdentityProvider, anna: User) -> None:
    connected(provider, owner=anna)
    anna.delete()
    assert not OAuthToken.objects.exists()
    assert Account.objects.get().owner is None


def test_the_owner_gets_one_email_through_another_account(
    provider: IdentityProvider, anna: User
) -> None:
    connected(provider, owner=anna)
    OAuthToken.objects.update(is_rejected=True, reason=Reason(ReasonCode.TOKEN_REVOKED))
    other = password_account(name="the site's", is_app_default=True)
    assert notify_owners(USING) == 1
    assert notify_owners(USING) == 0
    message = Message.objects.get()
    assert message.account == other
    assert "again" in message.subject


def test_without_another_account_no_email_is_queued(provider: IdentityProvider, anna: User) -> None:
    connected(provider, owner=anna)
    OAuthToken.objects.update(is_rejected=True, reason=Reason(ReasonCode.TOKEN_REVOKED))
    assert notify_owners(USING) == 0
    assert not Message.objects.exists()

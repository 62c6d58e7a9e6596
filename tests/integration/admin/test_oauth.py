"""Providers in the admin: the redirect URI and the steps, and secrets that stay hidden."""

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection, transaction
from django.db.models.signals import m2m_changed
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox.models import (
    Account,
    AuditEntry,
    Circuit,
    Destination,
    Mailbox,
    OAuthProvider,
    OAuthToken,
)
from outbox.reasons import Reason, ReasonCode
from outbox.testing.oauth import SCOPE, IdentityProvider

ADD = "/admin/outbox/oauthprovider/add/"
SECRET = "s3cret-of-the-client"  # as it is in a page, without characters to escape


@pytest.fixture
def identity() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


def form(**fields: Any) -> dict[str, Any]:
    plain = {
        "kind": "google",
        "name": "Google",
        "access": "user",
        "client_id": "ours",
        "port": "587",
        "security": "starttls",
        "is_active": "on",
    }
    return {**plain, **fields}


def custom(issuer: str, **fields: Any) -> dict[str, Any]:
    plain = {
        "kind": "custom",
        "name": "Lab",
        "issuer": issuer,
        "scopes": SCOPE,
        "domains": "example.org",
        "host": "127.0.0.1",
    }
    return form(**plain | fields)


def errors_of(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def test_the_page_has_the_redirect_uri_and_the_exact_scopes(staff: Client) -> None:
    page = staff.get(ADD).content.decode()
    assert "http://testserver/accounts/connect/return/" in page
    assert "https://mail.google.com/" in page
    assert "https://outlook.office.com/SMTP.Send offline_access" in page


def test_the_redirect_uri_is_that_of_the_site(staff: Client, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": "https://mail.example.com"}
    assert "https://mail.example.com/accounts/connect/return/" in staff.get(ADD).content.decode()


def test_a_secret_is_stored_encrypted_and_never_shown(staff: Client) -> None:
    assert staff.post(ADD, form(new_secret=SECRET)).status_code == 302
    row = OAuthProvider.objects.get()
    assert row.secret == SECRET
    assert SECRET not in row.secret_encrypted
    address = f"/admin/outbox/oauthprovider/{row.pk}/change/"
    page = staff.get(address).content.decode()
    assert SECRET not in page
    assert "client secret" in page
    assert staff.post(address, form(name="Renamed")).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.secret) == ("Renamed", SECRET)
    details = [str(entry.details) for entry in AuditEntry.objects.all()]
    assert not any(SECRET in text for text in details)


def test_the_urls_of_an_issuer_are_looked_up(staff: Client, identity: IdentityProvider) -> None:
    response = staff.post(ADD, custom(identity.url, new_secret=SECRET))
    assert response.status_code == 302, errors_of(response)
    row = OAuthProvider.objects.get()
    assert row.token_url == f"{identity.url}/token"
    assert row.authorization_url == f"{identity.url}/authorize"


def test_an_issuer_in_the_private_network_is_not_asked(
    staff: Client, identity: IdentityProvider, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    assert "issuer" in errors_of(staff.post(ADD, custom(identity.url)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "issuer" in errors_of(staff.post(ADD, custom(f"https://127.0.0.1:{port}")))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # no connection was made
            server.accept()
    urls = {
        "authorization_url": "http://id.example.com/a",
        "token_url": "http://id.example.com/t",
    }
    found = errors_of(staff.post(ADD, custom("", **urls)))
    assert {"authorization_url", "token_url", "host"} <= set(found)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (form(client_id=""), "client_id"),
        (form(new_key="no key"), "new_key"),
        (custom("", host=""), "host"),
        (custom("https://["), "issuer"),
        (custom("", token_url="https://["), "token_url"),
    ],
)
def test_what_is_missing_is_reported(staff: Client, fields: dict[str, Any], field: str) -> None:
    assert field in errors_of(staff.post(ADD, fields))


def test_a_key_is_not_shown_again_after_an_error(staff: Client) -> None:
    response = staff.post(ADD, form(client_id="", new_key="PRIVATE of ours", new_secret=SECRET))
    assert errors_of(response)
    page = response.content.decode()
    assert "PRIVATE of ours" not in page
    assert SECRET not in page


def test_a_provider_with_connected_accounts_is_not_deleted(staff: Client, account: Account) -> None:
    row = OAuthProvider.objects.create(kind="google", name="Google", client_id="ours")
    OAuthToken.objects.create(account=account, provider=row)
    staff.post(f"/admin/outbox/oauthprovider/{row.pk}/delete/", {"post": "yes"})
    assert OAuthProvider.objects.exists()


def test_staff_without_the_permission_do_not_see_providers(onlooker: Client) -> None:
    assert onlooker.get(ADD).status_code == 403


def test_an_account_is_connected_app_only(staff: Client, account: Account) -> None:
    row = OAuthProvider.objects.create(
        kind="microsoft", name="Microsoft", client_id="ours", access="app"
    )
    address = f"/admin/outbox/account/{account.pk}/change/"
    shown = staff.get(address).context["adminform"].form
    fields = {name: shown[name].value() for name in shown.fields}
    fields = {name: value for name, value in fields.items() if value not in (None, False, [])}
    posted = fields | {"username": "shop@example.com", "app_provider": row.pk}
    found = errors_of(staff.post(address, posted | {"new_password": ""}))
    assert "is not a server of Microsoft" in found["app_provider"][0]
    posted |= {"host": "smtp.office365.com"}
    response = staff.post(address, posted | {"new_password": ""})
    assert response.status_code == 302, response.context["adminform"].form.errors
    connection = OAuthToken.objects.get()
    assert (connection.account_id, connection.provider_id) == (account.pk, row.pk)
    account.refresh_from_db()
    assert account.secret_is_token
    assert not account.has_secret
    OAuthToken.objects.update(access_encrypted="of the former mailbox")
    staff.post(address, posted | {"username": "boss@example.com", "secret_is_token": "on"})
    assert OAuthToken.objects.get().access_encrypted == ""
    staff.post(address, posted | {"app_provider": "", "secret_is_token": "on"})
    assert not OAuthToken.objects.exists()


def written(queries: list[dict[str, str]]) -> list[str]:
    """Return which of these tables were written, in their order, and the ends of transactions."""
    tables = "account|oauthtoken|mailbox|destination"
    pattern = re.compile(rf'(?:UPDATE|INSERT INTO|DELETE FROM) "outbox_({tables})"|(COMMIT)')
    found = (pattern.match(query["sql"]) for query in queries)
    return [one[1] or one[2] for one in found if one is not None]


@pytest.mark.every_database
@pytest.mark.django_db(transaction=True)
def test_circuits_are_closed_after_an_account_was_connected(
    staff: Client, account: Account
) -> None:
    row = OAuthProvider.objects.create(
        kind="microsoft", name="Microsoft", client_id="ours", access="app"
    )
    Account.objects.update(host="smtp.office365.com", username="shop@example.com")
    Mailbox.objects.create(account=account, host="outlook.office365.com")
    held = Destination.objects.create(account=account, circuit=Circuit.OPEN)
    address = f"/admin/outbox/account/{account.pk}/change/"
    shown = staff.get(address).context["adminform"].form
    posted = {name: shown[name].value() for name in shown.fields}
    posted = {name: value for name, value in posted.items() if value not in (None, False, [])}
    with CaptureQueriesContext(connection) as queries:
        response = staff.post(address, posted | {"app_provider": row.pk}, follow=True)
    assert "The connection is retried now." in response.content.decode()
    held.refresh_from_db()
    assert held.circuit == Circuit.CLOSED
    order = written(queries.captured_queries)
    end = order.index("COMMIT")
    assert "destination" in order[end:]
    locked = list(dict.fromkeys(order[:end]))
    assert locked == ["account", "oauthtoken", "mailbox"]

    with CaptureQueriesContext(connection) as queries:
        staff.post(
            address, posted | {"app_provider": "", "secret_is_token": "on", "new_password": "x"}
        )
    order = written(queries.captured_queries)
    locked = list(dict.fromkeys(order[: order.index("COMMIT")]))
    assert locked == ["account", "oauthtoken", "mailbox"]
    assert not OAuthToken.objects.exists()


@contextlib.contextmanager
def circuits_unavailable() -> Iterator[list[str]]:
    """Fail each query for open circuits as a locked database does, and return the queries."""
    failed: list[str] = []

    def execute(run: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("SELECT") and 'NOT ("outbox_destination"."circuit" =' in sql:
            failed.append(sql)
            raise OperationalError("database is locked")
        return run(sql, *args)

    with connection.execute_wrapper(execute):
        yield failed


@pytest.mark.every_database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_app", [True, False])
def test_an_account_is_saved_although_its_circuits_are_unavailable(
    is_app: bool, staff: Client, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    row = OAuthProvider.objects.create(
        kind="microsoft", name="Microsoft", client_id="ours", access="app"
    )
    Account.objects.update(host="smtp.office365.com", username="shop@example.com")
    held = Destination.objects.create(account=account, circuit=Circuit.OPEN)
    address = f"/admin/outbox/account/{account.pk}/change/"
    shown = staff.get(address).context["adminform"].form
    posted = {name: shown[name].value() for name in shown.fields}
    posted = {name: value for name, value in posted.items() if value not in (None, False, [])}
    changed = {"app_provider": row.pk} if is_app else {"new_password": "x"}
    later: list[str] = []

    def add_later(**_options: Any) -> None:  # of the project, after those of the outbox
        transaction.on_commit(lambda: later.append("called"))

    m2m_changed.connect(add_later, sender=Account.users.through)
    user = User.objects.create(username="jane")
    try:
        with circuits_unavailable() as failed:
            response = staff.post(address, posted | changed | {"users": [user.pk]})
    finally:
        m2m_changed.disconnect(add_later, sender=Account.users.through)
    assert response.status_code == 302
    assert len(failed) == 1
    assert set(later) == {"called"}
    assert "database is locked" in caplog.text
    assert OAuthToken.objects.exists() == is_app
    held.refresh_from_db()
    assert held.circuit == Circuit.OPEN


@pytest.mark.every_database
@pytest.mark.django_db(transaction=True)
def test_circuits_are_closed_after_a_provider_was_corrected(
    staff: Client, account: Account
) -> None:
    row = OAuthProvider.objects.create(kind="google", name="Google", client_id="ours")
    OAuthToken.objects.create(
        account=account,
        provider=row,
        is_rejected=True,
        reason=Reason(ReasonCode.TOKEN_CLIENT_REJECTED, service="Google"),
    )
    held = Destination.objects.create(account=account, circuit=Circuit.OPEN)
    with CaptureQueriesContext(connection) as queries:
        staff.post(f"/admin/outbox/oauthprovider/{row.pk}/change/", form(new_secret="corrected"))
    held.refresh_from_db()
    assert held.circuit == Circuit.CLOSED
    order = written(queries.captured_queries)
    assert "destination" not in order[: order.index("COMMIT")]


def test_staff_without_providers_choose_no_mailbox_of_the_organization(account: Account) -> None:
    user = User.objects.create_user("accounts only", is_staff=True)
    names = ("view_account", "change_account", "view_all_accounts")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    browser = Client()
    browser.force_login(user)
    row = OAuthProvider.objects.create(
        kind="microsoft", name="Microsoft", client_id="ours", access="app"
    )
    address = f"/admin/outbox/account/{account.pk}/change/"
    form = browser.get(address).context["adminform"].form
    assert "app_provider" not in form.fields
    assert {"username", "host"} <= set(form.fields)
    OAuthToken.objects.create(account=account, provider=row)
    Account.objects.update(host="smtp.office365.com")
    shown = browser.get(address)
    form = shown.context["adminform"].form
    assert not {"app_provider", "username", "host", "port", "security"} & set(form.fields)
    assert "Microsoft" in shown.content.decode()
    posted = {name: form[name].value() for name in form.fields}
    posted = {name: value for name, value in posted.items() if value not in (None, False, [])}
    changed = {"username": "boss@x.example", "host": "evil.example"}
    assert browser.post(address, posted | changed).status_code == 302
    account.refresh_from_db()
    assert (account.username, account.host) == ("", "smtp.office365.com")


# National clouds of Microsoft: their sign-in host, their server, and the scope of sending.
CLOUDS = {
    "login.microsoftonline.us": ("smtp.office365.us", "https://outlook.office365.us/SMTP.Send"),
    "login.partner.microsoftonline.cn": (
        "smtp.partner.outlook.cn",
        "https://partner.outlook.cn/SMTP.Send",
    ),
}


@pytest.mark.parametrize("access", ["user", "app"])
@pytest.mark.parametrize("login", CLOUDS)
def test_a_national_cloud_of_microsoft_is_another_provider(
    staff: Client, settings: LazySettings, login: str, access: str
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    host, scope = CLOUDS[login]
    base = f"https://{login}/organizations/oauth2/v2.0"
    fields = {
        "access": access,
        "authorization_url": f"{base}/authorize" if access == "user" else "",
        "token_url": f"{base}/token",
        "scopes": f"{scope} offline_access" if access == "user" else f"{scope}/.default",
        "domains": "agency.example" if access == "user" else "",
        "host": host,
    }
    response = staff.post(ADD, custom("", **fields, new_secret=SECRET))
    assert response.status_code == 302, errors_of(response)
    row = OAuthProvider.objects.get()
    assert row.has_server(host)
    if access == "user":
        page = staff.post("/accounts/connect/", {"provider": row.pk, "address": "a@agency.example"})
        url = urlsplit(page.context["authorization_url"])
        query = parse_qs(url.query)
        assert (url.hostname, query["scope"]) == (login, [f"{scope} offline_access"])
        # It would need an administrator where users may not consent.
        assert "prompt" not in query

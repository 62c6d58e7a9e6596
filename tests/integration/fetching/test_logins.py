"""Which login a mailbox uses, and which server may get it."""

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from outbox.db.clock import database_now
from outbox.inbound.mail_server import LoginRefusedError, TemporaryError
from outbox.inbound.server_login import allows_private, login_for
from outbox.models import Account, Mailbox, OAuthAccess, OAuthProvider, OAuthToken
from outbox.net.providers import have_same_operator

pytestmark = pytest.mark.django_db
USING = "default"


def mailbox_at(host: str, sends_at: str = "smtp.example.com", **values: str) -> Mailbox:
    account = Account(
        name="a", from_address="ann@example.com", host=sends_at, username="ann", owner=owner()
    )
    account.secret = "for sending"
    account.save()
    mailbox = Mailbox(account=account, host=host, **values)
    mailbox.save()
    return mailbox


def owner() -> User:
    return User.objects.get_or_create(username="ann")[0]


def connect(mailbox: Mailbox, kind: str, **values: object) -> OAuthToken:
    provider = OAuthProvider.objects.create(
        kind=kind, name=kind, client_id="c", host="smtp.own.example"
    )
    row = OAuthToken(account=mailbox.account, provider=provider, **values)
    row.access_encrypted = row.encrypted(access="a token", refresh="")["access_encrypted"]
    row.expires_at = database_now().replace(year=2999)
    row.save()
    return row


def refused(mailbox: Mailbox) -> str:
    with pytest.raises(LoginRefusedError) as found:
        login_for(mailbox, USING)
    return found.value.reason.code


def test_its_own_password() -> None:
    mailbox = mailbox_at("pop.other.example", username="eve")
    mailbox.secret = "own"
    login = login_for(mailbox, USING)
    assert (login.username, login.password, login.is_token) == ("eve", "own", False)
    assert "own" not in repr(login)


def test_the_password_for_sending_at_the_same_operator() -> None:
    login = login_for(mailbox_at("pop.example.com"), USING)
    assert (login.username, login.password) == ("ann", "for sending")
    assert login_for(mailbox_at("pop.example.com", username="recent:ann"), USING).password


@pytest.mark.parametrize(
    ("host", "values"),
    [("pop.evil.example", {}), ("pop.example.com", {"username": "eve"})],
)
def test_the_password_for_sending_goes_nowhere_else(host: str, values: dict[str, str]) -> None:
    assert refused(mailbox_at(host, **values)) == "fetch_no_login"


def test_a_password_of_another_server_is_unreadable() -> None:
    mailbox = mailbox_at("pop.example.com")
    mailbox.secret = "own"
    mailbox.host = "pop.evil.example"
    assert refused(mailbox) == "secret_unreadable"


def test_a_token_of_google_is_for_fetching_as_well() -> None:
    mailbox = mailbox_at("pop.gmail.com", "smtp.gmail.com")
    connect(mailbox, "google")
    login = login_for(mailbox, USING)
    assert (login.password, login.is_token) == ("a token", True)


def test_a_token_of_microsoft_needs_a_consent_for_fetching() -> None:
    mailbox = mailbox_at("outlook.office365.com", "smtp.office365.com")
    row = connect(mailbox, "microsoft")
    assert refused(mailbox) == "fetch_not_allowed"
    OAuthToken.objects.filter(pk=row.pk).update(fetches=True)
    assert login_for(mailbox, USING).is_token
    fetching = row.provider.endpoints_for(fetches=True).scopes
    assert [scope for scope in fetching if "POP." in scope or "IMAP." in scope]
    assert not [scope for scope in row.provider.endpoints.scopes if "POP." in scope]


@pytest.mark.parametrize("kind", ["google", "microsoft", "custom"])
def test_a_token_is_not_sent_to_the_server_of_another_provider(kind: str) -> None:
    mailbox = mailbox_at("pop.evil.example", "smtp.own.example")
    connect(mailbox, kind, fetches=True)
    assert refused(mailbox) == "fetch_token_foreign"


def test_a_token_of_another_provider_is_for_its_own_servers() -> None:
    mailbox = mailbox_at("pop.own.example", "smtp.own.example")
    connect(mailbox, "custom")
    assert login_for(mailbox, USING).is_token


# --- a token that opens every mailbox of an organization ------------------------------------------


def test_the_token_of_an_app_opens_the_mailbox_of_the_account_only() -> None:
    mailbox = mailbox_at("outlook.office365.com", "smtp.office365.com", username="director")
    row = connect(mailbox, "microsoft", fetches=True)
    assert login_for(mailbox, USING).username == "director", "the user has the right to open it"
    OAuthProvider.objects.filter(pk=row.provider.pk).update(access=OAuthAccess.APP)
    assert refused(mailbox) == "fetch_no_login"
    mailbox.username = ""
    assert login_for(mailbox, USING).username == "ann"
    mailbox.username = "ann"
    assert login_for(mailbox, USING).is_token


# --- a token of the site --------------------------------------------------------------------------


def site_token(account: Account) -> str | None:
    if account.name == "broken":
        raise ValueError("no token")
    return None if account.name == "none" else "the site's"


@pytest.fixture
def _site(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"TOKEN_PROVIDER": f"{__name__}.site_token"}


@pytest.mark.usefixtures("_site")
def test_a_token_of_the_site_is_for_the_operator_of_the_account() -> None:
    login = login_for(mailbox_at("pop.example.com"), USING)
    assert (login.username, login.password, login.is_token) == ("ann", "the site's", True)


@pytest.mark.usefixtures("_site")
@pytest.mark.parametrize(
    ("host", "values"),
    [("pop.evil.example", {}), ("pop.example.com", {"username": "eve"})],
)
def test_a_token_of_the_site_goes_nowhere_else(host: str, values: dict[str, str]) -> None:
    assert refused(_without_password(mailbox_at(host, **values))) == "fetch_no_login"


@pytest.mark.usefixtures("_site")
def test_a_token_of_the_site_is_not_sent_to_the_server_of_a_provider() -> None:
    """The account was connected as well, and its server was changed afterwards."""
    mailbox = mailbox_at("pop.gmail.com", "smtp.example.com")
    connect(mailbox, "google")
    assert refused(mailbox) == "fetch_no_login"


@pytest.mark.usefixtures("_site")
def test_an_account_without_a_token_of_the_site_has_its_password() -> None:
    mailbox = mailbox_at("pop.example.com")
    mailbox.account.name = "none"
    login = login_for(mailbox, USING)
    assert (login.password, login.is_token) == ("for sending", False)
    mailbox.host = "pop.evil.example"
    assert refused(mailbox) == "fetch_no_login", "that is for the server that sends"


@pytest.mark.usefixtures("_site")
def test_a_failure_of_the_site_is_temporary() -> None:
    mailbox = mailbox_at("pop.example.com")
    mailbox.account.name = "broken"
    with pytest.raises(TemporaryError):
        login_for(mailbox, USING)


def _without_password(mailbox: Mailbox) -> Mailbox:
    mailbox.account.secret = ""
    return mailbox


# --- the private network --------------------------------------------------------------------------


def test_an_account_is_trusted_with_one_private_server(settings: LazySettings) -> None:
    """A user who may edit its mailbox could otherwise reach every private server."""
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    account = Account(host="10.0.0.1", is_trusted=True)
    for account.owner in (None, owner()):
        assert allows_private(account, "10.0.0.1")
        assert not allows_private(account, "10.0.0.2")
    account.is_trusted = False
    assert not allows_private(account, "10.0.0.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("smtp.example.com", "pop.example.com", True),
        ("mail.example.com", "MAIL.example.com.", True),
        ("smtp.office365.com", "outlook.office365.com", True),
        ("smtp.example.com", "example.com", True),
        ("smtp.example.com", "pop.example.net", False),
        ("smtp.com", "pop.com", False),
        ("example.co.uk", "evil.co.uk", False),
        ("shop.example.com", "evil.example.com", False),
        ("smtp.gmail.com", "pop.qq.com", False),
    ],
)
def test_operators(one: str, other: str, same: bool) -> None:
    assert have_same_operator(one, other) is same

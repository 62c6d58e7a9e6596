"""Connect an account by OAuth 2: the request for the user's consent, and the way back.

The session keeps what was requested: state, verifier, user, provider and account. A response is
accepted once, in the same session, for the same user, within a limited time. So the
authorization code of one person cannot be attached to the account of another.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from outbox import oauth
from outbox.api import audit, connection_tests
from outbox.api import oauth as connections
from outbox.api.mailboxes import has_mailbox
from outbox.api.quotas import check_accounts
from outbox.api.reasons import in_words
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import QuotaExceededError
from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.models import Account, AuditAction, OAuthKind, OAuthProvider, Security
from outbox.net.providers import PROVIDERS, Provider, provider_of
from outbox.web.accounts import tested_connection
from outbox.web.accounts.connection_tests import account_address
from outbox.web.accounts.hosts import clean_host
from outbox.web.accounts.other_login import warn_of_other_login
from outbox.web.auth import UserRequest, signed_in
from outbox.web.parameters import integer
from outbox.web.reauthentication import recently_authenticated_posts

_SESSION_KEY = "outbox_oauth_request"
_SECONDS = 900.0  # for a consent, which may need another sign-in and a second factor
_AT_ONCE = 4  # exchanges of a process: a slow service must not keep all threads of the web server
_slots = threading.BoundedSemaphore(_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Pending:
    """A request for consent, as the session keeps it."""

    state: str
    verifier: str
    redirect_uri: str
    user: str
    provider: int
    account: int | None  # None: a new one
    address: str
    known: str  # the name of the known provider of a new account's address
    at: float
    fetches: bool = False  # whether messages are fetched as well


@signed_in
@recently_authenticated_posts
@require_POST
def start(request: UserRequest) -> HttpResponse:
    """Store what is requested, and show the page that leads to the provider.

    A redirect would be blocked by the page's policy for forms, which allows this site only.
    """
    account_id = integer(request.POST.get("account"))
    try:
        provider = _offered(integer(request.POST.get("provider")) or 0)
        if account_id is not None:
            account = _own_at(request, provider, account_id)
            address = account.username or account.from_address
        else:
            parsed = _parsed(request.POST.get("address", ""))
            address = parsed.spec
            _new_account(request, provider, parsed, request.POST.get("known", ""))
    except ValidationError as error:
        if account_id is not None:
            return _failed(request, " ".join(error.messages), account_id)
        messages.error(request, " ".join(error.messages))
        return redirect("outbox:account-add")
    pending = Pending(
        state=oauth.new_state(),
        verifier=oauth.new_verifier(),
        redirect_uri=redirect_uri(request),
        user=str(request.user.pk),
        provider=provider.pk,
        account=account_id,
        address=address,
        known=request.POST.get("known", "")[:100],
        at=_now(),
        fetches="fetches" in request.POST or has_mailbox(account_id),
    )
    request.session[_SESSION_KEY] = asdict(pending)
    url = oauth.authorization_url(
        provider.endpoints_for(fetches=pending.fetches),
        client_id=provider.client_id,
        redirect_uri=pending.redirect_uri,
        state=pending.state,
        verifier=pending.verifier,
        login_hint=address,
    )
    context = {"provider": provider, "address": address, "authorization_url": url}
    return render(request, "outbox/account_connect.html", context | {"page": "accounts"})


@never_cache
@signed_in
@require_safe
@sensitive_variables()
def returned(request: UserRequest) -> HttpResponse:
    """Accept the provider's response. Its address contains the code, so it shows no page."""
    pending = _pending(request, request.GET.get("state", ""))
    if pending is None:
        text = _("The connection was not started here, or it took too long. Start it again.")
        return _failed(request, text, None)
    provider = connections.user_provider(pending.provider)
    code = request.GET.get("code", "")
    if provider is None or not code:
        text = _("The access was not allowed. Nothing was changed.")
        return _failed(request, text, pending.account)
    try:
        account = _account(request, provider, pending)
        account_is_new = account._state.adding
        login = _connect(provider, account, pending, code)
    except ValidationError as error:
        return _failed(request, " ".join(error.messages), pending.account)
    except oauth.TokenFault as fault:
        return _failed(request, in_words(fault.reason), pending.account)
    action = AuditAction.ACCOUNT_ADDED if account_is_new else AuditAction.ACCOUNT_CHANGED
    audit.record(action, request=request, target=account, connected_with=provider.name)
    messages.success(request, _("Connected with %(name)s.") % {"name": provider.name})
    warn_of_other_login(request, account, login)
    return redirect(account_address(account) + _test(request, account))


@signed_in
@recently_authenticated_posts
@require_POST
def disconnect(request: UserRequest, pk: int) -> HttpResponse:
    """Delete the tokens of an account. The provider's own page withdraws the consent."""
    account = _own(request, pk)
    if connections.app_provider_of(account) is not None:
        return _failed(request, _("An administrator connected this account."), pk)
    connections.disconnect(account)
    audit.record(AuditAction.ACCOUNT_CHANGED, request=request, target=account, disconnected=True)
    messages.success(request, _("Disconnected. Enter a password, or connect the account again."))
    return redirect("outbox:account", pk)


def redirect_uri(request: HttpRequest) -> str:
    """Return the address to which providers send users back, which has to be registered there."""
    path = reverse("outbox:oauth-return")
    site = get_conf().site_url.rstrip("/")
    return site + path if site else request.build_absolute_uri(path)


@sensitive_variables()
def _connect(provider: OAuthProvider, account: Account, pending: Pending, code: str) -> str:
    """Store the tokens, and return `TokenSet.login`. Raise ValidationError and TokenFault."""
    if not _slots.acquire(blocking=False):
        raise ValidationError(_("Too many accounts are being connected. Try again in a minute."))
    try:
        found = connections.exchange(
            provider,
            code=code,
            verifier=pending.verifier,
            redirect_uri=pending.redirect_uri,
            fetches=pending.fetches,
        )
    finally:
        _slots.release()
    try:
        connections.connect(account, provider, found, fetches=pending.fetches)
    except ImproperlyConfigured as error:
        raise ValidationError(str(error)) from error
    return found.login


def _pending(request: UserRequest, state: str) -> Pending | None:
    """Return the request with this state, if it is this user's and recent, and remove it.

    A response with another state, which any page can cause, does not end the request.
    """
    try:
        pending = Pending(**request.session.get(_SESSION_KEY, {}))
    except TypeError:  # none, or of an earlier version
        return None
    if not constant_time_compare(pending.state.encode(), state.encode()):
        return None
    del request.session[_SESSION_KEY]
    is_recent = 0 <= _now() - pending.at <= _SECONDS
    return pending if is_recent and pending.user == str(request.user.pk) else None


def _now() -> float:
    """Return the time of the database, in seconds: the other request may reach another host."""
    return database_now(get_conf().database).timestamp()


def _account(request: UserRequest, provider: OAuthProvider, pending: Pending) -> Account:
    if pending.account is not None:
        return _own_at(request, provider, pending.account)
    return _new_account(request, provider, _parsed(pending.address), pending.known)


def _offered(pk: int) -> OAuthProvider:
    provider = connections.user_provider(pk)
    if provider is None:
        raise ValidationError(_("This provider is no longer available."))
    return provider


def _parsed(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise ValidationError(in_words(error)) from error


def _new_account(
    request: UserRequest, provider: OAuthProvider, address: Address, known: str
) -> Account:
    """Return a new account at a provider, with its presets. Raise ValidationError."""
    try:
        check_accounts(request.user.pk)
    except QuotaExceededError as error:
        raise ValidationError(in_words(error)) from error
    user: Any = request.user
    account = Account(
        owner=request.user,
        name=provider.name,
        from_name=address.name or (user.get_full_name() if hasattr(user, "get_full_name") else ""),
        from_address=address.spec,
        username=address.spec,
        secret_is_token=True,
        **_server(provider, address, known),
    )
    account.full_clean()
    return account


def _server(provider: OAuthProvider, address: Address, known: str) -> dict[str, Any]:
    """Return the server and the limits of a new account."""
    if provider.kind == OAuthKind.CUSTOM:
        host = clean_host(provider.host, allow_private=get_conf().allow_private_hosts)
        return {"host": host, "port": provider.port, "security": provider.security}
    preset = _preset(provider.kind, address, known)
    return {
        "host": preset.host,
        "port": preset.port,
        "security": Security(preset.security),
        "per_minute": preset.per_minute,
        "per_day": preset.per_day,
    }


def _preset(kind: str, address: Address, known: str) -> Provider:
    """Return the known provider of an address: by its domain, or as its MX was looked up."""
    own = provider_of(address.wire.rpartition("@")[2])
    if own is not None and own.oauth == kind:
        return own
    rows = [row for row in PROVIDERS if row.oauth == kind]
    return next((row for row in rows if row.name == known), rows[-1])


def _test(request: UserRequest, account: Account) -> str:
    """Request a test of the connection; return the query that shows its result."""
    fingerprint = tested_connection.fingerprint(account)
    try:
        test = connection_tests.request_test(request.user, account, None, fingerprint=fingerprint)
    except connection_tests.TestRunningError:
        return ""
    return f"?test={test.token}"


def _failed(request: UserRequest, text: str, account: int | None) -> HttpResponse:
    messages.error(request, text)
    if account is not None and Account.objects.owned_by(request.user).filter(pk=account).exists():
        return redirect("outbox:account", account)
    return redirect("outbox:accounts")


def _own_at(request: UserRequest, provider: OAuthProvider, pk: int) -> Account:
    """Return an account whose server may get tokens of the provider. Raise ValidationError."""
    account = _own(request, pk)
    if connections.provider_of_account(account) != provider:
        raise ValidationError(
            _("The account cannot be connected with %(name)s, because its server is another one.")
            % {"name": provider.name}
        )
    return account


def _own(request: UserRequest, pk: int) -> Account:
    return get_object_or_404(Account.objects.owned_by(request.user), pk=pk)

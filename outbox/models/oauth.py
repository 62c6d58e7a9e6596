"""OAuth 2: the providers that administrators registered this site with, and accounts' tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.validators import MaxValueValidator, MinValueValidator, URLValidator
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from outbox.conf import get_conf
from outbox.db.fields import DatabaseTimeField
from outbox.models import secrets
from outbox.models.account import SERVER_FIELDS, Account, Security
from outbox.models.reasons import ReasonField
from outbox.reasons import NO_REASON

if TYPE_CHECKING:
    import datetime as dt

    from outbox.oauth import Endpoints

_HTTPS = URLValidator(schemes=["https", "http"])
_FINGERPRINT = 32  # characters


class OAuthKind(models.TextChoices):
    """Which provider it is."""

    GOOGLE = "google", _("Google")
    MICROSOFT = "microsoft", _("Microsoft")
    CUSTOM = "custom", _("Another provider")


class OAuthAccess(models.TextChoices):
    """The kind of consent that gives access to a mailbox."""

    USER = "user", _("The user of the mailbox, by consent")
    APP = "app", _("An administrator, for the whole organization (app-only)")


class OAuthProvider(models.Model):
    """A provider of mailboxes that this site is registered with as a client."""

    kind = models.CharField(_("provider"), max_length=10, choices=OAuthKind)
    name = models.CharField(
        _("name"), max_length=100, help_text=_("Users see it on the button: “Connect with …”.")
    )
    access = models.CharField(
        _("access"), max_length=4, choices=OAuthAccess, default=OAuthAccess.USER
    )
    client_id = models.CharField(_("client id"), max_length=255, blank=True)
    secret_encrypted = models.TextField(blank=True, editable=False)
    key_encrypted = models.TextField(blank=True, editable=False)
    tenant = models.CharField(
        _("tenant"),
        max_length=255,
        blank=True,
        help_text=_("Microsoft: the id or the domain of the directory. Empty: any account."),
    )
    authorization_url = models.CharField(
        _("authorization URL"), max_length=500, blank=True, validators=[_HTTPS]
    )
    token_url = models.CharField(_("token URL"), max_length=500, blank=True, validators=[_HTTPS])
    scopes = models.CharField(
        _("scopes"), max_length=1000, blank=True, help_text=_("Separated by spaces.")
    )
    domains = models.CharField(
        _("domains"),
        max_length=1000,
        blank=True,
        help_text=_("Domains of the email addresses at another provider, separated by spaces."),
    )
    host = models.CharField(_("server"), max_length=255, blank=True)
    port = models.PositiveIntegerField(
        _("port"), default=587, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    security = models.CharField(
        _("security"), max_length=8, choices=Security, default=Security.STARTTLS
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Users can connect accounts with it.")
    )
    created_at = DatabaseTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("OAuth 2 provider")
        verbose_name_plural = _("OAuth 2 providers")
        ordering = ["kind", "name", "id"]

    def __str__(self) -> str:
        return self.name

    def purpose_of(self, column: str) -> str:
        """Return what the secret in a column is encrypted for."""
        return f"outbox.oauth_provider.{column}"

    @property
    def secret(self) -> str:
        """The client secret: that of the settings for their client. Raise SecretUnreadableError."""
        conf = get_conf()
        given = {
            OAuthKind.GOOGLE.value: (conf.google_client_id, conf.google_client_secret),
            OAuthKind.MICROSOFT.value: (conf.microsoft_client_id, conf.microsoft_client_secret),
        }
        client_id, secret = given.get(self.kind, ("", ""))
        if secret and client_id == self.client_id and not self.secret_encrypted:
            return secret
        return secrets.decrypt(self.secret_encrypted, self.purpose_of("secret_encrypted"))

    @secret.setter
    def secret(self, plain: str) -> None:
        self.secret_encrypted = secrets.encrypt(plain, self.purpose_of("secret_encrypted"))

    @property
    def key(self) -> str:
        """The certificate with its private key, or the JSON file of a service account."""
        return secrets.decrypt(self.key_encrypted, self.purpose_of("key_encrypted"))

    @key.setter
    def key(self, plain: str) -> None:
        self.key_encrypted = secrets.encrypt(plain, self.purpose_of("key_encrypted"))

    @property
    def client_fingerprint(self) -> str:
        """A keyed hash of what identifies this site at the provider, to notice a change of it."""
        parts = [self.client_id]
        for name in ("secret", "key"):
            try:
                parts.append(getattr(self, name))
            except secrets.SecretUnreadableError:
                parts.append(" ")
        return salted_hmac(
            "outbox.oauth_client", json.dumps(parts), algorithm="sha256"
        ).hexdigest()[:_FINGERPRINT]

    def has_server(self, host: str) -> bool:
        """Return whether a host is a server of the provider. No other one gets its tokens."""
        # Imported here and below, since most processes need no provider, and start sooner.
        from outbox.net.providers import PROVIDERS

        if self.kind == OAuthKind.CUSTOM:
            return bool(host) and host.lower() == self.host.lower()
        return any(known.oauth == self.kind and known.host == host.lower() for known in PROVIDERS)

    @property
    def endpoints(self) -> Endpoints:
        """Where the provider's users consent, and where tokens are requested."""
        from outbox import oauth

        if self.kind == OAuthKind.GOOGLE:
            return oauth.google()
        if self.kind == OAuthKind.MICROSOFT:
            return oauth.microsoft(self.tenant)
        return oauth.custom(
            self.name, self.authorization_url, self.token_url, tuple(self.scopes.split())
        )

    def endpoints_for(self, *, fetches: bool) -> Endpoints:
        """Return the endpoints for an account, with the scopes for fetching where it does that."""
        from outbox import oauth

        if fetches and self.kind == OAuthKind.MICROSOFT:
            return oauth.microsoft(self.tenant, fetches=True)
        return self.endpoints


# What changes with each new set of tokens: nothing that was noted about the former one counts.
WITH_NEW_TOKENS: Mapping[str, Any] = {
    "generation": models.F("generation") + 1,
    "lease_until": None,
    "lease_key": "",
    "faults": 0,
    "retry_at": None,
    "is_rejected": False,
    "reason": NO_REASON,
    "notified_at": None,
}


class OAuthToken(models.Model):
    """The tokens of one account, and the lease on their renewal.

    `outbox.delivery.tokens` renews them.
    """

    account = models.OneToOneField(
        Account, on_delete=models.CASCADE, primary_key=True, related_name="oauth_token"
    )
    provider = models.ForeignKey(OAuthProvider, on_delete=models.PROTECT, related_name="tokens")
    refresh_encrypted = models.TextField(blank=True, editable=False)
    access_encrypted = models.TextField(blank=True, editable=False)
    # Counts the sets of tokens. Every change names the one that it replaces.
    generation = models.PositiveIntegerField(default=0)
    forced_generation = models.PositiveIntegerField(null=True)  # it replaced a rejected token
    expires_at = models.DateTimeField(null=True)
    refreshed_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    lease_key = models.CharField(max_length=32, blank=True, default="")
    faults = models.PositiveIntegerField(default=0)  # of the token service, in a row
    retry_at = models.DateTimeField(null=True)  # no request before this time
    is_rejected = models.BooleanField(default=False)  # a person has to connect the account again
    reason = ReasonField()  # of the last fault
    # The fingerprint of the client that was rejected. The account continues with another one.
    rejected_client = models.CharField(
        max_length=_FINGERPRINT, blank=True, default="", db_default=""
    )
    notified_at = models.DateTimeField(null=True)  # when the owner got an email about it
    # The user allowed to fetch messages as well. A renewal must request the same scopes.
    fetches = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name = _("OAuth 2 connection")
        verbose_name_plural = _("OAuth 2 connections")

    def __str__(self) -> str:
        return str(self.account)

    def purpose_of(self, column: str) -> str:
        """Return what a token is encrypted for.

        Tokens are void for another account, another server, and another token service. Another
        tenant is the same service.
        """
        account, provider = self.account, self.provider
        server = [str(getattr(account, name)) for name in SERVER_FIELDS]
        service = [provider.kind, str(provider.pk)]
        if provider.kind == OAuthKind.CUSTOM:
            service.append(provider.token_url)
        return json.dumps([f"outbox.oauth_token.{column}", self.account_id, *server, *service])

    @property
    def refresh_token(self) -> str:
        """The decrypted refresh token. Raise SecretUnreadableError."""
        return secrets.decrypt(self.refresh_encrypted, self.purpose_of("refresh_encrypted"))

    @property
    def access_token(self) -> str:
        """The decrypted access token. Raise SecretUnreadableError."""
        return secrets.decrypt(self.access_encrypted, self.purpose_of("access_encrypted"))

    def encrypted(self, *, access: str, refresh: str) -> dict[str, Any]:
        """Return the columns of new tokens. An empty refresh token keeps the former one."""
        columns = {"access_encrypted": secrets.encrypt(access, self.purpose_of("access_encrypted"))}
        if refresh:
            purpose = self.purpose_of("refresh_encrypted")
            columns["refresh_encrypted"] = secrets.encrypt(refresh, purpose)
        return columns

    def is_usable(self, now: dt.datetime) -> bool:
        """Return whether the access token has not expired."""
        return bool(self.access_encrypted) and self.expires_at is not None and self.expires_at > now


def lacks_fetching(row: OAuthToken) -> bool:
    """Return whether the user has to allow the fetching of messages besides their sending.

    Only Microsoft has a scope for each. An administrator's consent has all that is granted.
    """
    return (
        row.provider.kind == OAuthKind.MICROSOFT
        and row.provider.access == OAuthAccess.USER
        and not row.fetches
    )


def tokens_of(account: Account, using: str) -> OAuthToken | None:
    """Return the tokens of an account, with its provider; None if it was never connected."""
    rows = OAuthToken.objects.using(using).select_related("provider", "account")
    return rows.filter(pk=account.pk).first() if account.pk else None

"""Account: one way to send mail, who owns it and who may use it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.models import secrets

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class Route(models.TextChoices):
    """How an account's mail reaches the next hop."""

    SMARTHOST = "smarthost", _("through one fixed server")
    DIRECT = "direct", _("to each domain's own servers (MX)")


class Security(models.TextChoices):
    """The values are those of outbox.smtp.Security."""

    NONE = "none", _("None (not encrypted)")
    STARTTLS = "starttls", _("STARTTLS (required)")
    TLS = "tls", _("Implicit TLS")


class OnUncertain(models.TextChoices):
    """What happens to a recipient of whom nobody knows whether the server took the mail."""

    HOLD = "hold", _("wait for a person")
    RESEND = "resend", _("send again after a while")


class AccountQuerySet(models.QuerySet["Account"]):
    def usable_by(self, user: AbstractBaseUser | AnonymousUser) -> AccountQuerySet:
        """Limit to the accounts this user owns or was given."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(
            models.Q(owner=user.pk) | models.Q(users=user.pk) | models.Q(groups__user=user.pk)
        ).distinct()

    def owned_by(self, user: AbstractBaseUser | AnonymousUser) -> AccountQuerySet:
        """Limit to the accounts this user may change."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()


class Account(models.Model):
    """A way to send: identity, server, login and limits."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text=_("May change it. Without an owner it belongs to the site's staff."),
    )
    users = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="+", help_text=_("May send with it.")
    )
    groups = models.ManyToManyField(
        "auth.Group", blank=True, related_name="+", help_text=_("Their members may send with it.")
    )
    name = models.CharField(_("name"), max_length=100)
    from_name = models.CharField(_("sender's name"), max_length=200, blank=True)
    from_address = models.CharField(_("sender's address"), max_length=320)
    reply_to = models.CharField(_("reply to"), max_length=320, blank=True)
    signature = models.TextField(_("signature"), blank=True)

    route = models.CharField(max_length=12, choices=Route, default=Route.SMARTHOST)
    host = models.CharField(_("server"), max_length=255)
    port = models.PositiveIntegerField(
        _("port"), default=587, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    security = models.CharField(
        _("security"), max_length=8, choices=Security, default=Security.STARTTLS
    )
    username = models.CharField(_("user name"), max_length=255, blank=True)
    secret_encrypted = models.TextField(blank=True, editable=False)
    secret_is_token = models.BooleanField(
        _("the password is an OAuth 2 access token"), default=False
    )

    max_connections = models.PositiveSmallIntegerField(
        _("connections at once"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(500)],
    )
    per_minute = models.PositiveIntegerField(_("recipients a minute"), null=True, blank=True)
    per_day = models.PositiveIntegerField(_("recipients a day"), null=True, blank=True)

    on_uncertain = models.CharField(
        _("when the server's answer was lost"),
        max_length=8,
        choices=OnUncertain,
        default=OnUncertain.RESEND,
    )
    resend_after = models.DurationField(_("send again after"), default=dt.timedelta(hours=4))
    is_app_default = models.BooleanField(
        _("used for mail from apps that name no account"), default=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    # When a test of the connection last passed; empty again once the server or login is changed.
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            # Two defaults would make an app's mail leave by chance.
            models.UniqueConstraint(
                fields=["is_app_default"],
                condition=models.Q(is_app_default=True),
                name="outbox_account_one_app_default",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.from_address}>"

    @property
    def identity(self) -> Address:
        """The header From. Raises AddressError when the stored address does not parse."""
        return dataclasses.replace(parse_address(self.from_address), name=self.from_name)

    @property
    def sender(self) -> str:
        """The sender as recipients see it; the stored address where that does not parse."""
        try:
            return str(self.identity)
        except AddressError:
            return self.from_address

    @property
    def secret(self) -> str:
        """The password in plain. Raises SecretUnreadableError."""
        return secrets.decrypt(self.secret_encrypted)

    @secret.setter
    def secret(self, plain: str) -> None:
        self.secret_encrypted = secrets.encrypt(plain)

    @property
    def has_secret(self) -> bool:
        """Tell whether a password is stored, without opening it."""
        return bool(self.secret_encrypted)

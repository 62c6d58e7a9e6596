"""Account: a way to send messages, its owner and its users."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.deletion import Collector
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from outbox.conf import get_conf
from outbox.db.fields import DatabaseTimeField
from outbox.mail.addresses import Address, AddressError, is_usual, parse_address
from outbox.models import secrets
from outbox.models.return_path import ROOM, has_room
from outbox.models.secrets import SecretUnreadableError

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Field = models.Field[Any, Any]

# A password belongs to this server and username. It is void for any other.
SERVER_FIELDS = ("host", "port", "security", "username")
TRUST_ACCOUNT = "trust_account"  # the permission to trust accounts
SHARE_ACCOUNT = "share_account"  # the permission to share accounts, where it is required
VIEW_ALL_ACCOUNTS = "view_all_accounts"  # without it, staff see the accounts of their groups only
_DAYS = MaxValueValidator(36_500)


class Security(models.TextChoices):
    """The values are those of outbox.smtp.Security."""

    NONE = "none", _("None (not encrypted)")
    STARTTLS = "starttls", _("STARTTLS")
    TLS = "tls", _("TLS")


class Route(models.TextChoices):
    """How the messages of an account are delivered."""

    SMARTHOST = "smarthost", _("By the server of the account")
    DIRECT = "direct", _("Directly, to the mail servers of the recipients")


class OnUncertain(models.TextChoices):
    """What happens to a recipient when it is unknown whether the server accepted the message."""

    HOLD = "hold", _("Wait until a user decides")
    RESEND = "resend", _("Retry after a delay")


def check_signature(text: str) -> None:
    """Raise ValidationError for a signature that is too long.

    The composer contains the signatures of all accounts that a user may use, shared ones included.
    """
    limit = get_conf().max_signature
    if (count := len(text)) > limit:
        message = _("It has %(count)s characters. The limit is %(limit)s.")
        numbers = {"count": f"{count:,}", "limit": f"{limit:,}"}
        raise ValidationError({"signature": message % numbers})


def check_return_path(address: str) -> None:
    """Raise ValidationError unless the local part of the address has room for a token."""
    if not address:
        return
    try:
        local = parse_address(address).local
    except AddressError as error:
        raise ValidationError({"return_path": error.in_words(gettext)}) from error
    if not local.isascii() or not is_usual(address) or "+" in local:
        text = _("Enter an address with a plain local part, without “+”.")
        raise ValidationError({"return_path": text})
    if not has_room(address):
        text = _("The text before “@” has at most %(count)s characters, since a token follows it.")
        raise ValidationError({"return_path": text % {"count": ROOM}})


class AccountQuerySet(models.QuerySet["Account"]):
    def usable_by(self, user: AbstractBaseUser | AnonymousUser) -> AccountQuerySet:
        """Limit to the accounts this user owns, or was offered and has accepted."""
        if not (user.is_authenticated and user.is_active):
            return self.none()
        accepted = self._where(decisions__user=user.pk, decisions__is_accepted=True)
        shared = models.Q(pk__in=self._offers(user)) & models.Q(pk__in=accepted)
        return self.filter(models.Q(owner=user.pk) | shared, is_active=True)

    def inviting(self, user: AbstractBaseUser | AnonymousUser) -> AccountQuerySet:
        """Limit to the accounts that this user was offered and has not decided about yet."""
        if not (user.is_authenticated and user.is_active):
            return self.none()
        offered = self.filter(pk__in=self._offers(user), is_active=True).exclude(owner=user.pk)
        return offered.exclude(pk__in=self._where(decisions__user=user.pk))

    def in_order_for(
        self, user: AbstractBaseUser | AnonymousUser, last_used: int | None
    ) -> AccountQuerySet:
        """Order for a choice: the user's own accounts first, then the one that was used last."""

        def first(condition: models.Q) -> models.Case:
            return models.Case(models.When(condition, then=0), default=1)

        ranks = [first(models.Q(owner=user.pk)), first(models.Q(pk=last_used or 0))]
        return self.order_by(*ranks, "name", "id")

    def _offers(self, user: AbstractBaseUser | AnonymousUser) -> models.QuerySet[Account, Any]:
        """Return the keys of the accounts that are shared with the user, accepted or not."""
        return self._where(models.Q(users=user.pk) | models.Q(groups__user=user.pk))

    def _where(self, *conditions: models.Q, **lookups: Any) -> models.QuerySet[Account, Any]:
        accounts = Account.objects.using(self.db).filter(*conditions, **lookups)
        return accounts.order_by().values("pk")

    def for_apps(self) -> AccountQuerySet:
        """Limit to the accounts that apps use without naming one: the site's, not a user's."""
        return self.filter(owner=None, is_active=True)

    def of_staff_groups(self, user: AbstractBaseUser | AnonymousUser) -> AccountQuerySet:
        """Limit to the accounts that staff see as members of their groups."""
        return self.filter(pk__in=self._where(staff_groups__user=user.pk))

    def owned_by(self, user: AbstractBaseUser | AnonymousUser) -> AccountQuerySet:
        """Limit to the accounts this user may change."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()


def disable_accounts(
    collector: Collector,
    _field: Field,
    accounts: Collection[Account],
    _using: str,
) -> None:
    """Disable the accounts of a deleted user, erase their secrets, end sharing and fetching.

    Django calls this for every deletion through the ORM (`on_delete`). Without an owner, an account
    would otherwise pass for one of the site.
    """
    owned: Sequence[Account] = list(accounts)
    meta = Account._meta
    disabled = {"owner": None, "is_active": False, "is_trusted": False, "secret_encrypted": ""}
    for name, value in disabled.items():
        collector.add_field_update(cast("Field", meta.get_field(name)), value, owned)
    decisions: Any = meta.get_field("decisions").related_model
    tokens: Any = meta.get_field("oauth_token").related_model
    mailboxes: Any = meta.get_field("mailbox").related_model
    for shares in (Account.users.through, Account.groups.through, decisions, tokens, mailboxes):
        collector.collect(shares._default_manager.using(collector.using).filter(account__in=owned))


class Account(models.Model):
    """A way to send: identity, server, login and limits."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        null=True,
        blank=True,
        on_delete=disable_accounts,
        related_name="+",
        help_text=_("The user who may edit the account. Without an owner, staff edit it."),
    )
    users = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("users"),
        blank=True,
        related_name="+",
        help_text=_("Users who are invited to send from the account."),
    )
    groups = models.ManyToManyField(
        "auth.Group",
        verbose_name=_("groups"),
        blank=True,
        related_name="+",
        help_text=_("Groups whose members are invited to send from the account."),
    )
    staff_groups = models.ManyToManyField(
        "auth.Group",
        verbose_name=_("groups of staff"),
        blank=True,
        related_name="+",
        help_text=_(
            "Staff in these groups see the account and its messages, as far as their permissions "
            "allow. Staff with the permission “view_all_accounts” see every account."
        ),
    )
    # What the owner typed and no user is called: the page must not reveal which names exist.
    unmatched_names = models.TextField(blank=True, editable=False, db_default="", default="")
    name = models.CharField(_("name"), max_length=100)
    from_name = models.CharField(_("sender name"), max_length=200, blank=True)
    from_address = models.CharField(_("sender address"), max_length=320)
    sender_domains = models.CharField(
        _("sender domains"),
        max_length=1000,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "Domains that the sender address may have, separated by spaces. If empty, the domains "
            "in the settings apply to the accounts of users."
        ),
    )
    reply_to = models.CharField(_("reply to"), max_length=320, blank=True)
    signature = models.TextField(_("signature"), blank=True)
    return_path = models.CharField(
        _("return path"),
        max_length=320,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "The address of the mailbox that bounces are fetched from. The server must deliver "
            "addresses with “+” and a text after the local part to it. If empty, bounces go to the "
            "sender address."
        ),
    )

    route = models.CharField(
        _("delivery"),
        max_length=10,
        choices=Route,
        default=Route.SMARTHOST,
        db_default=Route.SMARTHOST,
        help_text=_(
            "Direct delivery needs an IP address with a PTR record and port 25. Without them, other"
            " servers reject the messages."
        ),
    )
    host = models.CharField(_("server"), max_length=255, blank=True)
    port = models.PositiveIntegerField(
        _("port"), default=587, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    security = models.CharField(
        _("security"), max_length=8, choices=Security, default=Security.STARTTLS
    )
    username = models.CharField(_("username"), max_length=255, blank=True)
    secret_encrypted = models.TextField(blank=True, editable=False)
    secret_is_token = models.BooleanField(
        _("the password is an OAuth 2 access token"), default=False
    )

    max_connections = models.PositiveSmallIntegerField(
        _("simultaneous connections"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(500)],
    )
    per_minute = models.PositiveIntegerField(_("recipients per minute"), null=True, blank=True)
    per_day = models.PositiveIntegerField(_("recipients per day"), null=True, blank=True)

    # Empty: as the settings say. 0: without an end. See `outbox.models.retention`.
    content_days = models.PositiveIntegerField(
        _("days until the content is removed"), null=True, blank=True, validators=[_DAYS]
    )
    transcript_days = models.PositiveIntegerField(
        _("days until conversations are removed"), null=True, blank=True, validators=[_DAYS]
    )
    message_days = models.PositiveIntegerField(
        _("days until the message is deleted"), null=True, blank=True, validators=[_DAYS]
    )

    on_uncertain = models.CharField(
        _("when delivery is uncertain"),
        max_length=8,
        choices=OnUncertain,
        default=OnUncertain.RESEND,
    )
    resend_after = models.DurationField(_("retry after"), default=dt.timedelta(hours=4))
    is_app_default = models.BooleanField(
        _("default for apps that do not name an account"), default=False
    )
    # None: as the settings say.
    suppress_bounces = models.BooleanField(
        _("suppress addresses that bounce"),
        null=True,
        blank=True,
        help_text=_(
            "An address that does not exist receives no further messages from this account, nor "
            "does one from which several messages came back."
        ),
    )
    is_active = models.BooleanField(
        _("active"),
        default=True,
        db_default=True,
        help_text=_("Messages of an account that is not active are held."),
    )
    is_trusted = models.BooleanField(
        _("trusted"),
        default=False,
        db_default=False,
        help_text=_("A trusted account may connect to servers in the site's private network."),
    )
    created_at = DatabaseTimeField(_("created at"), auto_now_add=True)
    # When the last connection test passed; reset when the server or login changes.
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["name", "id"]
        constraints = [
            # With two defaults, the account of an app message would be arbitrary.
            models.UniqueConstraint(
                fields=["is_app_default"],
                condition=models.Q(is_app_default=True),
                name="outbox_account_one_app_default",
            ),
            # Otherwise a user would receive the messages of every app, password resets included.
            models.CheckConstraint(
                condition=models.Q(is_app_default=False) | models.Q(owner=None),
                name="outbox_account_app_default_of_site",
            ),
            # The site's IP address would send what a user writes, past every other server.
            models.CheckConstraint(
                condition=~models.Q(route="direct") | models.Q(owner=None),
                name="outbox_account_direct_of_site",
            ),
        ]
        permissions = [
            (TRUST_ACCOUNT, "Can trust accounts with servers in the private network"),
            (SHARE_ACCOUNT, "Can share accounts, if the settings require this permission"),
            (VIEW_ALL_ACCOUNTS, "Can see every account, not only those of their groups"),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.from_address}>"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. A password that was stored for another server or username is erased."""
        written = kwargs.get("update_fields")
        if written is None or {*SERVER_FIELDS, "secret_encrypted"}.intersection(written):
            if self._entered is not None:
                self.secret = self._entered  # for the server that is saved with it
            elif self.is_secret_void:
                self.secret_encrypted = ""
            if written is not None:
                kwargs["update_fields"] = {*written, "secret_encrypted"}
        super().save(*args, **kwargs)
        self._entered = None
        self._remember_server()
        _restricted.clear()

    @property
    def identity(self) -> Address:
        """The From header. Raises AddressError if the stored address does not parse."""
        return dataclasses.replace(parse_address(self.from_address), name=self.from_name)

    @property
    def sender(self) -> str:
        """The sender as recipients see it, or the stored address if that does not parse."""
        try:
            return str(self.identity)
        except AddressError:
            return self.from_address

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Self:
        """Return the stored account. It remembers the server that its password belongs to."""
        account = super().from_db(db, field_names, values, **options)
        account._remember_server()
        return account

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self._entered = None
        self._remember_server()

    def clean(self) -> None:
        """Check what no field can check alone: limits of the site, and the default for apps."""
        super().clean()
        check_signature(self.signature)
        if self.route == Route.SMARTHOST and not self.host:
            raise ValidationError({"host": _("Enter the server.")})
        if self.route == Route.DIRECT and self.owner_id is not None:
            text = _("Remove the owner. Only an account without an owner can deliver directly.")
            raise ValidationError(text)  # not every form has the field
        limit = get_conf().max_connections_per_account
        if self.max_connections is not None and self.max_connections > limit:
            message = MaxValueValidator.message % {"limit_value": limit}
            raise ValidationError({"max_connections": message})
        if self.is_app_default and self.owner_id is not None:
            raise ValidationError(
                _("Remove the owner. Only an account without an owner can be the default for apps.")
            )
        check_return_path(self.return_path)
        for name in ("from_address", "return_path"):
            if not self.may_send_as(getattr(self, name)):
                domains = ", ".join(sorted(self.allowed_domains))
                text = _("Enter an address of one of these domains: %(domains)s.")
                raise ValidationError({name: text % {"domains": domains}})

    @property
    def allowed_domains(self) -> frozenset[str]:
        """The domains that the sender address may have; empty means any."""
        own = self.sender_domains.lower().split()
        if own or self.owner_id is None:
            return frozenset(own)
        return frozenset(domain.lower() for domain in get_conf().sender_domains)

    def may_send_as(self, address: str) -> bool:
        """Return whether staff allow the domain of a sender address. The null sender is allowed."""
        allowed = self.allowed_domains
        if not allowed or not address:
            return True
        try:
            return parse_address(address).domain.lower() in allowed
        except AddressError:
            return False

    # --- password -----------------------------------------------------------------------------

    _entered: str | None = None  # a password that is not saved yet
    _stored_server: tuple[str, ...] | None = None  # the server of the stored password

    @property
    def secret(self) -> str:
        """The decrypted password. Raises SecretUnreadableError."""
        if self._entered is not None:
            return self._entered
        if self.is_secret_void:
            raise SecretUnreadableError(
                "The server or the username changed; enter the password again."
            )
        return secrets.decrypt(self.secret_encrypted, self.encrypted_for)

    @secret.setter
    def secret(self, plain: str) -> None:
        self._entered = plain
        self.secret_encrypted = secrets.encrypt(plain, self.encrypted_for)

    @property
    def encrypted_for(self) -> str:
        """What the password is encrypted for: it cannot be decrypted for another server."""
        return json.dumps(["outbox.account", *self._server])

    @property
    def is_secret_void(self) -> bool:
        """Whether the stored password is void, since the server or the username changed."""
        if self._entered is not None or self._stored_server is None:
            return False
        return self.has_secret and self._stored_server != self._server

    @property
    def has_secret(self) -> bool:
        """Whether a password is stored; it is not decrypted."""
        return bool(self.secret_encrypted)

    @property
    def _server(self) -> tuple[str, ...]:
        return tuple(str(getattr(self, name)) for name in SERVER_FIELDS)

    @property
    def server_shown(self) -> str:
        """The server with its port, as pages show it, or that delivery is direct."""
        return gettext("direct delivery") if self.is_direct else f"{self.host}:{self.port}"

    @property
    def is_direct(self) -> bool:
        """Whether it delivers to the mail servers of the recipients' domains."""
        return self.route == Route.DIRECT

    def _remember_server(self) -> None:
        if not self.get_deferred_fields().intersection(SERVER_FIELDS):
            self._stored_server = self._server


_restricted: dict[str, tuple[float, Account | None]] = {}  # by database, with its end
_CACHED_FOR = 5.0  # seconds: queueing an app's message must not query the account each time


def restricted_default(using: str) -> Account | None:
    """Return the default account for apps if its sender domains are limited; cached for seconds."""
    known = _restricted.get(using)
    if known is None or known[0] < time.monotonic():
        defaults = Account.objects.using(using).for_apps().filter(is_app_default=True)
        found = defaults.exclude(sender_domains="").first()
        known = _restricted[using] = (time.monotonic() + _CACHED_FOR, found)
    return known[1]

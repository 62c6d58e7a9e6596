"""Preferences: one user's choices for reading and writing. Without a row, defaults apply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.conf import get_conf
from outbox.models.account import Account, AccountQuerySet, check_signature

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class Theme(models.TextChoices):
    """The colors of the pages; an empty value follows the operating system."""

    LIGHT = "light", pgettext_lazy("theme", "Light")
    DARK = "dark", pgettext_lazy("theme", "Dark")


class FailureDigestChoice(models.TextChoices):
    """How soon failures are reported by email."""

    AT_ONCE = "at_once", pgettext_lazy("failure digest", "Immediately")
    DAILY = "daily", pgettext_lazy("failure digest", "Once a day")
    NEVER = "never", pgettext_lazy("failure digest", "Never")


class Preferences(models.Model):
    """The preferences of one user. The browser, the account or the site decides what is empty."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)  # an IANA name
    language = models.CharField(_("language"), max_length=16, blank=True)
    theme = models.CharField(_("theme"), max_length=8, blank=True, choices=Theme.choices)
    page_size = models.PositiveSmallIntegerField(_("messages per page"), null=True, blank=True)
    uses_shortcuts = models.BooleanField(_("keyboard shortcuts"), default=True)
    signature = models.TextField(_("signature"), blank=True)  # for accounts that have none
    undo_period = models.PositiveSmallIntegerField(
        _("undo period"), null=True, blank=True
    )  # seconds
    writes_rich = models.BooleanField(_("compose in rich text"), default=False)
    default_account = models.ForeignKey(
        Account,
        verbose_name=_("default account"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,  # read by user; only deleting an account scans this small table
    )
    last_account = models.ForeignKey(
        Account, null=True, blank=True, editable=False, on_delete=models.SET_NULL,
        related_name="+", db_index=False,
    )  # fmt: skip  # the one that the user sent with last
    invitation_email = models.BooleanField(
        _("email when an account is shared with me"), default=False, db_default=False
    )
    failure_digest = models.CharField(
        _("email about failures"),
        max_length=7,
        choices=FailureDigestChoice,
        default=FailureDigestChoice.AT_ONCE,
    )

    class Meta:
        verbose_name = _("preferences")
        verbose_name_plural = _("preferences")

    def __str__(self) -> str:
        return str(self.user)

    def clean(self) -> None:
        """Check what depends on a limit of the site."""
        super().clean()
        check_signature(self.signature)

    @classmethod
    def of(cls, user_id: int) -> Preferences:
        """Return the user's row, unsaved where there is none yet."""
        return cls.objects.filter(pk=user_id).first() or cls(user_id=user_id)

    @property
    def undo_after_send(self) -> float:
        """Seconds within which sending a composed message can be undone."""
        return get_conf().undo_period if self.undo_period is None else self.undo_period

    def usable_accounts(self, user: AbstractBaseUser | AnonymousUser) -> AccountQuerySet:
        """Return the accounts to choose from: own ones first, then the one that was used last."""
        usable = Account.objects.usable_by(user).select_related("owner")
        return usable.in_order_for(user, self.last_account_id)

    def account_among(self, usable: Sequence[Account]) -> Account | None:
        """Return the account for a new message: the default one if it is usable, else the first."""
        preferred = (account for account in usable if account.pk == self.default_account_id)
        return next(preferred, usable[0] if usable else None)

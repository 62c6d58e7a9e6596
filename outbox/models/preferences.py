"""Preferences: how one person wants to read and write; without a row, everything is as usual."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.conf import get_conf
from outbox.models.account import Account


class Theme(models.TextChoices):
    """The colors of the pages; an empty value follows the operating system."""

    LIGHT = "light", pgettext_lazy("theme", "Light")
    DARK = "dark", pgettext_lazy("theme", "Dark")


class FailureDigestChoice(models.TextChoices):
    """How soon failures are reported by email."""

    AT_ONCE = "at_once", pgettext_lazy("failure digest", "At once")
    DAILY = "daily", pgettext_lazy("failure digest", "Once a day")
    NEVER = "never", pgettext_lazy("failure digest", "Never")


class Preferences(models.Model):
    """Of one user. What is empty is left to the browser, the account or the site."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)  # an IANA name
    language = models.CharField(_("language"), max_length=16, blank=True)
    theme = models.CharField(_("theme"), max_length=8, blank=True, choices=Theme.choices)
    page_size = models.PositiveSmallIntegerField(_("messages per page"), null=True, blank=True)
    uses_shortcuts = models.BooleanField(_("keyboard shortcuts"), default=True)
    signature = models.TextField(_("signature"), blank=True)  # where the account has none
    undo_for = models.PositiveSmallIntegerField(_("undo send"), null=True, blank=True)  # seconds
    writes_rich = models.BooleanField(_("write with formatting"), default=False)
    default_account = models.ForeignKey(
        Account,
        verbose_name=_("default account"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,  # read by user; only deleting an account scans this small table
    )
    failure_digest = models.CharField(
        _("email about failed messages"),
        max_length=7,
        choices=FailureDigestChoice,
        default=FailureDigestChoice.AT_ONCE,
    )

    class Meta:
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"preferences of user {self.pk}"

    @classmethod
    def of(cls, user_id: int) -> Preferences:
        """Return the user's row, unsaved where there is none yet."""
        return cls.objects.filter(pk=user_id).first() or cls(user_id=user_id)

    @property
    def undo_after_send(self) -> float:
        """Seconds in which a composed mail can be taken back."""
        return get_conf().undo_for if self.undo_for is None else self.undo_for

    def account_among(self, usable: Sequence[Account]) -> Account | None:
        """Return the account for a new message: the default one if it is usable, else the first."""
        preferred = (account for account in usable if account.pk == self.default_account_id)
        return next(preferred, usable[0] if usable else None)

"""Preferences: how one person wants to read and write; without a row, everything is as usual."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.conf import get_conf


class Preferences(models.Model):
    """Of one user. What is empty is left to the browser, the account or the site."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)  # an IANA name
    language = models.CharField(_("language"), max_length=16, blank=True)
    signature = models.TextField(_("signature"), blank=True)  # where the account has none
    undo_for = models.PositiveSmallIntegerField(_("time to undo"), null=True, blank=True)  # seconds
    writes_rich = models.BooleanField(_("write with formatting"), default=False)

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

"""Quota: what one user may use, where staff set something else than the site's settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.conf import get_conf


class Quota(models.Model):
    """The limits of one user, named as in the settings. An empty one is that of the settings."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
    )
    max_messages_per_hour = models.PositiveIntegerField(
        _("messages per hour"), null=True, blank=True
    )
    max_stored_bytes = models.PositiveBigIntegerField(_("stored bytes"), null=True, blank=True)
    max_inbox_bytes = models.PositiveBigIntegerField(
        _("bytes of received messages"), null=True, blank=True
    )
    max_drafts = models.PositiveIntegerField(_("drafts"), null=True, blank=True)
    max_accounts = models.PositiveIntegerField(_("accounts"), null=True, blank=True)
    max_templates = models.PositiveIntegerField(_("templates"), null=True, blank=True)
    max_contacts = models.PositiveIntegerField(_("contacts"), null=True, blank=True)

    class Meta:
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")

    def __str__(self) -> str:
        return str(self.user)


def limit_of(owner_id: Any, name: str, using: str) -> int:
    """Return a limit of a user: the one that staff set, else that of the settings."""
    own = Quota.objects.using(using).filter(pk=owner_id).values_list(name, flat=True).first()
    limit: int = getattr(get_conf(), name) if own is None else own
    return limit

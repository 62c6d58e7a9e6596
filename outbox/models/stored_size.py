"""The remembered size of what a user has queued."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class StoredSize(models.Model):
    """The size of what one user had queued by a moment, so that it is not summed each time."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
    )
    size = models.PositiveBigIntegerField()
    listed_until = models.DateTimeField()  # the moment: later messages are not contained
    summed_at = models.DateTimeField()  # when every earlier message was read

    class Meta:
        verbose_name = _("stored size")
        verbose_name_plural = _("stored sizes")

    def __str__(self) -> str:
        return str(self.user)

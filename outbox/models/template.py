"""Template: wording kept for many mails, of a person or of the site, with placeholders.

It is Django's template syntax. A template knows its text only: compiling and filling it in is the
verbs' business (`outbox.api.merging`), where every placeholder must find its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class TemplateQuerySet(models.QuerySet["Template"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> TemplateQuerySet:
        """Limit to the user's own and those of the site."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(models.Q(owner=user.pk) | models.Q(owner=None))

    def owned_by(self, user: AbstractBaseUser | AnonymousUser) -> TemplateQuerySet:
        """Limit to those this user may change."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()

    def of_site(self) -> TemplateQuerySet:
        """Limit to the site's own, which an app names."""
        return self.filter(owner=None)


class Template(models.Model):
    """Subject, text and HTML with placeholders such as `{{ name }}`; values are escaped in HTML."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text=_("May change it. Without an owner it is the site's: apps name it."),
    )
    name = models.CharField(_("name"), max_length=100)
    subject = models.TextField(_("subject"), blank=True)
    text = models.TextField(_("text"), blank=True)
    html = models.TextField(_("HTML"), blank=True)  # without text, the text is made of it
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            # Two templates of one name: nobody could tell which one is meant.
            models.UniqueConstraint(fields=["owner", "name"], name="outbox_template_one"),
            models.UniqueConstraint(  # to a database, no owner differs from no owner
                fields=["name"],
                condition=models.Q(owner=None),
                name="outbox_template_one_of_site",
            ),
        ]

    def __str__(self) -> str:
        return self.name

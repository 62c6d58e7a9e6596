"""Template: reusable wording with placeholders, of a user or of the site.

The syntax is that of Django's templates. This module stores the text. Compiling it and filling in
values is up to the API (`outbox.api.templates`), where every placeholder must find its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.fields import DatabaseTimeField

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class TemplateQuerySet(models.QuerySet["Template"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> TemplateQuerySet:
        """Limit to the user's own templates and those of the site."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(models.Q(owner=user.pk) | models.Q(owner=None))

    def owned_by(self, user: AbstractBaseUser | AnonymousUser) -> TemplateQuerySet:
        """Limit to the templates that this user may change."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()

    def of_site(self) -> TemplateQuerySet:
        """Limit to the templates of the site, which apps use by name."""
        return self.filter(owner=None)


class Template(models.Model):
    """Subject, text and HTML with placeholders such as `{{ name }}`; values are escaped in HTML."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text=_(
            "The user who may edit the template. Without an owner, apps can use it by name."
        ),
    )
    name = models.CharField(_("name"), max_length=100)
    subject = models.TextField(_("subject"), blank=True)
    text = models.TextField(_("text"), blank=True)
    html = models.TextField(_("HTML"), blank=True)  # without text, the text is derived from it
    created_at = DatabaseTimeField(_("created at"), auto_now_add=True)
    updated_at = DatabaseTimeField(_("updated at"), auto_now=True)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        verbose_name = _("template")
        verbose_name_plural = _("templates")
        ordering = ["name", "id"]
        constraints = [
            # With two templates of one name, the name would be ambiguous.
            models.UniqueConstraint(fields=["owner", "name"], name="outbox_template_one"),
            models.UniqueConstraint(  # NULL owners are distinct to the constraint above
                fields=["name"],
                condition=models.Q(owner=None),
                name="outbox_template_one_of_site",
            ),
        ]

    def __str__(self) -> str:
        return self.name

"""The audit log in the admin. No page changes it."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from outbox.admin import formatting
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.models import AuditAction, AuditEntry


class ActionFilter(admin.SimpleListFilter):
    """Entries of one action."""

    title = _("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(AuditAction.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> Any:
        return queryset if self.value() is None else queryset.filter(action=self.value())


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Entries, newest first."""

    list_display = ("at", "action_in_words", "actor_name", "address", "target_kind", "target_name")
    list_filter = (ActionFilter, "at")
    search_fields = ("actor_name__exact", "address__exact", "target_name__istartswith")
    search_help_text = _("A user, an IP address, or the start of a target's name")
    ordering = ("-pk",)
    fields = (
        "at",
        "action_in_words",
        "actor_name",
        "address",
        "target_kind",
        "target_key",
        "target_name",
        "details_text",
    )
    readonly_fields = ("action_in_words", "details_text")

    @admin.display(description=_("action"), ordering="action")
    def action_in_words(self, entry: AuditEntry) -> str:
        return entry.action_label

    @admin.display(description=_("details"))
    def details_text(self, entry: AuditEntry) -> str | SafeString:
        if not entry.details:
            return formatting.EMPTY
        return formatting.preformatted(json.dumps(entry.details, indent=2, ensure_ascii=False))

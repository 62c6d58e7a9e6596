"""Reasons in the admin: in the reader's language, and as a filter by code."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from outbox.admin import formatting
from outbox.api.reasons import in_words
from outbox.models import Attempt, Event, Recipient
from outbox.models.reasons import has_code
from outbox.reasons import ReasonCode


class ReasonDisplay:
    """Adds `reason_text` to an admin of rows that have a reason."""

    @admin.display(description=_("reason"))
    def reason_text(self, row: Recipient | Attempt | Event) -> str:
        """Return the reason in the reader's language."""
        return in_words(row.reason) or formatting.EMPTY


class ReasonFilter(admin.SimpleListFilter):
    """Rows whose reason has a code; the list is long, so it is closed at first."""

    title = _("reason")
    parameter_name = "reason_code"
    template = "outbox/admin/closed_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return every code under its own name, in alphabetical order."""
        return [(code, code) for code in sorted(ReasonCode)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Limit to rows with the code."""
        code = self.value()
        return queryset if code is None else queryset.filter(has_code("reason", code))

"""Filters of an admin list: conditions on the rows, and what a URL may filter by."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise

from outbox.admin.scope import ScopedAdmin


class ConditionFilter(admin.SimpleListFilter):
    """Rows that meet the chosen condition; a subclass names the conditions."""

    conditions: ClassVar[Mapping[str, tuple[str | Promise, Q]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the names and labels of the conditions."""
        return [(name, label) for name, (label, _condition) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Limit to rows that meet the condition."""
        _label, condition = self.conditions.get(self.value() or "", ("", Q()))
        return queryset.filter(condition)


class ShownFieldsAdmin(ScopedAdmin):
    """Lists that a URL can filter only by fields that the pages show.

    Django accepts every field of the model. `?snippet__startswith=` would reveal the beginning of a
    text, letter by letter, to staff who may not read it.
    """

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return self._is_shown(lookup, request) and super().lookup_allowed(lookup, value, request)

    def _is_shown(self, lookup: str, request: HttpRequest) -> bool:
        filters = self.get_list_filter(request)
        if lookup in [getattr(one, "parameter_name", None) for one in filters]:
            return True
        name = lookup.partition("__")[0]
        try:
            field = self.opts.get_field(name)
        except FieldDoesNotExist:
            return True  # Django decides
        fields = flatten_fieldsets(self.get_fieldsets(request))
        shown = {*fields, *self.get_list_display(request), *filters}
        shown |= {self.shown_times[one] for one in shown if one in self.shown_times}
        return name in shown or getattr(field, "primary_key", False)

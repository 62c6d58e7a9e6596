"""Read-only admin pages, whose lists do not count their tables."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from outbox.admin.base import TabularInline
from outbox.admin.change_list import KeysetChangeList
from outbox.admin.filters import ShownFieldsAdmin
from outbox.admin.formatting import EMPTY
from outbox.admin.times import ShowsTimes


class _Unchangeable:
    is_read_only = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyAdmin(_Unchangeable, ShownFieldsAdmin):
    """A read-only list and page. Actions require "operate", which is Django's change permission.

    The list is paged by primary key, newest first.
    """

    change_list_template = "outbox/admin/change_list.html"
    ordering: ClassVar[Any] = ("-pk",)
    sortable_by = ()
    empty_value_display = EMPTY
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        """Return the class of the list."""
        return KeysetChangeList

    def has_operate_permission(self, request: HttpRequest) -> bool:
        name = f"{self.opts.app_label}.change_{self.opts.model_name}"
        return self.is_open(request) and request.user.has_perm(name)

    def change_each(
        self, request: HttpRequest, rows: Iterable[Any], change: Callable[[Any], bool], note: str
    ) -> int:
        """Change each row, note it in the log of the admin, and return how many have changed."""
        changed = [row for row in rows if change(row)]
        for row in changed:
            self.log_change(request, row, note)
        return len(changed)


class ReadOnlyInline(_Unchangeable, ShowsTimes, TabularInline):
    """The related rows of the page's object, of which there are few."""

    extra = 0
    can_delete = False

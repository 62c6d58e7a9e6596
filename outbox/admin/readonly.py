"""What every page of this admin shares: nothing is added, edited or deleted, nothing is counted."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    AnyPaginator = Paginator[Any]
    AnyInlineFormSet = BaseInlineFormSet[Any, Any, Any]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline
    AnyPaginator = Paginator
    AnyInlineFormSet = BaseInlineFormSet

ROWS_COUNTED = 2_000
ROWS_INLINE = 100


class CappedCount(int):
    """The number of rows on the pages of a list that has more."""

    def __str__(self) -> str:
        count = number_format(int(self), force_grouping=True)
        return _("more than %(count)s") % {"count": count}


class CappedPaginator(AnyPaginator):
    """Counts no further than a person pages, so that a list costs the same at any size."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        if isinstance(rows, QuerySet):
            rows = rows.order_by().values_list("pk")[: ROWS_COUNTED + 1]
        return CappedCount(ROWS_COUNTED) if len(rows) > ROWS_COUNTED else len(rows)


class CappedFormSet(AnyInlineFormSet):
    """Shows the first rows only: one mail may have ten thousand recipients."""

    def get_queryset(self) -> QuerySet[Any]:
        if not hasattr(self, "_capped"):
            self._capped = super().get_queryset()[:ROWS_INLINE]
        return self._capped


class _Unchangeable:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyAdmin(_Unchangeable, ModelAdmin):
    """A list and a page to read. Its actions ask for "operate": Django's change permission."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")


class ReadOnlyInline(_Unchangeable, TabularInline):
    """The first rows of what belongs to the page's object."""

    formset = CappedFormSet
    extra = 0
    can_delete = False

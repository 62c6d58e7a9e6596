"""Which rows staff see: those of the accounts of their groups, or of the whole site."""

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from outbox.admin.base import ModelAdmin
from outbox.admin.times import ShowsTimes
from outbox.models import Account
from outbox.models.access import of_visible_accounts, sees_all_accounts


class ScopedAdmin(ShowsTimes, ModelAdmin):
    """Pages that apply a user's permissions to the accounts that the user sees.

    Rows without a path to an account are about the whole site. Their pages are open only to staff
    who see every account.
    """

    account_path: ClassVar[str | None] = None  # from a row to its account; empty: the row is one

    def is_open(self, request: HttpRequest) -> bool:
        """Return whether the user's permissions apply to any row of these pages."""
        return self.account_path is not None or sees_all_accounts(request.user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the accounts that the user sees."""
        rows = super().get_queryset(request)
        if self.account_path is None:
            return rows
        return rows.filter(of_visible_accounts(request.user, self.account_path))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.is_open(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.is_open(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.is_open(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.is_open(request) and super().has_delete_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the accounts that the user sees. A row without one is about the whole site."""
        if db_field.related_model is Account and not sees_all_accounts(request.user):
            kwargs["queryset"] = Account.objects.of_staff_groups(request.user)
            kwargs["required"] = True
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

"""Admin pages that change what other users depend on, and therefore ask for the password again."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from outbox.admin.filters import ShownFieldsAdmin
from outbox.conf import get_conf
from outbox.web.reauthentication import recently_authenticated_posts

Context = dict[str, Any] | None
protected = method_decorator(recently_authenticated_posts)
_hidden_in_reports = method_decorator(sensitive_post_parameters())


class ProtectedAdmin(ShownFieldsAdmin):
    """Asks for the password before it adds, changes or deletes a row, or performs an action."""

    @_hidden_in_reports  # some forms have passwords and keys
    @protected
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Context = None,
    ) -> Any:
        """Show and save the form.

        Two requests may add a row with the same unique values at once. The second one fails in the
        database. It is repeated, and its form then finds the row of the first one.
        """
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError:
            return super().changeform_view(request, object_id, form_url, extra_context)

    @protected
    def changelist_view(self, request: HttpRequest, extra_context: Context = None) -> HttpResponse:
        return super().changelist_view(request, extra_context)

    @protected
    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Context = None
    ) -> HttpResponse:
        return super().delete_view(request, object_id, extra_context)


class DeletesRelatedAdmin(ProtectedAdmin):
    """Deletes rows with everything that belongs to them.

    Django would list what is deleted, of which there may be a million rows, and would require the
    permission to delete each kind. No user has it for those that the admin only shows.
    """

    delete_confirmation_template = "outbox/admin/delete_confirmation.html"
    delete_selected_confirmation_template = "outbox/admin/delete_selected_confirmation.html"

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Perform a deletion in one transaction, as Django does with that of one row.

        Django's log and the audit log then have no entry of a deletion that failed.
        """
        is_confirmed = request.POST.get("action") == "delete_selected" and "post" in request.POST
        with transaction.atomic(using=get_conf().database) if is_confirmed else nullcontext():
            return super().response_action(request, queryset, *args, **kwargs)

    def get_deleted_objects(
        self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Return the rows themselves only."""
        names = [str(each) for each in objs]
        return names, {str(self.opts.verbose_name_plural): len(names)}, set(), []

"""Bulk operations: the page that asks before one begins, and how far each has come."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from outbox.admin.readonly import ReadOnlyAdmin
from outbox.api import bulk_actions
from outbox.conf import get_conf
from outbox.models import BulkAction, BulkOperation

WHY_MAX = 500


@admin.register(BulkOperation)
class BulkOperationAdmin(ReadOnlyAdmin):
    """Newest first."""

    list_display = ("action", "actor", "count", "progress", "changed_count", "confirmed_at")
    list_filter = ("action",)
    list_select_related = ("actor",)
    ordering = ("-pk",)
    fields = (
        "action",
        "actor",
        "why",
        "selection",
        "count",
        "progress",
        "changed_count",
        "skipped_count",
        "created_at",
        "confirmed_at",
        "finished_at",
    )
    readonly_fields = ("progress",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("message_ids")

    @admin.display(description=_("progress"))
    def progress(self, operation: BulkOperation) -> str:
        if operation.confirmed_at is None:
            return gettext("not confirmed")
        done = operation.done_count + operation.skipped_count
        if operation.finished_at is not None:
            return gettext("finished")
        return gettext("%(done)d of %(count)d") % {"done": done, "count": operation.count}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.confirm_view)
        name = "outbox_bulkoperation_confirm"
        return [path("<int:pk>/confirm/", view, name=name), *super().get_urls()]

    def confirm_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask about the counted messages; begin when the person confirms."""
        using = get_conf().database
        if not request.user.has_perm("outbox.change_message"):
            raise PermissionDenied
        mine = BulkOperation.objects.using(using).filter(actor=request.user.pk)
        operation = get_object_or_404(mine, pk=pk)
        if operation.confirmed_at is not None:
            return redirect("admin:outbox_bulkoperation_change", pk)
        if request.method == "POST":
            why = request.POST.get("why", "").replace("\0", "")[:WHY_MAX]
            bulk_actions.confirm(operation, why=why, using=using)
            messages.success(request, _begun(operation))
            return redirect("admin:outbox_bulkoperation_change", pk)
        states = bulk_actions.STATES_OF[operation.action]
        context = {
            **self.admin_site.each_context(request),
            "title": _question(operation),
            "opts": self.opts,
            "operation": operation,
            "preview": bulk_actions.preview(operation.message_ids, states, using),
            "why_max": WHY_MAX,
        }
        return TemplateResponse(request, "outbox/admin/confirm_bulk_operation.html", context)


def _question(operation: BulkOperation) -> str:
    if operation.action == BulkAction.RETRY:
        return ngettext(
            "Retry %(count)d message?", "Retry %(count)d messages?", operation.count
        ) % {"count": operation.count}
    return ngettext("Cancel %(count)d message?", "Cancel %(count)d messages?", operation.count) % {
        "count": operation.count
    }


def _begun(operation: BulkOperation) -> str:
    if operation.action == BulkAction.RETRY:
        text = ngettext(
            "%(count)d message is being retried in the background.",
            "%(count)d messages are being retried in the background.",
            operation.count,
        )
    else:
        text = ngettext(
            "%(count)d message is being cancelled in the background.",
            "%(count)d messages are being cancelled in the background.",
            operation.count,
        )
    return text % {"count": operation.count}

"""Bulk operations: the question before one begins, its progress, and its cancellation."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRefresh

from outbox.admin.base import USES_UNFOLD
from outbox.admin.history.described import in_words
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.api import bulk_actions
from outbox.api.audit import acting_as
from outbox.api.history.criteria import OWNER, SELECTED
from outbox.api.message_actions import OPERATION_ACTIONS
from outbox.conf import get_conf
from outbox.models import BulkAction, BulkOperation, Message
from outbox.models.access import can_change_others, can_suppress, sees_all_accounts
from outbox.web.display import inert
from outbox.web.folders.progress import Progress
from outbox.web.messages.forms import ReasonForm
from outbox.web.reauthentication import recently_authenticated_posts


@admin.register(BulkOperation)
class BulkOperationAdmin(ReadOnlyAdmin):
    """The operations, newest first."""

    list_display = ("action", "actor", "count", "progress", "changed_count", "confirmed_at")
    list_filter = ("action",)
    list_select_related = ("actor",)
    change_form_template = "outbox/admin/bulk_operation.html"
    fields = (
        "action",
        "actor",
        "why",
        "filter",
        "count",
        "created_at",
        "confirmed_at",
    )  # the progress has the end, since it refreshes itself
    readonly_fields = ("filter", "progress")

    def is_open(self, request: HttpRequest) -> bool:
        """Return True: all staff see their own operations."""
        return True

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).defer("message_ids")
        return rows if sees_all_accounts(request.user) else rows.filter(actor=request.user.pk)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may view operations, or has requested this one."""
        is_own = obj is not None and obj.actor_id is not None and obj.actor_id == request.user.pk
        return is_own or super().has_view_permission(request, obj)

    @admin.display(description=_("progress"))
    def progress(self, operation: BulkOperation) -> str:
        return Progress(operation).short

    @admin.display(description=_("filter"))
    def filter(self, operation: BulkOperation) -> SafeString | str:
        return _filter(operation)

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of the questions, and of the part that refreshes itself."""
        wrap, name = self.admin_site.admin_view, "outbox_bulkoperation_{}".format
        return [
            path("<int:pk>/confirm/", wrap(self.confirm_view), name=name("confirm")),
            path("<int:pk>/cancel/", wrap(self.cancel_view), name=name("cancel")),
            # Without `admin_view`, which would show the sign-in page inside the present one.
            path("<int:pk>/live/", never_cache(self.live_view), name=name("live")),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the page with the progress."""
        if (operation := context.get("original")) is not None:
            context |= _progress(request, operation)
        return super().render_change_form(request, context, *args, **kwargs)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return the part that refreshes itself; users who have signed out load the whole page."""
        if not self.admin_site.has_permission(request):
            return HttpResponseClientRefresh()
        operation = get_object_or_404(self.get_queryset(request), pk=pk)
        if not self.has_view_permission(request, operation):
            raise PermissionDenied
        context = {"operation": operation, **_progress(request, operation)}
        return TemplateResponse(request, "outbox/admin/bulk_progress.html", context)

    @method_decorator(recently_authenticated_posts)
    def confirm_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask about the counted messages, and begin once the user has confirmed."""
        using = get_conf().database
        mine = BulkOperation.objects.using(using).filter(actor=request.user.pk)
        operation = get_object_or_404(mine, pk=pk)
        _check(request, operation)
        if operation.confirmed_at is not None:
            return redirect("admin:outbox_bulkoperation_change", pk)
        data = request.POST if request.method == "POST" else None
        form = ReasonForm(data, is_required=True)
        if request.method == "POST" and operation.count and form.is_valid():
            with acting_as(request):
                bulk_actions.confirm(operation, why=form.cleaned_data["why"], using=using)
            messages.success(request, _begun(operation))
            return redirect("admin:outbox_bulkoperation_change", pk)
        action = OPERATION_ACTIONS[operation.action]
        preview = bulk_actions.preview_of(operation, using)
        changelist = reverse("admin:outbox_message_changelist")
        return self._question(
            request,
            "outbox/admin/confirm_bulk_operation.html",
            title=action.question,
            effect=action.effect if preview else action.impossible,
            preview=preview,
            filter=_filter(operation),
            examples=bulk_actions.examples(operation, using),
            form=form if preview else None,
            button=action.label if preview else "",
            keep=action.keep if preview else "",
            back=f"{changelist}?{operation.selection}" if operation.selection else changelist,
            back_title=capfirst(Message._meta.verbose_name_plural),
        )

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, then end an operation. What it has changed remains changed."""
        using = get_conf().database
        operation = get_object_or_404(self.get_queryset(request), pk=pk)
        _check(request, operation)
        if request.method == "POST":
            assert request.user.is_authenticated  # the admin requires it
            with acting_as(request):
                is_ended = bulk_actions.cancel(operation, actor=request.user, using=using)
            if is_ended:
                messages.success(request, gettext("The operation is cancelled."))
            else:
                messages.info(request, gettext("The operation had already ended."))
            return redirect("admin:outbox_bulkoperation_change", pk)
        return self._question(
            request,
            "outbox/admin/question.html",
            title=gettext("Cancel the operation?"),
            effect=gettext(
                "Messages that it has not processed remain as they are. What it has changed"
                " remains changed."
            ),
            button=gettext("Cancel the operation"),
            back=reverse("admin:outbox_bulkoperation_change", args=[pk]),
            back_title=str(operation),
        )

    def _question(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        values = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "uses_unfold": USES_UNFOLD,
            **context,
        }
        return TemplateResponse(request, template, values)


def _check(request: HttpRequest, operation: BulkOperation) -> None:
    """Raise PermissionDenied unless the user may act on the messages of others."""
    is_suppression = operation.action == BulkAction.SUPPRESS
    if not can_change_others(request.user) or (is_suppression and not can_suppress(request.user)):
        raise PermissionDenied


def _begun(operation: BulkOperation) -> str:
    text = ngettext(
        "%(label)s: %(count)d message is being processed in the background.",
        "%(label)s: %(count)d messages are being processed in the background.",
        operation.count,
    )
    return text % {"label": operation.get_action_display(), "count": operation.count}


def _progress(request: HttpRequest, operation: BulkOperation) -> dict[str, Any]:
    """Return what the part that refreshes itself shows, with the address of the next question."""
    address = ""
    if can_change_others(request.user) and operation.finished_at is None:
        name = "cancel" if operation.confirmed_at else "confirm"
        address = reverse(f"admin:outbox_bulkoperation_{name}", args=[operation.pk])
    return {"progress": Progress(operation), "address": address}


def _filter(operation: BulkOperation) -> SafeString | str:
    """Return the filter that the user gave, as a link to the list if it is one of the admin."""
    text = inert(in_words(operation.criteria))
    if SELECTED in operation.criteria or OWNER in operation.criteria:
        return text
    address = f"{reverse('admin:outbox_message_changelist')}?{operation.selection}"
    return format_html('<a href="{}"><bdi>{}</bdi></a>', address, text)

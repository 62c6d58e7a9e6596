"""Messages with their recipients, attempts and events, and the actions on messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from outbox import api
from outbox.admin.history.columns import HistoryChangeList, HistoryColumns
from outbox.admin.history.export import FORMATS, response_of
from outbox.admin.history.filters import (
    AccountFilter,
    CodeFilter,
    DateFilter,
    DomainFilter,
    OriginFilter,
    ProviderFilter,
    ReplyFilter,
    StateFilter,
    TagFilter,
)
from outbox.admin.history.page import HistoryPage
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.api import audit, bulk_actions
from outbox.api.history.criteria import scope_of
from outbox.api.history.search import HELP
from outbox.api.message_actions import OPERATION_ACTIONS, MessageAction
from outbox.conf import get_conf
from outbox.models import BulkAction, Message, Status
from outbox.models.access import can_suppress
from outbox.models.audit import AuditAction
from outbox.models.recipient import is_being_sent
from outbox.templatetags.outbox_display import chip
from outbox.web.downloads import views as downloads
from outbox.web.folders.pagination import NEWEST_FIRST
from outbox.web.messages.preview import preview
from outbox.web.parameters import integer


def _admin_action(action: MessageAction) -> Callable[..., HttpResponse]:
    """Return the entry of an action in the list's menu; it asks before it begins."""

    @admin.action(description=cast("Any", action.label), permissions=[_permission(action)])
    def propose(
        model_admin: MessageAdmin, request: HttpRequest, queryset: QuerySet[Message]
    ) -> HttpResponse:
        assert request.user.is_authenticated  # the admin requires it
        chosen = model_admin.chosen(request)
        operation = bulk_actions.propose(
            action,
            actor=request.user,
            selection=request.GET.urlencode(),
            using=get_conf().database,
            **chosen,
        )
        return redirect("admin:outbox_bulkoperation_confirm", operation.pk)

    propose.__name__ = action.name  # Django's name of the entry
    return propose


def _permission(action: MessageAction) -> str:
    """Return the permission of a menu entry, of which the admin has a method."""
    return "suppress" if action.name == BulkAction.SUPPRESS else "operate"


@admin.register(Message)
class MessageAdmin(HistoryColumns, ReadOnlyAdmin):
    """Every message of every owner, newest first. Drafts are visible to their owners only."""

    account_path = "account"
    list_display = (
        "subject_or_none",
        "recipients_shown",
        "state_chip",
        "age",
        "last_reply",
        "next_attempt",
        "sent_by",
    )
    list_filter = (
        StateFilter,
        CodeFilter,
        ReplyFilter,
        DomainFilter,
        DateFilter,
        AccountFilter,
        TagFilter,
        OriginFilter,
        ProviderFilter,
    )
    search_fields = ("subject",)  # see get_search_results
    search_help_text = HELP
    ordering = NEWEST_FIRST
    change_form_template = "outbox/admin/message.html"
    actions = tuple(map(_admin_action, OPERATION_ACTIONS.values()))
    fieldsets = (
        (None, {"fields": ("happening", "shown_status", "subject", "from_header")}),
        (
            _("Envelope"),
            {"fields": ("envelope_sender", "recipient_count", "account", "size", "message_id")},
        ),
        (
            _("Origin"),
            {
                "fields": (
                    "origin",
                    "owner",
                    "idempotency_key",
                    "tags",
                    "metadata",
                    "importance",
                    "is_sensitive",
                )
            },
        ),
        (_("Times"), {"fields": ("created_at", "queued_at", "send_at", "expires_at")}),
    )
    readonly_fields = ("happening", "shown_status")

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of the exports, and of the files and the preview of a message."""
        wrap, name = self.admin_site.admin_view, "outbox_message_{}".format
        return [
            path("export/<str:form>/", wrap(self.export_view), name=name("export")),
            path("<int:pk>/source/", wrap(downloads.source), name=name("source")),
            path("<int:pk>/transcript/", wrap(downloads.transcript), name=name("transcript")),
            path("<int:pk>/record/", wrap(downloads.record), name=name("record")),
            path("<int:pk>/parts/<str:path>/", wrap(downloads.part), name=name("part")),
            # The frame has no session cookie; its address contains a permit.
            path("<int:pk>/preview/<str:permit>/", preview, name=name("preview")),
            *super().get_urls(),
        ]

    def has_suppress_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may suppress the addresses of failed recipients."""
        return self.has_operate_permission(request) and can_suppress(request.user)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list. For an action on all that match, no row needs to be selected."""
        name = helpers.ACTION_CHECKBOX_NAME
        if request.POST.get("select_across") == "1" and not request.POST.getlist(name):
            fields = request.POST.copy()
            fields.setlist(name, ["0"])  # Django asks for a row
            request.POST = fields  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def chosen(self, request: HttpRequest) -> dict[str, Any]:
        """Return what an action is about: the filter, or the rows that the user selected."""
        if request.POST.get("select_across") != "1":
            keys = map(integer, request.POST.getlist(helpers.ACTION_CHECKBOX_NAME))
            rows = self.get_queryset(request).filter(pk__in=[key for key in keys if key])
            ids = list(rows.order_by().values_list("pk", flat=True))
            return {"message_ids": ids, "criteria": scope_of(request.user)}
        changelist = self.get_changelist_instance(request)
        assert isinstance(changelist, HistoryChangeList)
        return {"criteria": changelist.criteria}

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Return the messages of the filters and the search as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if form not in FORMATS:
            raise Http404
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise Http404 from error
        assert isinstance(changelist, HistoryChangeList)
        selection = request.GET.urlencode()
        audit.record(AuditAction.EXPORTED, request=request, form=form, selection=selection)
        return response_of(request, changelist.history, form)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002  # Django's signature
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: Message | None = None,
    ) -> HttpResponse:
        """Render the page with the recipients, the attempts, the timeline and the content."""
        if obj is not None:
            context |= {"page": HistoryPage(obj, request), "message": obj}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HistoryChangeList]:
        """Return the class of the list."""
        return HistoryChangeList

    def view_on_site(self, message: Message) -> str | None:
        """Return the address of the message page, which a site may not have."""
        try:
            return reverse("outbox:message", args=[message.pk])
        except NoReverseMatch:
            return None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        found: QuerySet[Message] = super().get_queryset(request).exclude(status=Status.DRAFT)
        return found.annotate(is_sending=is_being_sent())

    @admin.display(description=_("state"))
    def shown_status(self, message: Message) -> SafeString:
        return chip(message.present_status)

    @admin.display(description=_("explanation"))
    def happening(self, message: Message) -> str:
        return api.explain(message).sentence

"""Received messages: the list over all owners, and the content for staff who may read it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from outbox.admin.change_list import KeysetChangeList
from outbox.admin.formatting import EMPTY
from outbox.admin.history.received_page import ReceivedHistoryPage
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.api.reading import record_reading_of_received
from outbox.models import InboundMessage, Message
from outbox.models.access import can_read_received, can_view_others
from outbox.models.inbound import LISTED_AT
from outbox.templatetags.outbox_display import kind_chip
from outbox.web.display import inert
from outbox.web.folders.pagination import NEWEST_FIRST, OLDEST_FIRST, Cursor
from outbox.web.inbox.content import ReceivedContent
from outbox.web.inbox.reading import download_part, download_source
from outbox.web.messages.preview import expired, permitted_user, show_html

_SHOWN = 120  # characters of a header field in the list


class ReceivedChangeList(KeysetChangeList):
    """The list, newest first by the time of reception."""

    cursor = Cursor
    newest_first = NEWEST_FIRST
    oldest_first = OLDEST_FIRST


@admin.register(InboundMessage)
class InboundMessageAdmin(ReadOnlyAdmin):
    """Every received message of the accounts that the user sees; the lists load no content."""

    account_path = "account"
    list_display = ("subject_shown", "sender", "kind_of", "received_at", "of", "by")
    list_select_related = ("owner", "account")
    ordering = ("-received_at", "-pk")
    change_form_template = "outbox/admin/received.html"
    fieldsets = (
        (None, {"fields": ("kind_of", "subject_or_none", "sender", "to_summary")}),
        (_("Mailbox"), {"fields": ("owner", "account", "folder", "is_read", "received_at")}),
        (_("Message"), {"fields": ("message_id", "in_reply_to", "sent_at", "size")}),
        (_("Match"), {"fields": ("original", "matched_by", "kind_sign")}),
    )
    readonly_fields = ("kind_of", "subject_or_none", "sender", "original")

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of the source, the parts and the preview of a message."""
        wrap, name = self.admin_site.admin_view, "outbox_inboundmessage_{}".format
        return [
            path("<int:pk>/source/", wrap(self.source_view), name=name("source")),
            path("<int:pk>/parts/<str:path>/", wrap(self.part_view), name=name("part")),
            # The frame has no session cookie; its address contains a permit.
            path("<int:pk>/preview/<str:permit>/", _preview, name=name("preview")),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ReceivedChangeList]:
        """Return the class of the list."""
        return ReceivedChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboundMessage]:
        found: QuerySet[InboundMessage] = super().get_queryset(request)
        return found.annotate(**LISTED_AT)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> InboundMessage | None:
        """Return the message, with the original if the user may view that as well."""
        message: InboundMessage | None = super().get_object(request, object_id, from_field)
        if message is not None and message.replies_to_id is not None:
            viewable = Message.objects.viewable_by(request.user)
            message.viewable_original = viewable.filter(pk=message.replies_to_id).first()  # type: ignore[attr-defined]  # for `original`
        return message

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may view messages of others, sent or received."""
        return self.is_open(request) and can_view_others(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the admin lists received messages."""
        return self.has_view_permission(request)

    def source_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Download the bytes as they were received."""
        return download_source(self._readable(request, pk))

    def part_view(self, request: HttpRequest, pk: int, path: str) -> HttpResponse:
        """Download one part of the message, decoded."""
        return download_part(self._readable(request, pk), path)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002  # Django's signature
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: InboundMessage | None = None,
    ) -> HttpResponse:
        """Render the page with the content, which is shown on request and then recorded."""
        if obj is not None:
            context |= {"page": ReceivedHistoryPage(obj, request), "message": obj}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _readable(self, request: HttpRequest, pk: int) -> InboundMessage:
        message = get_object_or_404(self.get_queryset(request), pk=pk)
        if not (self.has_view_permission(request) and can_read_received(request.user, message)):
            raise PermissionDenied
        record_reading_of_received(request, message)
        return message

    @admin.display(description=_("subject"))
    def subject_or_none(self, message: InboundMessage) -> str:
        return inert(str(message))[:_SHOWN]

    @admin.display(description=_("subject"))
    def subject_shown(self, message: InboundMessage) -> SafeString:
        subject = Truncator(inert(str(message))).chars(_SHOWN)
        return format_html('<bdi class="outbox-subject">{}</bdi>', subject)

    @admin.display(description=_("sender"))
    def sender(self, message: InboundMessage) -> str:
        return inert(message.from_header)[:_SHOWN]

    @admin.display(description=_("Owner"))
    def of(self, message: InboundMessage) -> str:
        return str(message.owner or EMPTY)

    @admin.display(description=_("Account"))
    def by(self, message: InboundMessage) -> str:
        return str(message.account or EMPTY)

    @admin.display(description=_("kind"))
    def kind_of(self, message: InboundMessage) -> SafeString:
        return kind_chip(message.kind)

    @admin.display(description=_("reply to or report on"))
    def original(self, message: InboundMessage) -> str | SafeString:
        original: Message | None = getattr(message, "viewable_original", None)
        if original is None:
            return EMPTY
        page = reverse("admin:outbox_message_change", args=[original.pk])
        return format_html('<a href="{}">{}</a>', page, inert(str(original)))


@never_cache
def _preview(request: HttpRequest, pk: int, permit: str) -> HttpResponse:
    """Show the cleaned HTML if the permit is valid. Remote pictures are not loaded."""
    user = permitted_user(InboundMessage, pk, permit)
    if user is None:
        return expired(request)
    message = get_object_or_404(InboundMessage.objects.viewable_by(user), pk=pk)
    if not can_read_received(user, message):  # the permission was withdrawn in the meantime
        return expired(request)
    return show_html(request, ReceivedContent(message, "preview"))

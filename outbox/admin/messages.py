"""Messages with their recipients, attempts and events; retry and cancel as actions."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from outbox import api
from outbox.admin import wording
from outbox.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from outbox.api import bulk_actions
from outbox.conf import get_conf
from outbox.models import (
    Attempt,
    BulkAction,
    Event,
    Folder,
    Message,
    Recipient,
    Source,
    State,
    Status,
)
from outbox.models.access import can_read
from outbox.models.recipient import RecipientQuerySet, is_being_sent

SOURCE_SHOWN = 100_000
_WHOLE_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class RecipientInline(ReadOnlyInline):
    model = Recipient
    verbose_name_plural = _("recipients (the first hundred)")
    fields = (
        "role",
        "address",
        "state",
        "last_reply",
        "reply_command",
        "remote_host",
        "attempts",
        "last_attempt_at",
        "next_attempt_at",
        "resend_at",
        "reason",
    )
    readonly_fields = ("last_reply",)

    @admin.display(description=_("last reply"))
    def last_reply(self, recipient: Recipient) -> str:
        return wording.reply(recipient)


class AttemptInline(ReadOnlyInline):
    model = Attempt
    show_change_link = True
    fields = ("started_at", "ended_at", "outcome", "server", "phase", "detail", "last_reply")
    readonly_fields = ("server", "last_reply")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        unread = ("transfer", "results", "traceback", "session__opening", "session__closing")
        return super().get_queryset(request).select_related("session").defer(*unread)

    @admin.display(description=_("server"))
    def server(self, attempt: Attempt) -> str:
        return str(attempt.session or wording.EMPTY)

    @admin.display(description=_("reply"))
    def last_reply(self, attempt: Attempt) -> str:
        return wording.reply(attempt)


class EventInline(ReadOnlyInline):
    model = Event
    fields = ("at", "kind", "recipient", "from_state", "to_state", "actor", "why")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return super().get_queryset(request).select_related("recipient", "actor")


class RecipientStateFilter(admin.SimpleListFilter):
    """Messages that have a recipient in this state."""

    title = _("state of a recipient")
    parameter_name = "recipient_state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(State.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        if self.value() is None:
            return queryset
        return queryset.filter(Exists(_recipients().filter(state=self.value())))


class FolderFilter(admin.SimpleListFilter):
    """Messages of a folder; Failed has those with a failed recipient, open or not."""

    title = _("folder")
    parameter_name = "folder__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Folder.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        chosen = self.value()
        if chosen == Folder.FAILED:
            return queryset.filter(has_failure=True)
        return queryset if chosen is None else queryset.filter(folder=chosen)


class StatusFilter(admin.SimpleListFilter):
    """Messages by the status that is shown: which are being sent, their recipients know."""

    title = _("status")
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        status = self.value()
        if status is None:
            return queryset
        if status == Status.SENDING:
            return queryset.filter(is_being_sent(), folder=Folder.OUTBOX)
        return queryset.filter(~is_being_sent(), status=status)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """Every message of every owner, newest first."""

    list_display = (
        "subject_or_none",
        "from_header",
        "to_summary",
        "present_status",
        "sent_by",
        "queued_at",
    )
    list_filter = (StatusFilter, FolderFilter, RecipientStateFilter)
    list_select_related = ("account",)
    search_fields = ("subject", "recipients__address")  # what the box stands for; see below
    search_help_text = _("A recipient's whole address, or a part of an address or subject")
    ordering = ("-pk",)
    inlines = (RecipientInline, AttemptInline, EventInline)
    actions = ("retry", "cancel")
    fieldsets = (
        (None, {"fields": ("happening", "present_status", "folder", "subject", "from_header")}),
        (_("Envelope"), {"fields": ("envelope_sender", "recipient_count", "account", "size")}),
        (
            _("Origin"),
            {"fields": ("origin", "owner", "idempotency_key", "tags", "metadata", "priority")},
        ),
        (_("Times"), {"fields": ("created_at", "queued_at", "send_at", "expires_at")}),
        (_("Source"), {"classes": ("collapse",), "fields": ("message_id", "source_text")}),
    )
    readonly_fields = ("happening", "present_status", "source_text")

    def get_fieldsets(self, request: HttpRequest, obj: Message | None = None) -> Any:
        """Leave the source out for a user who may not read it."""
        if obj is None or can_read(request.user, obj):
            return self.fieldsets
        return [(name, _without(options, "source_text")) for name, options in self.fieldsets]

    def view_on_site(self, message: Message) -> str | None:
        """Return the address of the message page; a draft has none, and a site may have none."""
        try:
            return None if message.is_draft else reverse("outbox:message", args=[message.pk])
        except NoReverseMatch:
            return None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        """Look a whole address up by its index; read the table for anything less."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if _WHOLE_ADDRESS.fullmatch(term):
            return queryset.filter(Exists(_recipients().with_address(term))), False
        part = _recipients().filter(address__icontains=term)
        return queryset.filter(Q(subject__icontains=term) | Exists(part)), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        found: QuerySet[Message] = super().get_queryset(request)
        return found.annotate(is_sending=is_being_sent())

    @admin.display(description=_("status"), ordering="status")
    def present_status(self, message: Message) -> str:
        return str(message.present_status.label)

    @admin.display(description=_("subject"))
    def subject_or_none(self, message: Message) -> str:
        return str(message)

    @admin.display(description=_("account"))
    def sent_by(self, message: Message) -> str:
        return message.account.name if message.account else wording.EMPTY

    @admin.display(description=_("what is happening"))
    def happening(self, message: Message) -> str:
        return api.explain(message).sentence

    @admin.display(description=_("source"))
    def source_text(self, message: Message) -> str | SafeString:
        source = Source.objects.using(message._state.db).filter(pk=message.pk).first()
        if source is None:
            return wording.EMPTY
        try:
            shown = source.read()[:SOURCE_SHOWN]
        except OSError as error:
            return str(error)
        return wording.preformatted(shown.decode("utf-8", "backslashreplace"))

    @admin.action(description=_("Retry failed and deferred recipients…"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse:
        return self._propose(BulkAction.RETRY, request, queryset)

    @admin.action(description=_("Cancel pending recipients…"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse:
        return self._propose(BulkAction.CANCEL, request, queryset)

    def _propose(
        self, action: BulkAction, request: HttpRequest, queryset: QuerySet[Message]
    ) -> HttpResponse:
        """Store exactly what was selected, and ask about it."""
        assert request.user.is_authenticated  # the admin requires it
        operation = bulk_actions.propose(
            action,
            list(queryset.order_by().values_list("pk", flat=True)),
            actor=request.user,
            selection=request.GET.urlencode(),
            using=get_conf().database,
        )
        return redirect("admin:outbox_bulkoperation_confirm", operation.pk)


def _without(options: Any, field: str) -> dict[str, Any]:
    return {**options, "fields": tuple(name for name in options["fields"] if name != field)}


def _recipients() -> RecipientQuerySet:
    return Recipient.objects.filter(message=OuterRef("pk"))

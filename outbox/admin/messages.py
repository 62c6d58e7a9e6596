"""Messages with their recipients, attempts and events; retry and cancel as actions."""

import re
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox import api
from outbox.admin import wording
from outbox.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from outbox.models import Attempt, Event, Message, Recipient, Source, State
from outbox.models.access import can_read

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


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """Every message of every owner, newest first."""

    list_display = (
        "subject_or_none",
        "from_header",
        "to_summary",
        "status",
        "sent_by",
        "queued_at",
    )
    list_filter = ("status", "folder", RecipientStateFilter)
    list_select_related = ("account",)
    search_fields = ("subject", "recipients__address")  # what the box stands for; see below
    search_help_text = _("A recipient's whole address, or a part of an address or subject")
    ordering = ("-pk",)
    inlines = (RecipientInline, AttemptInline, EventInline)
    actions = ("retry", "cancel")
    fieldsets = (
        (None, {"fields": ("happening", "status", "folder", "subject", "from_header")}),
        (_("Envelope"), {"fields": ("envelope_sender", "recipient_count", "account", "size")}),
        (
            _("Origin"),
            {"fields": ("origin", "owner", "idempotency_key", "tags", "metadata", "priority")},
        ),
        (_("Times"), {"fields": ("created_at", "queued_at", "send_at", "expires_at")}),
        (_("Source"), {"classes": ("collapse",), "fields": ("message_id", "source_text")}),
    )
    readonly_fields = ("happening", "source_text")

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
            return queryset.filter(Exists(_recipients().filter(address=term))), False
        part = _recipients().filter(address__icontains=term)
        return queryset.filter(Q(subject__icontains=term) | Exists(part)), False

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

    @admin.action(description=_("Retry: send to failed recipients again"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        why = str(_("retried in the admin"))
        actor = _actor(request)
        changed = sum([api.retry(each, actor=actor, why=why) for each in queryset])
        self.message_user(request, _retried(changed), _level(changed))

    @admin.action(description=_("Cancel what has not left"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        why = str(_("cancelled in the admin"))
        actor = _actor(request)
        results = [api.cancel(each, actor=actor, why=why) for each in queryset]
        stopped = sum(result.stopped for result in results)
        too_late = sum(result.too_late for result in results)
        self.message_user(request, _stopped(stopped), _level(stopped))
        if too_late:
            self.message_user(request, _too_late(too_late), messages.WARNING)


def _without(options: Any, field: str) -> dict[str, Any]:
    return {**options, "fields": tuple(name for name in options["fields"] if name != field)}


def _actor(request: HttpRequest) -> AbstractBaseUser:
    assert request.user.is_authenticated  # the admin lets nobody else in
    return request.user


def _recipients() -> QuerySet[Recipient]:
    return Recipient.objects.filter(message=OuterRef("pk"))


def _level(changed: int) -> int:
    return messages.SUCCESS if changed else messages.WARNING


def _retried(number: int) -> str:
    if not number:
        return str(_("Nothing was retried: no recipient of these failed or waits to be tried."))
    return ngettext(
        "%(number)d recipient is due again now.",
        "%(number)d recipients are due again now.",
        number,
    ) % {"number": number}


def _stopped(number: int) -> str:
    if not number:
        return str(_("Nothing was stopped: no recipient of these was still waiting."))
    return ngettext(
        "%(number)d recipient was cancelled and gets nothing.",
        "%(number)d recipients were cancelled and get nothing.",
        number,
    ) % {"number": number}


def _too_late(number: int) -> str:
    return ngettext(
        "It was too late for %(number)d recipient: a worker had the mail already.",
        "It was too late for %(number)d recipients: a worker had the mail already.",
        number,
    ) % {"number": number}

"""Attempts with their masked conversations and outcomes."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from outbox.admin import formatting
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.admin.reasons import ReasonDisplay, ReasonFilter
from outbox.api.reasons import in_words
from outbox.api.tls_levels import levels_of
from outbox.models import Attempt
from outbox.reasons import Reason
from outbox.smtp import FaultKind
from outbox.web.display import PHASES, duration


class FaultFilter(admin.SimpleListFilter):
    """Attempts with a kind of fault. The kinds are known, so the table is not read for them."""

    title = _("fault")
    parameter_name = "fault"
    template = "outbox/admin/closed_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return every kind under its own name, in alphabetical order."""
        return [(kind, kind) for kind in sorted(FaultKind)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Limit to attempts with the kind."""
        kind = self.value()
        return queryset if kind is None else queryset.filter(fault=kind)


@admin.register(Attempt)
class AttemptAdmin(ReasonDisplay, ReadOnlyAdmin):
    """Attempts, newest first, by outcome and fault."""

    account_path = "message__account"
    list_display = ("id", "message", "started_at", "server", "outcome", "phase_name", "reason_text")
    list_filter = ("outcome", FaultFilter, ReasonFilter)
    list_select_related = ("message", "session")
    ordering = ("-pk",)
    fieldsets = (
        (None, {"fields": ("message", "outcome", "reason_text", "last_reply")}),
        (_("Times"), {"fields": ("started_at", "dot_marked_at", "ended_at", "phases")}),
        (
            _("Server"),
            {
                "fields": (
                    "server",
                    "address",
                    "local_address",
                    "tls",
                    "tls_requested",
                    "tls_achieved",
                    "extensions",
                    "worker",
                )
            },
        ),
        (_("DKIM signature"), {"fields": ("signature",)}),
        (_("Conversation"), {"fields": ("connection_lines", "transfer_lines", "closing_lines")}),
        (_("Failure"), {"fields": ("phase_name", "fault", "late_reply", "traceback_text")}),
    )
    readonly_fields = (
        "reason_text",
        "last_reply",
        "phases",
        "phase_name",
        "server",
        "address",
        "local_address",
        "tls",
        "tls_requested",
        "tls_achieved",
        "extensions",
        "connection_lines",
        "transfer_lines",
        "closing_lines",
        "traceback_text",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        unused = ("transfer", "results", "traceback", "session__opening", "session__closing")
        attempts = super().get_queryset(request).select_related("message", "session", "worker")
        return attempts.defer(*unused)

    @admin.display(description=_("server"))
    def server(self, attempt: Attempt) -> str:
        return str(attempt.session or formatting.EMPTY)

    @admin.display(description=_("reply"))
    def last_reply(self, attempt: Attempt) -> str:
        return formatting.reply(attempt)

    @admin.display(description=_("phase"))
    def phase_name(self, attempt: Attempt) -> str:
        return str(PHASES.get(attempt.phase, attempt.phase)) or formatting.EMPTY

    @admin.display(description=_("time spent"))
    def phases(self, attempt: Attempt) -> str:
        times = {**(attempt.session.phases_ms if attempt.session else {}), **attempt.phase_times}
        spent = [f"{PHASES.get(phase, phase)} {duration(ms)}" for phase, ms in times.items()]
        return ", ".join(spent) or formatting.EMPTY

    @admin.display(description=_("address"))
    def address(self, attempt: Attempt) -> str:
        return (attempt.session.address if attempt.session else "") or formatting.EMPTY

    @admin.display(description=_("local address"))
    def local_address(self, attempt: Attempt) -> str:
        return (attempt.session.local_address if attempt.session else "") or formatting.EMPTY

    @admin.display(description=_("TLS"))
    def tls(self, attempt: Attempt) -> str:
        facts = (attempt.session.tls if attempt.session else None) or {}
        return ", ".join(f"{name}: {fact}" for name, fact in facts.items()) or str(_("none"))

    @admin.display(description=_("requested TLS"))
    def tls_requested(self, attempt: Attempt) -> str:
        levels = levels_of(attempt.session)
        return _level(levels.requested, levels.requested_why) if levels else formatting.EMPTY

    @admin.display(description=_("achieved TLS"))
    def tls_achieved(self, attempt: Attempt) -> str:
        levels = levels_of(attempt.session)
        return _level(levels.achieved, levels.achieved_why) if levels else formatting.EMPTY

    @admin.display(description=_("extensions"))
    def extensions(self, attempt: Attempt) -> str:
        extensions = attempt.session.extensions if attempt.session else {}
        names = [f"{name} {value}".strip() for name, value in extensions.items()]
        return ", ".join(names) or formatting.EMPTY

    @admin.display(description=_("connection"))
    def connection_lines(self, attempt: Attempt) -> str | SafeString:
        return formatting.transcript(attempt.session.opening_lines if attempt.session else ())

    @admin.display(description=_("transfer"))
    def transfer_lines(self, attempt: Attempt) -> str | SafeString:
        return formatting.transcript(attempt.transfer_lines)

    @admin.display(description=_("closing"))
    def closing_lines(self, attempt: Attempt) -> str | SafeString:
        return formatting.transcript(attempt.session.closing_lines if attempt.session else ())

    @admin.display(description=_("traceback"))
    def traceback_text(self, attempt: Attempt) -> str | SafeString:
        return formatting.preformatted(attempt.traceback) if attempt.traceback else formatting.EMPTY


def _level(level: object, why: Reason) -> str:
    return f"{level} ({in_words(why)})" if why else str(level)

"""One attempt: its masked dialogue in three phases, and what it came to."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from outbox.admin import wording
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.models import Attempt


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Reached from its message, or by outcome and fault from here."""

    list_display = ("pk", "message", "started_at", "server", "outcome", "phase", "detail")
    list_filter = ("outcome", "fault")
    list_select_related = ("message", "session")
    ordering = ("-pk",)
    fieldsets = (
        (None, {"fields": ("message", "outcome", "detail", "last_reply")}),
        (_("Times"), {"fields": ("started_at", "dot_marked_at", "ended_at", "phases")}),
        (
            _("Server"),
            {"fields": ("server", "address", "local_address", "tls", "extensions", "worker")},
        ),
        (_("Dialogue"), {"fields": ("connection_lines", "transfer_lines", "closing_lines")}),
        (_("Trouble"), {"fields": ("phase", "fault", "late_reply", "traceback_text")}),
    )
    readonly_fields = (
        "last_reply",
        "phases",
        "server",
        "address",
        "local_address",
        "tls",
        "extensions",
        "connection_lines",
        "transfer_lines",
        "closing_lines",
        "traceback_text",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        unread = ("transfer", "results", "traceback", "session__opening", "session__closing")
        attempts = super().get_queryset(request).select_related("message", "session", "worker")
        return attempts.defer(*unread)

    @admin.display(description=_("server"))
    def server(self, attempt: Attempt) -> str:
        return str(attempt.session or wording.EMPTY)

    @admin.display(description=_("reply"))
    def last_reply(self, attempt: Attempt) -> str:
        return wording.reply(attempt)

    @admin.display(description=_("time spent"))
    def phases(self, attempt: Attempt) -> str:
        times = {**(attempt.session.phases_ms if attempt.session else {}), **attempt.phase_times}
        spent = [f"{phase} {ms:,.0f} ms" for phase, ms in times.items()]
        return ", ".join(spent) or wording.EMPTY

    @admin.display(description=_("address"))
    def address(self, attempt: Attempt) -> str:
        return (attempt.session.address if attempt.session else "") or wording.EMPTY

    @admin.display(description=_("our address"))
    def local_address(self, attempt: Attempt) -> str:
        return (attempt.session.local_address if attempt.session else "") or wording.EMPTY

    @admin.display(description=_("TLS"))
    def tls(self, attempt: Attempt) -> str:
        facts = (attempt.session.tls if attempt.session else None) or {}
        return ", ".join(f"{name}: {fact}" for name, fact in facts.items()) or str(_("none"))

    @admin.display(description=_("extensions"))
    def extensions(self, attempt: Attempt) -> str:
        offered = attempt.session.extensions if attempt.session else {}
        names = [f"{name} {given}".strip() for name, given in offered.items()]
        return ", ".join(names) or wording.EMPTY

    @admin.display(description=_("connection"))
    def connection_lines(self, attempt: Attempt) -> str | SafeString:
        return wording.dialogue(attempt.session.opening_lines if attempt.session else ())

    @admin.display(description=_("transfer"))
    def transfer_lines(self, attempt: Attempt) -> str | SafeString:
        return wording.dialogue(attempt.transfer_lines)

    @admin.display(description=_("closing"))
    def closing_lines(self, attempt: Attempt) -> str | SafeString:
        return wording.dialogue(attempt.session.closing_lines if attempt.session else ())

    @admin.display(description=_("traceback"))
    def traceback_text(self, attempt: Attempt) -> str | SafeString:
        return wording.preformatted(attempt.traceback) if attempt.traceback else wording.EMPTY

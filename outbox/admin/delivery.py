"""Destinations with their circuits, and the workers that deliver."""

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox import api
from outbox.admin import formatting
from outbox.admin.filters import ConditionFilter
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.api.reasons import in_words
from outbox.models import Circuit, Destination, Worker
from outbox.templatetags.outbox_display import clock


class CircuitFilter(ConditionFilter):
    """Destinations by the state of their circuit, and those that wait for a user."""

    title = _("circuit")
    parameter_name = "circuit"
    conditions: ClassVar = {
        **{one.value: (one.label, Destination.has_circuit(one)) for one in Circuit},
        "attention": (
            _("needs attention"),
            Q(circuit_needs_person=True) & ~Destination.has_circuit(Circuit.CLOSED),
        ),
    }


@admin.register(Destination)
class DestinationAdmin(ReadOnlyAdmin):
    """Destinations with their circuits and limits."""

    account_path = "account"
    list_display = ("server", "circuit_shown", "why", "until", "account")
    list_filter = (CircuitFilter,)
    list_select_related = ("account",)
    search_fields = ("key", "account__name", "account__host")
    actions = ("close_circuit",)
    fieldsets = (
        (None, {"fields": ("account", "server")}),
        (
            _("Circuit"),
            {
                "fields": (
                    "circuit_shown",
                    "why",
                    "until",
                    "circuit_opened_at",
                    "circuit_faults",
                    "circuit_trips",
                    "probe_worker",
                )
            },
        ),
        (
            _("Rate limits"),
            {"fields": ("minute_started_at", "minute_count", "day_started_at", "day_count")},
        ),
    )
    readonly_fields = ("server", "circuit_shown", "why", "until")

    @admin.display(description=_("server"), ordering="key")
    def server(self, destination: Destination) -> str:
        return str(destination)

    # What is stored for a destination that no longer fits its account blocks nothing.

    @admin.display(description=_("circuit"))
    def circuit_shown(self, destination: Destination) -> str:
        if not destination.fits_account:
            return str(_("not in use"))
        return str(destination.circuit_in_force.label)

    @admin.display(description=_("reason"))
    def why(self, destination: Destination) -> str:
        if not destination.fits_account:
            return formatting.EMPTY
        reason = destination.circuit_reason or destination.paused_reason
        return in_words(reason) or formatting.EMPTY

    @admin.display(description=_("until"))
    def until(self, destination: Destination) -> str:
        if not destination.fits_account:
            return formatting.EMPTY
        until = destination.circuit_until or destination.paused_until
        return clock(until, "seconds") or formatting.EMPTY

    @admin.action(description=_("Retry connection"), permissions=["operate"])
    def close_circuit(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        count = self.change_each(request, queryset, api.close_circuit, "Circuit closed.")
        text = ngettext(
            "%(number)d circuit was closed. The connection is retried now.",
            "%(number)d circuits were closed. The connections are retried now.",
            count,
        )
        self.message_user(request, text % {"number": count})


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """The worker processes, newest first."""

    list_display = (
        "host",
        "pid",
        "version",
        "started_at",
        "heartbeat_at",
        "lease_until",
        "ended_at",
    )
    list_filter = ("host",)
    ordering = ("-pk",)
    fields = (
        "host",
        "pid",
        "version",
        "started_at",
        "heartbeat_at",
        "lease_until",
        "drain_requested_at",
        "ended_at",
        "swept_at",
    )

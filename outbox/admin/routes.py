"""Destinations with their circuits, and the workers that deliver."""

import datetime as dt

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox import api
from outbox.admin import wording
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.models import Destination, Worker


@admin.register(Destination)
class DestinationAdmin(ReadOnlyAdmin):
    """What is known of the way to each server."""

    list_display = ("server", "circuit", "why", "until", "account")
    list_filter = ("circuit", "circuit_needs_person")
    list_select_related = ("account",)
    search_fields = ("key", "account__name", "account__host")
    actions = ("close_circuit",)

    @admin.display(description=_("server"), ordering="key")
    def server(self, destination: Destination) -> str:
        return str(destination)

    @admin.display(description=_("why it is held"))
    def why(self, destination: Destination) -> str:
        return destination.circuit_reason or destination.paused_reason or wording.EMPTY

    @admin.display(description=_("until"), empty_value=wording.EMPTY)
    def until(self, destination: Destination) -> dt.datetime | None:
        return destination.circuit_until or destination.paused_until

    @admin.action(description=_("Close the circuit: try again at once"), permissions=["operate"])
    def close_circuit(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        closed = [destination for destination in queryset if api.close_circuit(destination)]
        for destination in closed:
            self.log_change(request, destination, "Circuit closed.")
        text = ngettext(
            "%(number)d circuit was closed: what is due there is tried at once.",
            "%(number)d circuits were closed: what is due there is tried at once.",
            len(closed),
        )
        self.message_user(request, text % {"number": len(closed)})


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Each process that delivers or delivered."""

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

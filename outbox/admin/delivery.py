"""Destinations with their circuits, and the workers that deliver."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from outbox import api
from outbox.admin import formatting
from outbox.admin.change_list import KeysetChangeList
from outbox.admin.filters import ConditionFilter
from outbox.admin.readonly import ReadOnlyAdmin
from outbox.api.reasons import in_words
from outbox.db.clock import now
from outbox.models import Circuit, Destination, Pause, Worker
from outbox.models.pause import pause_of
from outbox.reasons import NO_REASON, Reason
from outbox.templatetags.outbox_display import clock
from outbox.web.display import inert


class CircuitFilter(ConditionFilter):
    """Destinations by the state of their circuit, and those that wait for a user."""

    title = _("circuit")
    parameter_name = "circuit"
    conditions: ClassVar = {
        **{one.value: (one.label, Q(circuit=one) & Destination.fitting()) for one in Circuit},
        "attention": (
            _("needs attention"),
            Q(circuit_needs_person=True) & ~Destination.has_circuit(Circuit.CLOSED),
        ),
        "unused": (_("not in use"), ~Destination.fitting()),
    }


class DestinationChangeList(KeysetChangeList):
    """The destinations of a page, each with the pause that stops it."""

    def prepare(self, rows: list[Any]) -> None:
        """Read the pauses once for all rows."""
        _add_pauses(rows)


@admin.register(Destination)
class DestinationAdmin(ReadOnlyAdmin):
    """Destinations with their circuits and limits."""

    account_path = "account"
    list_display = ("server", "circuit_shown", "listed_reason", "listed_until", "account_name")
    list_filter = (CircuitFilter,)
    list_select_related = ("account",)
    search_fields = ("key", "account__name", "account__host")
    actions = ("close_circuit",)
    fieldsets = (  # the first group is that of every destination
        (None, {"fields": ("account", "server", "circuit_shown", "why", "until")}),
        (
            _("Pause"),
            {
                "fields": (
                    "pause_scope",
                    "pause_reason",
                    "pause_author",
                    "pause_since",
                    "pause_until",
                )
            },
        ),
        (
            _("Circuit"),
            {"fields": ("circuit_opened_at", "circuit_faults", "circuit_trips", "probe_worker")},
        ),
        (
            _("Rate limits"),
            {
                "fields": (
                    "limit_reached",
                    "limit_reached_until",
                    "limit_by_reply",
                    "limit_by_reply_until",
                    "minute_started_at",
                    "minute_count",
                    "day_started_at",
                    "day_count",
                )
            },
        ),
    )
    readonly_fields = (
        "server",
        "circuit_shown",
        "why",
        "until",
        "pause_scope",
        "pause_reason",
        "pause_author",
        "pause_since",
        "pause_until",
        "limit_reached",
        "limit_reached_until",
        "limit_by_reply",
        "limit_by_reply_until",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[DestinationChangeList]:
        """Return the class of the list."""
        return DestinationChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Destination | None:
        """Return the destination, with the pause that stops it."""
        destination: Destination | None = super().get_object(request, object_id, from_field)
        if destination is not None:
            _add_pauses([destination])
        return destination

    def get_fieldsets(self, request: HttpRequest, obj: Destination | None = None) -> Any:
        """Return the groups of fields. No circuit and no limit counts if the account has others."""
        first, pause, *others = super().get_fieldsets(request, obj)
        if obj is None:  # the fields that a URL may filter by
            return [first, pause, *others]
        paused = [pause] if _pause_of(obj) else []
        return [first, *paused, *(others if obj.fits_account else [])]

    @admin.display(description=_("server"), ordering="key")
    def server(self, destination: Destination) -> str:
        return str(destination)

    @admin.display(description=_("circuit"))
    def circuit_shown(self, destination: Destination) -> str:
        if not destination.fits_account:
            return str(_("not in use"))
        return str(destination.circuit_in_force.label)

    @admin.display(description=_("reason"))
    def why(self, destination: Destination) -> str:
        reason, _until = _blocked_by(destination)
        return in_words(reason) or formatting.EMPTY

    @admin.display(description=_("until"))
    def until(self, destination: Destination) -> str:
        _reason, until = _blocked_by(destination)
        return clock(until, "seconds") or formatting.EMPTY

    @admin.display(description=_("reason"))
    def listed_reason(self, destination: Destination) -> str:
        """Return why nothing is sent: a pause, with its scope and its start, then the others."""
        pause = _pause_of(destination)
        if pause is None:
            return self.why(destination)
        names = ("since", "scope", "reason")
        text = gettext("Paused since %(since)s (%(scope)s): %(reason)s")
        sentence = format_html(
            text % {name: f"{{{name}}}" for name in names},
            since=clock(pause.created_at, "seconds"),
            scope=pause.get_scope_display(),
            reason=inert(pause.reason),
        )
        reason, _until = _blocked_by(destination)
        return format_html("{}<br>{}", sentence, in_words(reason)) if reason else sentence

    @admin.display(description=_("until"))
    def listed_until(self, destination: Destination) -> str:
        pause = _pause_of(destination)
        if pause is None:
            return self.until(destination)
        return clock(pause.until, "seconds") or gettext("until delivery is resumed")

    @admin.display(description=_("account"))
    def account_name(self, destination: Destination) -> str:
        return inert(destination.account.name)

    @admin.display(description=_("what is paused"))
    def pause_scope(self, destination: Destination) -> str:
        pause = _pause_of(destination)
        return pause.get_scope_display() if pause else formatting.EMPTY

    @admin.display(description=_("reason"))
    def pause_reason(self, destination: Destination) -> str:
        pause = _pause_of(destination)
        return inert(pause.reason) if pause else formatting.EMPTY

    @admin.display(description=_("paused by"))
    def pause_author(self, destination: Destination) -> str:
        pause = _pause_of(destination)
        if pause is None or pause.created_by is None:
            return formatting.EMPTY
        return inert(pause.created_by.get_username())

    @admin.display(description=_("since"))
    def pause_since(self, destination: Destination) -> str:
        pause = _pause_of(destination)
        return clock(pause.created_at, "full") if pause else formatting.EMPTY

    @admin.display(description=_("until"))
    def pause_until(self, destination: Destination) -> str:
        pause = _pause_of(destination)
        if pause is None:
            return formatting.EMPTY
        return clock(pause.until, "full") or gettext("until delivery is resumed")

    @admin.display(description=_("limit reached"))
    def limit_reached(self, destination: Destination) -> str:
        is_paused = destination.is_paused(now())
        return in_words(destination.paused_reason) if is_paused else formatting.EMPTY

    @admin.display(description=_("limit reached until"))
    def limit_reached_until(self, destination: Destination) -> str:
        is_paused = destination.is_paused(now())
        return clock(destination.paused_until, "full") if is_paused else formatting.EMPTY

    @admin.display(description=_("limit by a reply of the server"))
    def limit_by_reply(self, destination: Destination) -> str:
        is_limited = destination.is_limited_by_reply(now())
        return in_words(destination.limit_reason) if is_limited else formatting.EMPTY

    @admin.display(description=_("limit by a reply until"))
    def limit_by_reply_until(self, destination: Destination) -> str:
        is_limited = destination.is_limited_by_reply(now())
        return clock(destination.limit_until, "full") if is_limited else formatting.EMPTY

    @admin.action(description=_("Retry connection"), permissions=["operate"])
    def close_circuit(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        count = self.change_each(
            request, queryset.filter(Destination.fitting()), api.close_circuit, "Circuit closed."
        )
        text = ngettext(
            "%(number)d circuit was closed. The connection is retried now.",
            "%(number)d circuits were closed. The connections are retried now.",
            count,
        )
        self.message_user(request, text % {"number": count})


def _add_pauses(destinations: Iterable[Any]) -> None:
    """Read the pauses that last, and note at each destination the one that stops it."""
    pauses = api.pauses()
    for destination in destinations:
        is_used = destination.fits_account  # otherwise nothing is sent to it anyway
        destination.pause_in_force = pause_of(destination, pauses) if is_used else None


def _pause_of(destination: Destination) -> Pause | None:
    """Return the pause that `_add_pauses` noted."""
    return getattr(destination, "pause_in_force", None)


def _blocked_by(destination: Destination) -> tuple[Reason, dt.datetime | None]:
    """Return why nothing is sent to a destination, and until when.

    What is stored for a destination that no longer fits its account blocks nothing.
    """
    present = now()
    if not destination.fits_account:
        return NO_REASON, None
    if destination.circuit != Circuit.CLOSED:
        return destination.circuit_reason, destination.circuit_until
    if destination.is_suspended(present):
        return destination.limit_reason, destination.limit_until
    if destination.is_paused(present):
        return destination.paused_reason, destination.paused_until
    return NO_REASON, None


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

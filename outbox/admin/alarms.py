"""Alarms with their notifications, the newest first."""

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.admin import formatting
from outbox.admin.filters import ConditionFilter
from outbox.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from outbox.api.alarms.shown import shown
from outbox.api.reasons import in_words
from outbox.models import Alarm, AlarmNotification


class OpenFilter(ConditionFilter):
    """Alarms that are open, or cleared."""

    title = _("state")
    parameter_name = "state"
    conditions: ClassVar = {
        "open": (pgettext_lazy("alarm", "open"), Q(cleared_at=None)),
        "cleared": (_("cleared"), Q(cleared_at__isnull=False)),
    }


class NotificationInline(ReadOnlyInline):
    """What each channel reported of the alarm."""

    model = AlarmNotification
    verbose_name_plural = _("notifications")
    fields = ("channel", "notified_at", "clear_notified_at", "failed_at", "failure_text")
    readonly_fields = ("failure_text",)

    @admin.display(description=_("reason of the failure"), empty_value=formatting.EMPTY)
    def failure_text(self, notification: AlarmNotification) -> str:
        return in_words(notification.failure) or formatting.EMPTY


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    """What is or was wrong, and what to do."""

    list_display = ("severity", "sentence", "what_to_do", "since", "cleared_at")
    list_display_links = ("sentence",)
    list_filter = (OpenFilter, "severity", "kind")
    fields = ("severity", "sentence", "what_to_do", "since", "last_seen", "cleared_at")
    readonly_fields = ("sentence", "what_to_do")
    ordering = ("-pk",)
    inlines = (NotificationInline,)

    @admin.display(description=_("alarm"))
    def sentence(self, alarm: Alarm) -> str:
        return shown(alarm).sentence

    @admin.display(description=_("what to do"))
    def what_to_do(self, alarm: Alarm) -> str:
        return shown(alarm).what_to_do

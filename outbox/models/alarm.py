"""Alarms: conditions that staff have to know about, and their notifications.

`outbox.api.alarms` finds the conditions, writes these rows and makes the sentences.
"""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.reasons import ReasonField


class AlarmKind(models.TextChoices):
    """What is wrong, by the names that are stored."""

    NO_WORKER = "no_worker", _("no worker")
    NO_SWEEP = "no_sweep", _("no sweep")
    NO_BEAT = "no_beat", _("no Celery beat")
    OLDEST_DUE = "oldest_due", _("overdue messages")
    ACCOUNT_BLOCKED = "account_blocked", _("account needs attention")
    SERVER_DOWN = "server_down", _("server unavailable")
    SITES_DOWN = "sites_down", _("mail servers of recipients unavailable")
    FAILURE_RATE = "failure_rate", _("many failures")
    UNCERTAIN = "uncertain", _("uncertain recipients")
    CLOCK_SKEW = "clock_skew", _("wrong clock")
    DISK_SPACE = "disk_space", _("disk space")
    STORAGE = "storage", _("storage unavailable")
    SENDER_DOMAIN = "sender_domain", _("DNS of a sender domain")
    TLS_REPORTS = "tls_reports", _("TLS reports not accepted")


class Severity(models.TextChoices):
    WARNING = "warning", _("warning")
    CRITICAL = "critical", _("critical")


class AlarmQuerySet(models.QuerySet["Alarm"]):
    def open(self) -> "AlarmQuerySet":
        """Limit to the alarms that are not cleared."""
        return self.filter(cleared_at=None)


class Alarm(models.Model):
    """One condition, from the check that found it until it has not been found for a while."""

    kind = models.CharField(_("kind"), max_length=20, choices=AlarmKind)
    key = models.CharField(max_length=300, blank=True)  # what it is about, such as a destination
    severity = models.CharField(_("severity"), max_length=10, choices=Severity)
    arguments = models.JSONField(default=dict)  # of the sentence, which is made when displayed
    since = models.DateTimeField(_("since"))
    last_seen = models.DateTimeField(_("last seen"))
    cleared_at = models.DateTimeField(_("cleared at"), null=True, blank=True)

    objects = AlarmQuerySet.as_manager()

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            # Two checks at the same time must not open one alarm twice. Pages show the open ones.
            models.UniqueConstraint(
                fields=["kind", "key"],
                name="outbox_alarm_open",
                condition=models.Q(cleared_at=None),
            )
        ]
        indexes = [
            # Check: cleared alarms to notify about, and old ones to delete.
            models.Index(
                fields=["cleared_at"],
                name="outbox_alarm_cleared",
                condition=models.Q(cleared_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.key}".strip()


class Channel(models.TextChoices):
    """The ways to notify staff of alarms."""

    HTTP = "http", _("HTTP call")
    COMMAND = "command", _("command")
    EMAIL = "email", _("email")


class AlarmNotification(models.Model):
    """What one channel reported of one alarm."""

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="notifications")
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    claimed_until = models.DateTimeField(null=True)  # a process is notifying; then another one may
    # When it last reported the alarm.
    notified_at = models.DateTimeField(_("notified at"), null=True)
    severity = models.CharField(max_length=10, blank=True)  # that it reported
    clear_notified_at = models.DateTimeField(_("clearing notified at"), null=True)
    # Of the last notification, if that one failed.
    failed_at = models.DateTimeField(_("failed at"), null=True)
    failure = ReasonField()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        constraints = [
            models.UniqueConstraint(fields=["alarm", "channel"], name="outbox_alarm_notification")
        ]

    def __str__(self) -> str:
        return str(self.get_channel_display())


class HostCheck(models.Model):
    """When the processes of one host last checked the alarms, swept, and were asked to by beat."""

    host = models.CharField(max_length=255, unique=True)
    checked_at = models.DateTimeField(null=True)
    swept_at = models.DateTimeField(null=True)
    beat_at = models.DateTimeField(null=True)
    measures: Any = models.JSONField(default=dict)  # the host's latest figures, for the metrics

    class Meta:
        verbose_name = _("check of a host")
        verbose_name_plural = _("checks of hosts")

    def __str__(self) -> str:
        return self.host

"""Event: a change or an action that no attempt records: actor, states and reason."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.message import Message
from outbox.models.reasons import ReasonField
from outbox.models.recipient import Recipient
from outbox.models.states import State


class EventKind(models.TextChoices):
    """The kinds of events. The attempt records a claim and its outcome, so neither has an event."""

    QUEUED = "queued", _("queued")  # draft → queued or scheduled
    CANCELLED = "cancelled", _("cancelled")  # queued, deferred, held, sending → cancelled
    CANCEL_TOO_LATE = "cancel_too_late", _("too late to cancel")  # no change
    RETRIED = "retried", _("retried")  # failed, expired, cancelled, bounced → queued
    RESOLVED = "resolved", _("resolved by a user")  # uncertain → sent, deferred or failed
    HELD = "held", _("held")  # queued, deferred → held
    RELEASED = "released", _("released")  # held → queued
    RESCHEDULED = "rescheduled", _("rescheduled")  # no change of state
    REOPENED = "reopened", _("returned to drafts")  # scheduled → draft
    EXPIRED = "expired", _("expired")  # queued, deferred → expired
    LOST_WORKER = "lost_worker", _("worker lost")  # sending → deferred or uncertain
    RESENT = "resent", _("retried by the account's policy")  # uncertain → deferred
    READ = "read", _("content opened by staff")  # no change of state
    LATE_REPLY = "late_reply", _("late reply received")  # uncertain → sent, deferred, failed
    BOUNCED = "bounced", _("bounced")  # sent, uncertain → bounced
    REPORTED = "reported", _("report received")  # uncertain → sent, or no change of state
    BOUNCE_CORRECTED = "bounce_corrected", _("bounce corrected by a user")  # bounced → before


class Event(models.Model):
    """One event of a message or of one recipient. Events are never changed."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="events")
    recipient = models.ForeignKey(
        Recipient, null=True, on_delete=models.CASCADE, related_name="events"
    )
    kind = models.CharField(max_length=20, choices=EventKind)
    from_state = models.CharField(max_length=10, choices=State, blank=True)
    to_state = models.CharField(max_length=10, choices=State, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    reason = ReasonField()  # of the system
    why = models.TextField(blank=True)  # in the words of the person who did it
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"

"""Event: one change or act that no attempt tells: who, from → to, why."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.message import Message
from outbox.models.recipient import Recipient
from outbox.models.states import State


class EventKind(models.TextChoices):
    """Each kind names its change; `claim → outcome` is told by the attempt instead."""

    QUEUED = "queued", _("queued")  # draft → queued or scheduled
    CANCELLED = "cancelled", _("cancelled")  # queued, deferred, held, sending → cancelled
    CANCEL_TOO_LATE = "cancel_too_late", _("cancel came too late")  # no change
    RETRIED = "retried", _("retried")  # failed, expired, cancelled, bounced, deferred → queued
    SETTLED = "settled", _("settled by a person")  # uncertain → sent or deferred
    HELD = "held", _("held")  # queued, deferred, sending → held
    RELEASED = "released", _("released")  # held → queued
    RESCHEDULED = "rescheduled", _("rescheduled")  # no change of state, another time
    REOPENED = "reopened", _("returned to drafts")  # scheduled → draft
    EXPIRED = "expired", _("expired")  # queued, deferred → expired
    LOST_WORKER = "lost_worker", _("its worker died")  # sending → deferred or uncertain
    RESENT = "resent", _("sent again by policy")  # uncertain → deferred
    LATE_REPLY = "late_reply", _("a late reply arrived")  # uncertain → sent, deferred, failed
    QUARANTINED = "quarantined", _("quarantined")  # sending, queued → held


class Event(models.Model):
    """Append-only."""

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
    why = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"

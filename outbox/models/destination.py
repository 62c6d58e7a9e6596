"""Destination: where an account's messages go, and the state that all workers share about it.

That is the circuit, the counters of the rate limits, and the connection slots.
"""

import datetime as dt
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.account import Account
from outbox.models.reasons import ReasonField
from outbox.models.worker import Worker

SMARTHOST_KEY = "smarthost"


class Circuit(models.TextChoices):
    CLOSED = "closed", _("closed")  # messages are sent
    OPEN = "open", _("open")  # too many connection faults: no attempts until a time
    HALF_OPEN = "half_open", _("half open")  # one probe is under way


class DestinationEffect(StrEnum):
    """What a session or a transaction means for its destination."""

    NONE = "none"
    FAULT = "fault"  # one more in a row: enough of them open the circuit
    OPEN = "open"  # opens the circuit at once
    OPEN_FOR_PERSON = "open_for_person"  # the same, and the account needs attention


class Destination(models.Model):
    """The server of an account."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="destinations")
    key = models.CharField(max_length=255, default=SMARTHOST_KEY)

    circuit = models.CharField(max_length=10, choices=Circuit, default=Circuit.CLOSED)
    circuit_until = models.DateTimeField(
        null=True, blank=True
    )  # open: until when; half open: lease
    probe_worker = models.ForeignKey(  # half open: which worker attempts the one delivery
        Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    circuit_opened_at = models.DateTimeField(null=True, blank=True)
    circuit_faults = models.PositiveIntegerField(default=0)  # connection faults in a row
    circuit_trips = models.PositiveIntegerField(default=0)  # openings in a row; doubles the pause
    circuit_reason = ReasonField()
    circuit_needs_person = models.BooleanField(default=False)  # for example, the login was rejected

    minute_started_at = models.DateTimeField(null=True, blank=True)
    minute_count = models.PositiveIntegerField(default=0)  # recipients attempted in this minute
    day_started_at = models.DateTimeField(null=True, blank=True)
    day_count = models.PositiveIntegerField(default=0)
    paused_until = models.DateTimeField(null=True, blank=True)  # a limit is reached until then
    paused_reason = ReasonField()

    # What its servers announce and then reject; see `delivery.server_memory`.
    restrictions = models.TextField(blank=True, default="", db_default="", editable=False)

    class Meta:
        verbose_name = _("destination")
        verbose_name_plural = _("destinations")
        constraints = [
            # With two rows, one server would have two limits.
            models.UniqueConstraint(fields=["account", "key"], name="outbox_destination_one")
        ]

    def __str__(self) -> str:
        if self.key == SMARTHOST_KEY:
            return f"{self.account.host}:{self.account.port}"
        return self.key

    def is_blocked(self, now: dt.datetime) -> bool:
        """Return whether the circuit or a rate limit blocks all attempts at the moment."""
        waits = self.circuit_until is not None and self.circuit_until > now
        return waits or self.is_paused(now)

    def is_paused(self, now: dt.datetime) -> bool:
        """Return whether a rate limit is used up. A limit that was raised since does not count."""
        if self.paused_until is None or self.paused_until <= now:
            return False
        counts = (
            (self.account.per_minute, self.minute_count),
            (self.account.per_day, self.day_count),
        )
        return any(limit is not None and count >= limit for limit, count in counts)


class Slot(models.Model):
    """The right to one connection. The unique constraint enforces the limit under any race."""

    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="slots")
    number = models.PositiveSmallIntegerField()
    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="slots")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["destination", "number"], name="outbox_slot_one")
        ]

    def __str__(self) -> str:
        return f"{self.destination_id}#{self.number}"

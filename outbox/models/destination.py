"""Destination: where an account's mail goes, and what is known of the way there.

It holds what all workers must agree on: the circuit, the rate counters, the connection slots.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.account import Account
from outbox.models.worker import Worker

SMARTHOST_KEY = "smarthost"


class Circuit(models.TextChoices):
    CLOSED = "closed", _("closed")  # mail flows
    OPEN = "open", _("open")  # too many connection faults: nothing is tried until a time
    HALF_OPEN = "half_open", _("half open")  # one probe is under way


class Destination(models.Model):
    """The smarthost of an account, or one domain of a direct route."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="destinations")
    key = models.CharField(max_length=255, default=SMARTHOST_KEY)

    circuit = models.CharField(max_length=10, choices=Circuit, default=Circuit.CLOSED)
    circuit_until = models.DateTimeField(
        null=True, blank=True
    )  # open: until when; half open: lease
    circuit_opened_at = models.DateTimeField(null=True, blank=True)
    circuit_faults = models.PositiveIntegerField(default=0)  # connection faults in a row
    circuit_trips = models.PositiveIntegerField(default=0)  # openings in a row; doubles the pause
    circuit_reason = models.TextField(blank=True)
    circuit_needs_person = models.BooleanField(default=False)  # e.g. the login was refused

    minute_started_at = models.DateTimeField(null=True, blank=True)
    minute_count = models.PositiveIntegerField(default=0)  # recipients tried in this minute
    day_started_at = models.DateTimeField(null=True, blank=True)
    day_count = models.PositiveIntegerField(default=0)
    paused_until = models.DateTimeField(null=True, blank=True)  # a limit is reached until then
    paused_reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            # Two rows would give one server two limits.
            models.UniqueConstraint(fields=["account", "key"], name="outbox_destination_one")
        ]

    def __str__(self) -> str:
        if self.key == SMARTHOST_KEY:
            return f"{self.account.host}:{self.account.port}"
        return self.key


class Slot(models.Model):
    """The right to hold one connection. Uniqueness is what keeps the limit under any race."""

    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="slots")
    number = models.PositiveSmallIntegerField()
    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="slots")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["destination", "number"], name="outbox_slot_one")
        ]

    def __str__(self) -> str:
        return f"{self.destination_id}#{self.number}"

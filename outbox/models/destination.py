"""Destination: where an account's messages go, and the state that all workers share about it.

That is the circuit, the counters of the rate limits, and the connection slots.
"""

import datetime as dt
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.account import Account, Route
from outbox.models.reasons import ReasonField
from outbox.models.worker import Worker

SMARTHOST_KEY = "smarthost"
UNRESOLVED_KEY = "unresolved"  # recipients whose domains were not looked up yet
_SUSPEND = "suspend"  # of outbox.net.shaping.Effect, which an empty queue does not import
MX_PREFIX = "mx:"  # before the key of an MX site


class Circuit(models.TextChoices):
    CLOSED = "closed", _("closed")  # messages are sent
    OPEN = "open", _("open")  # too many connection faults: no attempts until a time
    HALF_OPEN = "half_open", _("half open")  # one probe is under way


class DestinationEffect(StrEnum):
    """What a session or a transaction means for its destination."""

    NONE = "none"
    UNTESTED = "untested"  # nothing was found out, for example for a reason of ours
    FAULT = "fault"  # one more in a row: enough of them open the circuit
    OPEN = "open"  # opens the circuit at once
    OPEN_FOR_PERSON = "open_for_person"  # the same, and the account needs attention


class Destination(models.Model):
    """The server of an account; of a direct account, an MX site or what was not looked up."""

    account = models.ForeignKey(
        Account, verbose_name=_("account"), on_delete=models.CASCADE, related_name="destinations"
    )
    key = models.CharField(max_length=255, default=SMARTHOST_KEY)

    circuit = models.CharField(max_length=10, choices=Circuit, default=Circuit.CLOSED)
    circuit_until = models.DateTimeField(
        null=True, blank=True
    )  # open: until when; half open: lease
    probe_worker = models.ForeignKey(  # half open: which worker attempts the one delivery
        Worker,
        verbose_name=_("worker of the probe"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
    )
    circuit_opened_at = models.DateTimeField(_("circuit opened at"), null=True, blank=True)
    circuit_faults = models.PositiveIntegerField(_("consecutive connection faults"), default=0)
    # Each doubles the pause.
    circuit_trips = models.PositiveIntegerField(_("consecutive circuit openings"), default=0)
    circuit_reason = ReasonField()
    circuit_needs_person = models.BooleanField(default=False)  # for example, the login was rejected

    minute_started_at = models.DateTimeField(_("minute started at"), null=True, blank=True)
    minute_count = models.PositiveIntegerField(_("recipients in this minute"), default=0)
    day_started_at = models.DateTimeField(_("day started at"), null=True, blank=True)
    day_count = models.PositiveIntegerField(_("recipients on this day"), default=0)
    paused_until = models.DateTimeField(null=True, blank=True)  # a limit is reached until then
    paused_reason = ReasonField()

    # What its servers announce and then reject; see `delivery.server_memory`.
    restrictions = models.TextField(blank=True, default="", db_default="", editable=False)

    mx_hosts = models.TextField(
        blank=True, default="", db_default="", editable=False
    )  # of the site
    # What a reply of the site asked for, by a rule of the shaping, and until when.
    limit_effect = models.CharField(
        max_length=10, blank=True, default="", db_default="", editable=False
    )
    limit_until = models.DateTimeField(null=True, blank=True, editable=False)
    limit_reason = ReasonField(db_default="", editable=False)
    # JSON: rule → times of the latest such replies, for rules that need several of them
    rule_hits = models.TextField(blank=True, default="", db_default="", editable=False)

    class Meta:
        verbose_name = _("destination")
        verbose_name_plural = _("destinations")
        constraints = [
            # With two rows, one server would have two limits.
            models.UniqueConstraint(fields=["account", "key"], name="outbox_destination_one")
        ]

    def __str__(self) -> str:
        if self.key == SMARTHOST_KEY and not self.fits_account:
            return str(_("the former SMTP server"))
        if self.key == SMARTHOST_KEY:
            return f"{self.account.host}:{self.account.port}"
        if self.is_unresolved:
            return str(_("domains that were not looked up yet"))
        return self.site_key

    @property
    def is_unresolved(self) -> bool:
        """Whether it has the recipients whose domains were not looked up yet."""
        return self.key == UNRESOLVED_KEY

    @property
    def site_key(self) -> str:
        """The key of the MX site; empty for a smarthost, and before the lookup."""
        return self.key.removeprefix(MX_PREFIX) if self.key.startswith(MX_PREFIX) else ""

    @property
    def is_direct(self) -> bool:
        """Whether it belongs to direct delivery, by MX."""
        return self.key != SMARTHOST_KEY

    @property
    def fits_account(self) -> bool:
        """Whether it belongs to the kind of delivery that the account has now.

        Otherwise its recipients are only moved. No circuit blocks that, and no limit counts it.
        """
        return self.is_direct == (self.account.route == Route.DIRECT)

    @staticmethod
    def fitting() -> models.Q:
        """Return the condition on destinations that fit their account; see `fits_account`."""
        is_smarthost = models.Q(key=SMARTHOST_KEY)
        return models.Q(is_smarthost, account__route=Route.SMARTHOST) | models.Q(
            ~is_smarthost, account__route=Route.DIRECT
        )

    @property
    def circuit_in_force(self) -> Circuit:
        """The circuit; closed if the destination does not fit its account."""
        return Circuit(self.circuit) if self.fits_account else Circuit.CLOSED

    @staticmethod
    def has_circuit(circuit: Circuit) -> models.Q:
        """Return the condition on destinations by their `circuit_in_force`."""
        condition = models.Q(circuit=circuit)
        if circuit == Circuit.CLOSED:
            return condition | ~Destination.fitting()
        return condition & Destination.fitting()

    def is_limited_by_reply(self, now: dt.datetime) -> bool:
        """Return whether a reply of the site still slows it down or suspends it."""
        return self.limit_until is not None and self.limit_until > now

    def is_suspended(self, now: dt.datetime) -> bool:
        """Return whether a reply of the site suspends all attempts at the moment."""
        is_suspended = self.limit_effect == _SUSPEND and self.is_limited_by_reply(now)
        return is_suspended and self.fits_account

    @staticmethod
    def is_suspended_at(now: dt.datetime) -> models.Q:
        """Return the condition on destinations that a reply of the site suspends.

        It includes those that do not fit their account.
        """
        return models.Q(limit_effect=_SUSPEND, limit_until__gt=now)

    def is_blocked(self, now: dt.datetime) -> bool:
        """Return whether the circuit or a rate limit blocks all attempts at the moment."""
        if not self.fits_account:
            return False
        waits = self.circuit_until is not None and self.circuit_until > now
        return waits or self.is_suspended(now) or self.is_paused(now)

    @classmethod
    def surely_blocked_at(cls, now: dt.datetime) -> models.Q:
        """Return the condition on destinations that `is_blocked`, except by a rate limit.

        Whether a rate limit is used up depends on what the limit is now.
        """
        waits = models.Q(circuit_until__isnull=False, circuit_until__gt=now)
        is_suspended = models.Q(limit_until__isnull=False) & cls.is_suspended_at(now)
        return (waits | is_suspended) & cls.fitting()

    def is_paused(self, now: dt.datetime) -> bool:
        """Return whether a rate limit is used up. A limit that was raised since does not count."""
        if self.paused_until is None or self.paused_until <= now:
            return False
        from outbox.models.destination_limits import limits_of  # it imports DNS and SMTP

        limits = limits_of(self, now)
        counts = ((limits.per_minute, self.minute_count), (limits.per_day, self.day_count))
        return any(limit is not None and count >= limit.value for limit, count in counts)


class DomainSite(models.Model):
    """The MX site to which messages for a domain went last, so that queueing needs no lookup."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    domain = models.CharField(max_length=255)  # in lower case, as addresses have it
    destination = models.ForeignKey(
        Destination, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    seen_at = models.DateTimeField()  # when a lookup led there; the row is deleted some time later

    class Meta:
        verbose_name = _("mail servers of a domain")
        verbose_name_plural = _("mail servers of domains")
        constraints = [
            models.UniqueConstraint(fields=["account", "domain"], name="outbox_domainsite_one")
        ]
        indexes = [
            # Sweep: those that are too old.
            models.Index(fields=["seen_at"], name="outbox_domainsite_seen")
        ]

    def __str__(self) -> str:
        return self.domain


class Slot(models.Model):
    """The right to one connection. The unique constraint enforces the limit under any race."""

    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="slots")
    number = models.PositiveSmallIntegerField()
    worker = models.ForeignKey(Worker, on_delete=models.CASCADE, related_name="slots")

    class Meta:
        verbose_name = _("connection slot")
        verbose_name_plural = _("connection slots")
        constraints = [
            models.UniqueConstraint(fields=["destination", "number"], name="outbox_slot_one")
        ]

    def __str__(self) -> str:
        return f"{self.destination_id}#{self.number}"

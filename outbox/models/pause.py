"""Pause: nothing of everything, an account, a destination or a tag is claimed while it lasts.

A tag is a fact about messages, and a destination has messages of many tags. So a claim postpones
the recipients of a paused tag (`outbox.delivery.paused_tags`), and skips what the others stop.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from outbox.db.clock import database_now
from outbox.db.fields import DatabaseTimeField
from outbox.models.account import Account
from outbox.models.destination import Destination

# A claim looks again so often at recipients of a tag that is paused until a user resumes delivery.
LOOKED_AT_EVERY = dt.timedelta(hours=1)


class PauseScope(models.TextChoices):
    """What a pause stops."""

    EVERYTHING = "everything", _("everything")
    ACCOUNT = "account", _("account")
    DESTINATION = "destination", _("destination")
    TAG = "tag", _("tag")


class PauseQuerySet(models.QuerySet["Pause"]):
    """Queries by time."""

    def in_force(self, now: dt.datetime) -> PauseQuerySet:
        """Limit to the pauses that last. A claim reads the same condition."""
        return self.filter(models.Q(until=None) | models.Q(until__gt=now), ended_at=None)


class Pause(models.Model):
    """One pause. It ends at `until`, or when a user resumes delivery. Rows stay as the history."""

    scope = models.CharField(_("scope"), max_length=11, choices=PauseScope)
    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    destination = models.ForeignKey(
        Destination, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    tag = models.TextField(_("tag"), blank=True, default="", db_default="")
    reason = models.CharField(_("reason"), max_length=500)
    until = models.DateTimeField(_("until"), null=True, blank=True)  # None: until it is ended
    created_at = DatabaseTimeField(_("since"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    ended_at = models.DateTimeField(_("ended at"), null=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    # Of a tag, after a user resumed delivery: recipients that were postponed are being made due.
    is_returning = models.BooleanField(default=False, db_default=False)

    objects = PauseQuerySet.as_manager()

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        indexes = [
            # Claim, pages: the pauses that have not been ended.
            models.Index(
                fields=["id"], name="outbox_pause_open", condition=models.Q(ended_at=None)
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scope="everything", account=None, destination=None, tag="")
                | models.Q(scope="account", account__isnull=False, destination=None, tag="")
                | models.Q(scope="destination", account=None, destination__isnull=False, tag="")
                | models.Q(~models.Q(tag=""), scope="tag", account=None, destination=None),
                name="outbox_pause_scope",
            ),
        ]

    def __str__(self) -> str:
        if self.scope == PauseScope.TAG:
            return gettext("tag “%(tag)s”") % {"tag": self.tag}
        return str(self.account or self.destination or PauseScope.EVERYTHING.label)

    def stops(self, destination: Destination) -> bool:
        """Return whether the pause stops delivery to a destination."""
        return (
            self.scope == PauseScope.EVERYTHING
            or (self.account_id is not None and self.account_id == destination.account_id)
            or (self.destination_id is not None and self.destination_id == destination.pk)
        )

    def next_look(self, now: dt.datetime) -> dt.datetime:
        """Return when a claim looks again at recipients of the paused tag that are due now.

        All that it postpones within an hour have the same time, by which they are found when
        delivery is resumed.
        """
        if self.until is not None:
            return self.until
        hours = (now - self.created_at) // LOOKED_AT_EVERY
        look: dt.datetime = self.created_at + (hours + 1) * LOOKED_AT_EVERY
        return look


class HasTag(models.Func):
    """The condition that a column with a list of tags contains a tag."""

    output_field = models.BooleanField()
    template = "%(expressions)s"
    arg_joiner = " ? "  # an element of a JSON array, in PostgreSQL

    def __init__(self, column: str, tag: str) -> None:
        super().__init__(models.F(column), models.Value(tag))

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the condition for SQLite, which has no such operator."""
        template = "EXISTS (SELECT 1 FROM json_each(%(expressions)s)"
        return self.as_sql(
            compiler, connection, template=template, arg_joiner=") WHERE value = ", **context
        )


def pauses_in_force(using: str, now: dt.datetime | None = None) -> list[Pause]:
    """Return the pauses that last, widest and oldest first, with their authors."""
    found = Pause.objects.using(using).in_force(now or database_now(using))
    rows = found.select_related("created_by", "account", "destination__account").order_by("pk")
    return sorted(rows, key=lambda one: PauseScope.values.index(one.scope))


def pause_of(destination: Destination, pauses: Iterable[Pause]) -> Pause | None:
    """Return the first pause that stops delivery to a destination."""
    return next((one for one in pauses if one.stops(destination)), None)


def pause_of_tags(tags: Collection[str], pauses: Iterable[Pause]) -> Pause | None:
    """Return the pause that stops messages with these tags; of several, the one that ends last."""
    found = [one for one in pauses if one.scope == PauseScope.TAG and one.tag in tags]
    return max(
        found, key=lambda one: (one.until is None, one.until or one.created_at), default=None
    )

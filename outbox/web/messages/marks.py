"""What changes with a message: the message page compares it at each refresh.

All rows of a few recipients are read, and sums of many, so that a refresh of a message with ten
thousand recipients reads as many rows as one with two hundred.
"""

import datetime as dt
from functools import cached_property
from typing import Any

from django.db.models import Count, Max, Min, Sum

from outbox.api.recipient_summary import RecipientSummary
from outbox.db import clock
from outbox.models import DUE, Message, State

SOON = dt.timedelta(seconds=20)
CLOSING_FOR = dt.timedelta(minutes=2)  # how long an open connection is watched afterwards


class Marks:
    """Counts and times of the recipients and attempts of a message."""

    def __init__(self, message: Message, recipients: RecipientSummary) -> None:
        self._message = message
        self._recipients = recipients

    @cached_property
    def attempts(self) -> dict[str, Any]:
        """Return counts and times of all attempts, which change with each of them."""
        return self._message.attempts.aggregate(
            count=Count("pk"),
            latest=Max("pk"),
            ended=Count("ended_at"),
            last_ended_at=Max("ended_at"),
            marked=Count("dot_marked_at"),
            sessions=Count("session"),
            closed=Count("session__ended_at"),
        )

    @property
    def attempt_count(self) -> int:
        """Return the number of attempts."""
        count: int = self.attempts["count"]
        return count

    @property
    def of_recipients(self) -> list[tuple[object, ...]]:
        """Return the columns that are shown of a few recipients, or sums of many."""
        recipients = self._recipients
        if recipients.total == len(recipients.rows):
            columns = ("pk", "state", "attempts", "next_at", "attempt_id")
            return [tuple(getattr(row, name) for name in columns) for row in recipients.rows]
        grouped = self._message.recipients.order_by("state").values_list("state")
        return list(
            grouped.annotate(
                Count("pk"), Sum("attempts"), Max("attempt"), Max("next_attempt_at"),
                Min("next_attempt_at"), Max("resend_at"), Max("last_attempt_at"),
            )
        )  # fmt: skip

    @property
    def is_busy(self) -> bool:
        """Return whether an attempt is running or follows within seconds."""
        soon = clock.now() + SOON
        return any(
            row.state == State.SENDING
            or (row.state in DUE and (row.next_attempt_at is None or row.next_attempt_at <= soon))
            for row in self._recipients.rows
        )

    @property
    def awaits_closing(self) -> bool:
        """Return whether the QUIT of an open connection is still to be recorded."""
        if self.attempts["sessions"] == self.attempts["closed"]:
            return False
        latest = clock.now() - CLOSING_FOR
        recent = self._message.attempts.filter(ended_at__gt=latest, session__isnull=False)
        return recent.filter(session__ended_at=None).exists()

"""What several figures of one page need: each is read once, when the first of them asks for it."""

import datetime as dt
from functools import cached_property

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import Pause, QueueSnapshot
from outbox.models.pause import pauses_in_force


class Present:
    """The database's time, the snapshot of the queue and the pauses, for one rendering of a page.

    It must not outlive the request: nothing of it is read again.
    """

    def __init__(self) -> None:
        self.using = get_conf().database

    @cached_property
    def now(self) -> dt.datetime:
        """Return the database's time."""
        return database_now(self.using)

    @cached_property
    def snapshot(self) -> QueueSnapshot | None:
        """Return the row of the snapshot; None before the first sweep."""
        return QueueSnapshot.objects.using(self.using).exclude(at=None).first()

    @cached_property
    def pauses(self) -> list[Pause]:
        """Return the pauses that last, widest first."""
        return pauses_in_force(self.using, self.now)

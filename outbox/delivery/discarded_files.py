"""Delete discarded files, in a thread of its own because a storage may hang."""

import datetime as dt
import logging

from django.db.models import QuerySet

from outbox.db import clock
from outbox.db.background import BackgroundWork
from outbox.db.clock import database_now
from outbox.models import DiscardedFile
from outbox.models.message import file_storage

logger = logging.getLogger(__name__)
_AT_ONCE = 500
_TRIED_AGAIN_AFTER = dt.timedelta(minutes=10)
_background = BackgroundWork("outbox-discarded", "Deletion of discarded files")


def delete_in_background(using: str) -> None:
    """Delete files that are due in a new thread, unless this process has one."""
    _background.start(lambda: delete_all(using), if_due=_due(using).exists)


def delete_discarded_files(using: str) -> int:
    """Delete files that are due, up to a limit, and return how many. Others are tried again."""
    due = list(_due(using).order_by("due_at", "pk")[:_AT_ONCE])
    return sum(_delete(file, using) for file in due)


def delete_all(using: str) -> None:
    """Delete every file that is due and can be deleted."""
    while delete_discarded_files(using):
        pass


def _due(using: str) -> QuerySet[DiscardedFile]:
    return DiscardedFile.objects.using(using).filter(due_at__lte=clock.now())


def _delete(file: DiscardedFile, using: str) -> bool:
    row = DiscardedFile.objects.using(using).filter(pk=file.pk)
    try:
        file_storage().delete(file.name)
    except Exception:  # a storage raises errors of its own kinds
        logger.exception("The file %s cannot be deleted at present.", file.name)
        row.update(due_at=database_now(using) + _TRIED_AGAIN_AFTER)
        return False
    row.delete()
    return True

"""Discard stored files that no row refers to: those of messages that were rolled back.

A file is written before its transaction commits. So a file is an orphan only if the day on which it
was written ended a day ago or earlier, and no row of its message names it. They are searched in
a thread of its own, because a storage may hang.
"""

import datetime as dt
import logging
from collections.abc import Iterator, Sequence

from django.db.models import FileField

from outbox.db.background import BackgroundWork
from outbox.db.clock import database_now
from outbox.models import Attachment, DiscardedFile, InboundSource, LastRun, Source
from outbox.models.discarded_file import discard_files
from outbox.models.files import StoredName, folder_of, names_in

logger = logging.getLogger(__name__)
YOUNGEST = 2  # days
DAYS = 7  # looked at by each run: no worker may have run for some days
PERIOD = dt.timedelta(hours=6)  # from one run to the next, in whatever process
_TASK = "orphaned files"
_AT_ONCE = 500  # rows in one query
_background = BackgroundWork("outbox-files", "Search for orphaned files")


def discard_in_background(using: str) -> None:
    """Discard orphaned files in a new thread, four times a day, unless this process does it."""
    _background.start(lambda: _discard(using), claim=lambda: LastRun.claim(_TASK, PERIOD, using))


def discard_if_due(using: str) -> None:
    """Discard orphaned files in this thread, four times a day: for a process that ends soon."""
    if LastRun.claim(_TASK, PERIOD, using):
        discard_orphans(using)


def discard_orphans(using: str, *, days: int = DAYS) -> int:
    """Discard the orphans of so many days and return their number."""
    today = database_now(using).date()
    return sum(
        _discard_in(folder_of(field.upload_to, today - dt.timedelta(days=age)), field, using)
        for age in range(YOUNGEST, YOUNGEST + days)
        for field in _fields()
    )


def _discard(using: str) -> None:
    if count := discard_orphans(using):
        logger.info("Stored files that no message refers to were discarded: %d.", count)


def _fields() -> Iterator[FileField]:
    for model in (Source, Attachment, InboundSource):
        field = model._meta.get_field("file")
        assert isinstance(field, FileField)
        yield field


def _discard_in(folder: str, field: FileField, using: str) -> int:
    try:
        _, names = field.storage.listdir(folder)
    except (FileNotFoundError, NotImplementedError):  # nothing was stored; it cannot list
        return 0
    ours = list(names_in(folder, names))
    count = 0
    for start in range(0, len(ours), _AT_ONCE):
        orphans = _orphans(ours[start : start + _AT_ONCE], field, using)
        discard_files(orphans, using)
        count += len(orphans)
    return count


def _orphans(stored: Sequence[StoredName], field: FileField, using: str) -> list[str]:
    """Return the paths that no row names. The rows are found by their message, an indexed key."""
    ids = {one.message_id for one in stored}
    rows = field.model._default_manager.using(using).filter(message__in=ids)
    named = set(rows.values_list(field.attname, flat=True))
    discarded = DiscardedFile.objects.using(using).filter(name__in=[one.path for one in stored])
    named.update(discarded.values_list("name", flat=True))
    return [one.path for one in stored if one.path not in named]

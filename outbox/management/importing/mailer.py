"""django-mailer: pickled messages, which are deleted when they are sent, and a log.

A row of the log refers to its message by the time when it was queued: the log of a failure has no
Message-ID, and its message is pickled differently from that in the log of a success.
"""

import contextlib
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import router
from django.db.models import Exists, OuterRef

from outbox import api
from outbox.management.importing.import_lock import import_lock
from outbox.management.importing.source import (
    TAKEN_OVER,
    FinishedEmail,
    ImportSource,
    ImportSourceError,
    PastAttempt,
    QueuedEmail,
)
from outbox.models import State
from outbox.reasons import Reason, ReasonCode

_SUCCESS, _DONT_SEND, _FAILURE = "1", "2", "3"
_DEFERRED = 4
_PRIORITIES = {
    1: api.Priority.URGENT,
    2: api.Priority.NORMAL,
    3: api.Priority.BULK,
    _DEFERRED: api.Priority.NORMAL,
}
_NAME = "django-mailer"
_STATES = {
    _SUCCESS: (State.SENT, Reason(ReasonCode.IMPORTED_SENT, app=_NAME)),
    _DONT_SEND: (State.CANCELLED, Reason(ReasonCode.IMPORTED_EXCLUDED, app=_NAME)),
}


class Mailer(ImportSource):
    """An imported row is logged as "don't send" and deleted, as django-mailer does."""

    name = _NAME
    label = "mailer"

    def __init__(self) -> None:
        self._messages: Any = apps.get_model(self.label, "Message")
        self._logs: Any = apps.get_model(self.label, "MessageLog")
        self.using = router.db_for_write(self._messages)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the lock of `send_mail`, unless a setting has disabled it."""
        import lockfile  # type: ignore[import-untyped]
        from mailer import engine

        if not getattr(settings, "MAILER_USE_FILE_LOCK", True):
            yield
            return
        lock = lockfile.FileLock(engine.LOCK_PATH or "send_mail")  # like django-mailer itself
        lock_file = Path(lock.lock_file)
        with import_lock(lock_file) as held:
            _remove_leftover(lock_file, held.leftover)
            held.write(lock.unique_name)
            acquired, lock = engine.acquire_lock()
            if not acquired:
                raise ImportSourceError(
                    f"{self.name} is sending at present; try again. If it was killed while it "
                    f"sent, delete {lock_file}."
                )
            try:
                yield
            finally:
                engine.release_lock(lock)

    def queued_ids(self) -> list[int]:
        return list(self._queued().order_by("priority", "pk").values_list("pk", flat=True))

    def lock_row(self, pk: int) -> Any | None:
        return self._queued().select_for_update().filter(pk=pk).first()

    def read_queued(self, row: Any) -> QueuedEmail:
        return QueuedEmail(
            key=f"{self.name}:{row.pk}",
            mail=_unpickled(row),
            priority=_PRIORITIES.get(row.priority, api.Priority.NORMAL),
            attempts=self._failures(row),
            hold_reason=_hold_reason(row),
        )

    def mark_as_imported(self, row: Any, message_id: int) -> None:
        self._logs.objects.using(self.using).create(
            message_data=row.message_data,
            when_added=row.when_added,
            priority=row.priority,
            result=_DONT_SEND,
            log_message=f"{TAKEN_OVER} {message_id}.",
        )
        row.delete(using=self.using)

    def history(self) -> Iterator[Any]:
        """Yield the last log row of each message: a success, or a failure that is not queued."""
        logs = self._logs.objects.using(self.using)
        same = {"when_added": OuterRef("when_added")}
        waits = Exists(self._queued().filter(**same))
        later = Exists(logs.filter(**same, pk__gt=OuterRef("pk")))
        failed = logs.filter(~waits, ~later, result=_FAILURE)
        ended = logs.exclude(result=_FAILURE).exclude(log_message__startswith=TAKEN_OVER)
        yield from ended.order_by("pk").iterator(chunk_size=200)
        yield from failed.order_by("pk").iterator(chunk_size=200)

    def history_key(self, row: Any) -> str:
        return f"{self.name}:log:{row.pk}"

    def read_finished(self, row: Any) -> FinishedEmail:
        failed = Reason(ReasonCode.IMPORTED_FAILED, text=row.log_message)
        state, reason = _STATES.get(row.result, (State.FAILED, failed))
        mail = _unpickled(row)
        mail.extra_headers.setdefault("Date", format_datetime(row.when_attempted))
        succeeded = row.result == _SUCCESS
        own = PastAttempt(at=row.when_attempted, succeeded=succeeded, text=row.log_message)
        return FinishedEmail(
            key=self.history_key(row),
            mail=mail,
            state=state,
            reason=reason,
            queued_at=row.when_added,
            ended_at=row.when_attempted,
            priority=_PRIORITIES.get(row.priority, api.Priority.NORMAL),
            attempts=(*self._failures(row), own) if succeeded else self._failures(row),
        )

    def _queued(self) -> Any:
        return self._messages.objects.using(self.using)

    def _failures(self, row: Any) -> tuple[PastAttempt, ...]:
        logs = self._logs.objects.using(self.using)
        found = logs.filter(when_added=row.when_added, result=_FAILURE).order_by("pk")
        return tuple(
            PastAttempt(at=log.when_attempted, succeeded=False, text=log.log_message)
            for log in found
        )


def _remove_leftover(lock_file: Path, leftover: str) -> None:
    """Remove the lock of a killed import: a hard link to a file that only this import had."""
    if not leftover or not (own := Path(leftover)).exists():
        return
    if lock_file.exists() and lock_file.samefile(own):
        lock_file.unlink()
    own.unlink()


def _unpickled(row: Any) -> EmailMessage:
    mail = row.email
    if not isinstance(mail, EmailMessage):
        raise TypeError("the stored message cannot be read")
    return mail


def _hold_reason(row: Any) -> str:
    """Return why django-mailer would not retry a deferred message, or an empty string."""
    most = getattr(settings, "MAILER_EMAIL_MAX_RETRIES", None)
    if row.priority != _DEFERRED or most is None or row.retry_count < most:
        return ""
    return f"django-mailer stopped. Retries: {row.retry_count}. Release it to send it."

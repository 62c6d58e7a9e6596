"""django-post_office: rows of text, or a template and its context, with attachments in storage."""

import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.mail import EmailMessage
from django.db import router
from django.utils import timezone

from outbox import api
from outbox.db import clock
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

_SENT, _FAILED, _QUEUED, _REQUEUED = range(4)
_PRIORITIES = (
    api.Priority.BULK,
    api.Priority.NORMAL,
    api.Priority.URGENT,
    api.Priority.URGENT,
)  # low … now


class PostOffice(ImportSource):
    """An imported row is marked as failed, which django-post_office never retries."""

    name = "django-post_office"
    label = "post_office"

    def __init__(self) -> None:
        self._emails: Any = apps.get_model(self.label, "Email")
        self.using = router.db_for_write(self._emails)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the lock of `send_queued_mail`."""
        from post_office.lockfile import FileLock, FileLocked, default_lockfile

        lock = FileLock(default_lockfile)
        lock_file = Path(lock.lock_filename)
        with import_lock(lock_file) as held:
            # The number may belong to another process now; in a container even to this one.
            if held.leftover and _content(lock_file) == held.leftover:
                lock_file.unlink()
                lock_file.with_name(f"{held.leftover}.lock").unlink(missing_ok=True)
            held.write(str(os.getpid()))
            try:
                lock.__enter__()
            except FileLocked:
                raise ImportSourceError(
                    f"{self.name} is sending at present; try again. If it was killed while it "
                    f"sent, delete {lock_file}."
                ) from None
            try:
                yield
            finally:
                lock.release()

    def queued_ids(self) -> list[int]:
        return list(self._queued().order_by("pk").values_list("pk", flat=True))

    def lock_row(self, pk: int) -> Any | None:
        return self._queued().select_for_update().filter(pk=pk).first()

    def read_queued(self, row: Any) -> QueuedEmail | FinishedEmail:
        if row.expires_at and row.expires_at <= clock.now():
            return self._as_past(row, State.EXPIRED, Reason(ReasonCode.LIFETIME_EXCEEDED))
        return QueuedEmail(
            key=self._key(row),
            mail=row.email_message(),
            priority=_priority(row),
            send_at=row.scheduled_time,
            expires_at=row.expires_at,
            attempts=_attempts(row),
        )

    def mark_as_imported(self, row: Any, message_id: int) -> None:
        self._queued().filter(pk=row.pk).update(status=_FAILED, last_updated=timezone.now())
        row.logs.create(status=_FAILED, message=f"{TAKEN_OVER} {message_id}.")

    def history(self) -> Iterator[Any]:
        done = self._emails.objects.using(self.using).filter(status__in=(_SENT, _FAILED))
        ours = {"logs__message__startswith": TAKEN_OVER}
        return iter(done.exclude(**ours).order_by("pk").iterator(chunk_size=200))

    def history_key(self, row: Any) -> str:
        return self._key(row)

    def read_finished(self, row: Any) -> FinishedEmail:
        if row.status == _SENT:
            return self._as_past(row, State.SENT, Reason(ReasonCode.IMPORTED_SENT, app=self.name))
        last = row.logs.filter(status=_FAILED).order_by("pk").last()
        reason = Reason(ReasonCode.IMPORTED_UNEXPLAINED, app=self.name)
        if last:
            reason = Reason(ReasonCode.IMPORTED_FAILED, text=_text(last))
        return self._as_past(row, State.FAILED, reason)

    def _queued(self) -> Any:
        emails = self._emails.objects.using(self.using)
        return emails.filter(status__in=(_QUEUED, _REQUEUED))

    def _key(self, row: Any) -> str:
        return f"{self.name}:{row.pk}"

    def _as_past(self, row: Any, state: State, reason: Reason) -> FinishedEmail:
        return FinishedEmail(
            key=self._key(row),
            mail=_dated(row.email_message(), row.last_updated),
            state=state,
            reason=reason,
            queued_at=row.created,
            ended_at=row.last_updated,
            priority=_priority(row),
            attempts=_attempts(row),
        )


def _content(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _dated(mail: EmailMessage, moment: dt.datetime) -> EmailMessage:
    """Return a message with its original date."""
    mail.extra_headers.setdefault("Date", format_datetime(moment))
    return mail


def _priority(row: Any) -> str:
    return _PRIORITIES[row.priority] if row.priority is not None else api.Priority.NORMAL


def _attempts(row: Any) -> tuple[PastAttempt, ...]:
    """Return the logged attempts, without later reports of providers, which are in the same log."""
    logs = row.logs.filter(status__in=(_SENT, _FAILED)).order_by("pk")
    return tuple(
        PastAttempt(at=log.date, succeeded=log.status == _SENT, text=_text(log))
        for log in logs
        if not log.message.startswith(TAKEN_OVER)
    )


def _text(log: Any) -> str:
    return ": ".join(part for part in (log.exception_type, log.message) if part)

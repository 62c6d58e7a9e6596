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
from outbox.management.importing.mark import mark
from outbox.management.importing.neighbour import (
    TAKEN_OVER,
    Neighbour,
    NeighbourError,
    Past,
    Try,
    Waiting,
)
from outbox.models import State

_SENT, _FAILED, _QUEUED, _REQUEUED = range(4)
_LANES = (api.Lane.BULK, api.Lane.NORMAL, api.Lane.URGENT, api.Lane.URGENT)  # low … now


class PostOffice(Neighbour):
    """A queued row is marked as failed when it was taken over, which this app never tries again."""

    name = "django-post_office"
    label = "post_office"

    def __init__(self) -> None:
        self._emails: Any = apps.get_model(self.label, "Email")
        self.using = router.db_for_write(self._emails)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Hold the lock of `send_queued_mail`."""
        from post_office.lockfile import FileLock, FileLocked, default_lockfile

        lock = FileLock(default_lockfile)
        lock_file = Path(lock.lock_filename)
        with mark(lock_file) as held:
            # The number may be that of another process by now, in a container even of this one.
            if held.left and _content(lock_file) == held.left:
                lock_file.unlink()
                lock_file.with_name(f"{held.left}.lock").unlink(missing_ok=True)
            held.write(str(os.getpid()))
            try:
                lock.__enter__()
            except FileLocked:
                raise NeighbourError(
                    f"{self.name} is sending at present; try again. If it was killed while it "
                    f"sent, delete {lock_file}."
                ) from None
            try:
                yield
            finally:
                lock.release()

    def waiting(self) -> list[int]:
        return list(self._queued().order_by("pk").values_list("pk", flat=True))

    def locked(self, pk: int) -> Any | None:
        return self._queued().select_for_update().filter(pk=pk).first()

    def read_waiting(self, row: Any) -> Waiting | Past:
        if row.expires_at and row.expires_at <= timezone.now():
            return self._as_past(row, State.EXPIRED, "It was not sent before it expired.")
        return Waiting(
            key=self._key(row),
            mail=row.email_message(),
            lane=_lane(row),
            send_at=row.scheduled_time,
            expires_at=row.expires_at,
            tries=_tries(row),
        )

    def let_go(self, row: Any, message_id: int) -> None:
        self._queued().filter(pk=row.pk).update(status=_FAILED, last_updated=timezone.now())
        row.logs.create(status=_FAILED, message=f"{TAKEN_OVER} {message_id}.")

    def past(self) -> Iterator[Any]:
        done = self._emails.objects.using(self.using).filter(status__in=(_SENT, _FAILED))
        ours = {"logs__message__startswith": TAKEN_OVER}
        return iter(done.exclude(**ours).order_by("pk").iterator(chunk_size=200))

    def past_key(self, row: Any) -> str:
        return self._key(row)

    def read_past(self, row: Any) -> Past:
        if row.status == _SENT:
            return self._as_past(row, State.SENT, f"{self.name} sent it.")
        last = row.logs.filter(status=_FAILED).order_by("pk").last()
        told = _text(last) if last else f"{self.name} gave it up, and did not note why."
        return self._as_past(row, State.FAILED, told)

    def _queued(self) -> Any:
        emails = self._emails.objects.using(self.using)
        return emails.filter(status__in=(_QUEUED, _REQUEUED))

    def _key(self, row: Any) -> str:
        return f"{self.name}:{row.pk}"

    def _as_past(self, row: Any, state: State, why: str) -> Past:
        return Past(
            key=self._key(row),
            mail=_dated(row.email_message(), row.last_updated),
            state=state,
            why=why,
            queued_at=row.created,
            ended_at=row.last_updated,
            lane=_lane(row),
            tries=_tries(row),
        )


def _content(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _dated(mail: EmailMessage, moment: dt.datetime) -> EmailMessage:
    """Give it the day it had, or it would look as if it were of today."""
    mail.extra_headers.setdefault("Date", format_datetime(moment))
    return mail


def _lane(row: Any) -> str:
    return _LANES[row.priority] if row.priority is not None else api.Lane.NORMAL


def _tries(row: Any) -> tuple[Try, ...]:
    """Return what was logged of sending; the log also has what providers report later."""
    logs = row.logs.filter(status__in=(_SENT, _FAILED)).order_by("pk")
    return tuple(
        Try(at=log.date, succeeded=log.status == _SENT, text=_text(log))
        for log in logs
        if not log.message.startswith(TAKEN_OVER)
    )


def _text(log: Any) -> str:
    return ": ".join(part for part in (log.exception_type, log.message) if part)

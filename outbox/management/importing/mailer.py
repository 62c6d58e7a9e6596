"""django-mailer: pickled messages, which leave their table when they are sent, and a log.

A row of the log is tied to its mail by the moment it was queued: the log of a failure has no
Message-ID yet, and the message in it is not pickled as it is in the log of a success.
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

_SUCCESS, _DONT_SEND, _FAILURE = "1", "2", "3"
_DEFERRED = 4
_LANES = {1: api.Lane.URGENT, 2: api.Lane.NORMAL, 3: api.Lane.BULK, _DEFERRED: api.Lane.NORMAL}
_STATES = {
    _SUCCESS: (State.SENT, "django-mailer sent it."),
    _DONT_SEND: (State.CANCELLED, "It was on django-mailer's list of whom not to send to."),
}


class Mailer(Neighbour):
    """A row that was taken over is logged as "don't send", and leaves as rows always do here."""

    name = "django-mailer"
    label = "mailer"

    def __init__(self) -> None:
        self._messages: Any = apps.get_model(self.label, "Message")
        self._logs: Any = apps.get_model(self.label, "MessageLog")
        self.using = router.db_for_write(self._messages)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Hold the lock of `send_mail`, which a setting may have switched off."""
        import lockfile  # type: ignore[import-untyped]
        from mailer import engine

        if not getattr(settings, "MAILER_USE_FILE_LOCK", True):
            yield
            return
        lock = lockfile.FileLock(engine.LOCK_PATH or "send_mail")  # as its own sender makes it
        lock_file = Path(lock.lock_file)
        with mark(lock_file) as held:
            _break(lock_file, held.left)
            held.write(lock.unique_name)
            acquired, lock = engine.acquire_lock()
            if not acquired:
                raise NeighbourError(
                    f"{self.name} is sending at present; try again. If it was killed while it "
                    f"sent, delete {lock_file}."
                )
            try:
                yield
            finally:
                engine.release_lock(lock)

    def waiting(self) -> list[int]:
        return list(self._queued().order_by("priority", "pk").values_list("pk", flat=True))

    def locked(self, pk: int) -> Any | None:
        return self._queued().select_for_update().filter(pk=pk).first()

    def read_waiting(self, row: Any) -> Waiting:
        return Waiting(
            key=f"{self.name}:{row.pk}",
            mail=_unpickled(row),
            lane=_LANES.get(row.priority, api.Lane.NORMAL),
            tries=self._failures(row),
            given_up=_given_up(row),
        )

    def let_go(self, row: Any, message_id: int) -> None:
        self._logs.objects.using(self.using).create(
            message_data=row.message_data,
            when_added=row.when_added,
            priority=row.priority,
            result=_DONT_SEND,
            log_message=f"{TAKEN_OVER} {message_id}.",
        )
        row.delete(using=self.using)

    def past(self) -> Iterator[Any]:
        """Give the last row of each mail's log: a success, or a failure of what waits no more."""
        logs = self._logs.objects.using(self.using)
        same = {"when_added": OuterRef("when_added")}
        waits = Exists(self._queued().filter(**same))
        later = Exists(logs.filter(**same, pk__gt=OuterRef("pk")))
        failed = logs.filter(~waits, ~later, result=_FAILURE)
        ended = logs.exclude(result=_FAILURE).exclude(log_message__startswith=TAKEN_OVER)
        yield from ended.order_by("pk").iterator(chunk_size=200)
        yield from failed.order_by("pk").iterator(chunk_size=200)

    def past_key(self, row: Any) -> str:
        return f"{self.name}:log:{row.pk}"

    def read_past(self, row: Any) -> Past:
        state, why = _STATES.get(row.result, (State.FAILED, row.log_message))
        mail = _unpickled(row)
        mail.extra_headers.setdefault("Date", format_datetime(row.when_attempted))
        succeeded = row.result == _SUCCESS
        own = Try(at=row.when_attempted, succeeded=succeeded, text=row.log_message)
        return Past(
            key=self.past_key(row),
            mail=mail,
            state=state,
            why=why,
            queued_at=row.when_added,
            ended_at=row.when_attempted,
            lane=_LANES.get(row.priority, api.Lane.NORMAL),
            tries=(*self._failures(row), own) if succeeded else self._failures(row),
        )

    def _queued(self) -> Any:
        return self._messages.objects.using(self.using)

    def _failures(self, row: Any) -> tuple[Try, ...]:
        logs = self._logs.objects.using(self.using)
        found = logs.filter(when_added=row.when_added, result=_FAILURE).order_by("pk")
        return tuple(
            Try(at=log.when_attempted, succeeded=False, text=log.log_message) for log in found
        )


def _break(lock_file: Path, left: str) -> None:
    """Remove the lock that a killed import left: a link of the file that only it had."""
    if not left or not (own := Path(left)).exists():
        return
    if lock_file.exists() and lock_file.samefile(own):
        lock_file.unlink()
    own.unlink()


def _unpickled(row: Any) -> EmailMessage:
    mail = row.email
    if not isinstance(mail, EmailMessage):
        raise TypeError("the stored message cannot be read")
    return mail


def _given_up(row: Any) -> str:
    """Say why a deferred mail would have been deferred for ever."""
    most = getattr(settings, "MAILER_EMAIL_MAX_RETRIES", None)
    if row.priority != _DEFERRED or most is None or row.retry_count < most:
        return ""
    return f"django-mailer gave it up after {row.retry_count} retries; release it to have it sent."

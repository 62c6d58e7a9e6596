"""A storage that hangs delays the messages that are in it, and nothing else."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings

from outbox.models import Message, Recipient, Source, State
from outbox.reasons import ReasonCode
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    queue,
    queue_many,
    row,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def hanging(message: Message) -> Iterator[None]:
    """Replace the stored file by a pipe: who opens it waits until it is opened for writing."""
    stored = Path(Source.objects.get(message=message).file.path)
    kept = stored.read_bytes()
    stored.unlink()
    os.mkfifo(stored)
    try:
        yield
    finally:
        os.close(os.open(stored, os.O_RDWR | os.O_NONBLOCK))  # wakes those that wait
        stored.unlink()
        stored.write_bytes(kept)


def stored_as_file(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}


def threads_reading() -> int:
    return sum(thread.name == "outbox-storage" for thread in threading.enumerate())


def test_a_read_that_hangs_stops_no_other_message(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0.1}
    lab = fault_lab("")
    sender = account_at(lab)
    stored_as_file(settings)
    stuck = queue(sender)
    with hanging(stuck), Working():
        until(threads_reading, "the file is being read")
        small = queue_many(account_at(lab), 5)
        large = queue_many(sender, 5)
        until(all_in(State.SENT, small + large), "the others were sent")
        assert states(stuck) == [State.SENDING]


def test_it_is_deferred_with_a_reason_and_sent_when_the_storage_is_back(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"STORAGE_TIMEOUT": 0.2, "BACKOFF_INITIAL": 0.2}
    stored_as_file(settings)
    message = queue(account_at(fault_lab("")))
    with Working():
        with hanging(message):
            until(lambda: states(message) == [State.DEFERRED], "it was deferred")
            recipient = row(message)
            assert recipient.reason.code == ReasonCode.SOURCE_UNREADABLE
            assert "did not respond within 0.2 seconds" in str(recipient.reason)
            until(lambda: row(message).attempts >= 3, "it was tried again")
            assert threads_reading() == 1  # no further thread hangs on the same file
        until(all_in(State.SENT, [message]), "it was sent")
    until(lambda: threads_reading() == 0, "the thread ended")


def test_a_read_that_hangs_does_not_keep_a_worker_from_stopping(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0.1}
    stored_as_file(settings)
    message = queue(account_at(fault_lab("")))
    with hanging(message):
        with Working():
            until(threads_reading, "the file is being read")
        assert states(message) == [State.QUEUED]  # nothing was sent
        assert Recipient.objects.get().attempts == 0
        assert all(
            thread.daemon for thread in threading.enumerate() if thread.name == "outbox-storage"
        )

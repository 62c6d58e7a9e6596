"""A Celery worker that is killed in the middle of a batch: python -m tests.acceptance.bulk_worker

It kills its whole process group in its third batch of bulk operations, when the messages are
changed and the progress is not yet recorded. Celery's options follow.
"""

import os
import signal
import sys
import threading
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailsite.settings")

import django

django.setup()

from django.db.backends.signals import connection_created  # noqa: E402  # needs the settings

from mailsite.celery import app  # noqa: E402  # likewise

BATCHES = 3
_PROGRESS = "UPDATE outbox_bulkoperation SET"
_seen = 0


def _watch(connection: Any, **_: Any) -> None:
    if threading.current_thread().name == "outbox-bulk":
        connection.execute_wrappers.append(_count)


def _count(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
    global _seen  # noqa: PLW0603  # one thread performs operations
    if sql.replace('"', "").startswith(_PROGRESS) and "last_id" in sql:
        _seen += 1
        if _seen == BATCHES:
            os.killpg(0, signal.SIGKILL)
    return execute(sql, params, many, context)


if __name__ == "__main__":
    connection_created.connect(_watch, weak=False)
    app.worker_main(["worker", *sys.argv[1:]])

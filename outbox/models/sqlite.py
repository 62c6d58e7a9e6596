"""The outbox's own SQLite file, in a project that says nothing of how it is to be opened.

A transaction that reads first and then writes fails at once, whatever the timeout, when another
process is about to write; and where the outbox is, a worker is. So each transaction on that file
asks for its turn when it begins, and waits for it as long as the worker pauses between its own.
What a project states in OPTIONS stands.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox.conf import get_conf

PATIENCE = 20  # seconds that a transaction waits for its turn


def take_turns(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Receive `connection_created`."""
    if connection.vendor != "sqlite" or not _holds_the_outbox(connection):
        return
    options = connection.settings_dict.get("OPTIONS", {})
    if "transaction_mode" not in options:
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]  # of SQLite's only
    if "timeout" not in options:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")


def _holds_the_outbox(connection: BaseDatabaseWrapper) -> bool:
    try:
        return connection.alias == get_conf().database
    except ImproperlyConfigured:  # a check says so, which may need this connection
        return False

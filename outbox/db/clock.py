"""The database's clock, which alone decides what is due and which lease has ended.

The clocks of hosts differ. `database_now` asks the database. `now` returns the same time without a
query, for texts and headers, for retention times and rare tasks, and for values that a later
statement checks again.
"""

import datetime as dt
import time
from typing import Any

from django.db import connections

from outbox.conf import get_conf

_SEEN_FOR = 60.0  # seconds before a new connection asks the server again
_seen: dict[str, tuple[dt.datetime, float]] = {}  # by alias: a time and the monotonic clock then


def database_now(using: str | None = None) -> dt.datetime:
    """Return the present time of a database, by default the outbox's, aware, in UTC."""
    using = using or get_conf().database
    connection = connections[using]
    if connection.vendor != "postgresql":  # the clock of this host, in SQLite's milliseconds
        own = dt.datetime.now(dt.UTC)
        return own.replace(microsecond=own.microsecond // 1000 * 1000)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: dt.datetime = cursor.fetchone()[0].astimezone(dt.UTC)
    if using == get_conf().database:
        _seen[using] = (moment, time.monotonic())
    return moment


def now() -> dt.datetime:
    """Return the time of the outbox's database without a query, aware, in UTC.

    The monotonic clock of this host counts from the last call of `database_now` in this process. A
    new connection to a server makes one, once a minute at most. Before the first, and for SQLite,
    the clock of this host has to do. Where the order of two changes matters, both need
    `database_now`: the clock of a server may be set.
    """
    seen = _seen.get(get_conf().database)
    if seen is None:
        return dt.datetime.now(dt.UTC)
    moment, seen_at = seen
    return moment + dt.timedelta(seconds=time.monotonic() - seen_at)


def observe(connection: Any, **_: Any) -> None:
    """Note the time of the server that a new connection leads to."""
    alias = connection.alias
    if connection.vendor != "postgresql" or alias != get_conf().database:
        return
    seen = _seen.get(alias)
    if seen is None or time.monotonic() - seen[1] > _SEEN_FOR:
        database_now(alias)

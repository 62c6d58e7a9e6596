"""The errors of an unavailable database, as opposed to those about a row."""

import sqlite3

from django.db import InterfaceError, OperationalError

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)


def is_about_a_row(error: Exception) -> bool:
    """Return whether the error is of PostgreSQL's class 54: a row exceeds a limit."""
    return str(getattr(error.__cause__, "sqlstate", None) or "").startswith("54")


def is_connection_lost(error: Exception) -> bool:
    """Return whether the database did not respond, or SQLite's other writers kept it locked.

    Other errors, such as a full disk or a statement timeout, need a person if they persist.
    """
    if not isinstance(error, DATABASE_UNAVAILABLE):
        return False
    cause = error.__cause__
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate is not None:  # class 08: connection exception, 57P: the server shuts down
        return str(sqlstate).startswith(("08", "57P"))
    code = getattr(cause, "sqlite_errorcode", None)
    return code is None or code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

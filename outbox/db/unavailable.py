"""The errors of an unavailable database, as opposed to those about a row."""

from django.db import InterfaceError, OperationalError

DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)


def is_about_a_row(error: Exception) -> bool:
    """Return whether the error is of PostgreSQL's class 54: a row exceeds a limit."""
    return str(getattr(error.__cause__, "sqlstate", None) or "").startswith("54")

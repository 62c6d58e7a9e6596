"""What a database that is away raises, as opposed to one that refuses a row."""

from django.db import InterfaceError, OperationalError

DATABASE_AWAY = (OperationalError, InterfaceError)


def is_about_a_row(error: Exception) -> bool:
    """PostgreSQL's class 54 (a limit is exceeded) is filed under trouble of its own."""
    return str(getattr(error.__cause__, "sqlstate", None) or "").startswith("54")

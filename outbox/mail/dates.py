"""Read the date and time of a header field."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_DATE = 200  # characters; a valid one has about forty


def read_date(value: str) -> datetime | None:
    """Return the value of a Date field as an aware time (RFC 5322 3.3); None if it is not one."""
    try:
        date = parsedate_to_datetime(value[:_MAX_DATE].strip())
        # "-0000": UTC, place unknown. Without the conversion, a database may not store the offset.
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

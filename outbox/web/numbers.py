"""Numbers that come from addresses and forms, where anything may stand."""

MAX_DIGITS = 18  # more would not fit the databases' integers


def number(text: str | None) -> int | None:
    """Read a plain decimal number; anything else is none."""
    if text and text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return int(text)
    return None

"""Values of query strings and forms, which may hold anything."""

from django.utils.http import url_has_allowed_host_and_scheme

MAX_DIGITS = 18  # more would not fit into the databases' integers


def integer(text: str | None) -> int | None:
    """Return a plain decimal number, or None for any other text."""
    if text and text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return int(text)
    return None


def return_address(address: str, default: str) -> str:
    """Return the path to go back to, if it is one of this site, else the default."""
    is_ours = address.startswith("/") and url_has_allowed_host_and_scheme(address, None)
    return address if is_ours else default

"""Verify signatures with dkimpy, and with records that no DNS server has."""

from collections.abc import Callable

import dkim

from outbox.models import SigningKey

Lookup = Callable[..., bytes | None]


def records(*keys: SigningKey) -> Lookup:
    """Return the DNS function of dkimpy: it knows the records of these keys, or of all keys."""
    known = {f"{key.record_name}.": key.record_text for key in keys or SigningKey.objects.all()}
    return records_of(known)


def records_of(known: dict[str, str]) -> Lookup:
    """Return the DNS function of dkimpy for these names and texts."""

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:
        text = known.get(name.decode())
        return text.encode() if text is not None else None

    return lookup


def verified(source: bytes, lookup: Lookup) -> list[bool]:
    """Return whether each signature of a message is valid, from the top."""
    count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(source)[0])
    return [_is_valid(source, index, lookup) for index in range(count)]


def _is_valid(source: bytes, index: int, lookup: Lookup) -> bool:
    try:
        return bool(dkim.DKIM(source).verify(index, dnsfunc=lookup))
    except dkim.DKIMException:
        return False

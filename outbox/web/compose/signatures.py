"""The signature below a new mail: the account's own, else the person's."""

from __future__ import annotations

from collections.abc import Sequence

from outbox.models import Account, Preferences

MARK = "-- "  # alone on a line: what follows is a signature (RFC 3676 4.3)


def put_below(text: str, account: Account | None, preferences: Preferences) -> str:
    """Put the signature under what is going to be written."""
    return text + below(_signature(account, preferences))


def below(signature: str) -> str:
    """Write a signature as it stands below a text."""
    return f"\n\n{MARK}\n{signature}" if signature else ""


def by_account(accounts: Sequence[Account], preferences: Preferences) -> dict[str, str]:
    """Return what stands below a text written with each account, by the account's key."""
    return {str(one.pk): below(_signature(one, preferences)) for one in accounts}


def _signature(account: Account | None, preferences: Preferences) -> str:
    own = account.signature if account else ""
    return (own.strip() or preferences.signature.strip()).replace("\r\n", "\n")

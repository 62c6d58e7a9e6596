"""The signature below a new message: the account's own, else the user's."""

from __future__ import annotations

from collections.abc import Sequence

from outbox.models import Account, Preferences

DELIMITER = "-- "  # alone on a line: what follows is a signature (RFC 3676 4.3)


def signature_block(account: Account | None, preferences: Preferences) -> str:
    """Return the signature as it is appended to a text, with its delimiter; empty without one."""
    own = account.signature if account else ""
    signature = (own.strip() or preferences.signature.strip()).replace("\r\n", "\n")
    return f"\n\n{DELIMITER}\n{signature}" if signature else ""


def blocks_by_account(accounts: Sequence[Account], preferences: Preferences) -> dict[str, str]:
    """Return the signature block of each account, by the account's key."""
    return {str(one.pk): signature_block(one, preferences) for one in accounts}

"""When a stored password is void: it is never sent to another server than the one it belongs to."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy

from outbox.models import Account
from outbox.models.account import SERVER_FIELDS

PASSWORD_IS_VOID = gettext_lazy(
    "Enter the password again. The stored one belongs to another server or username."
)


def changed_server_fields(stored: Account, cleaned: Mapping[str, Any]) -> list[str]:
    """Return the fields of the server and login that a form changes in a stored account."""
    if stored._state.adding:
        return []
    return [
        name for name in SERVER_FIELDS if name in cleaned and cleaned[name] != getattr(stored, name)
    ]

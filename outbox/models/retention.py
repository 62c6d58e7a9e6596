"""Retention: how long the content, the conversations and the whole message are kept.

An account has days of its own, or those of the settings. They begin when the delivery of a message
has ended for every recipient. `outbox.delivery.retention` removes what has expired.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from outbox.conf import get_conf
from outbox.models.account import Account


class Part(models.TextChoices):
    """What expires, with the setting and the field of the account that end in `_days`."""

    MESSAGE = "message", _("message")  # with all that belongs to it
    CONTENT = "content", _("content")  # source, attachments, snippet, words of the search
    TRANSCRIPT = "transcript", _("conversations")


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long each part is kept; None: forever."""

    message: dt.timedelta | None = None
    content: dt.timedelta | None = None
    transcript: dt.timedelta | None = None

    def of(self, part: Part) -> dt.timedelta | None:
        """Return for how long a part is kept."""
        found: dt.timedelta | None = getattr(self, part.value)
        return found

    def __bool__(self) -> bool:
        return any(self.of(part) is not None for part in Part)


def retention_of(account: Account | None) -> Retention:
    """Return the retention of the messages of an account, or of those whose account was deleted."""
    return Retention(**{part.value: _kept(account, part) for part in Part})


def _kept(account: Account | None, part: Part) -> dt.timedelta | None:
    days = getattr(account, f"{part.value}_days", None)
    if days is not None:
        return dt.timedelta(days=days) if days else None
    seconds: float = getattr(get_conf(), f"{part.value}_retention")
    return dt.timedelta(seconds=seconds) if seconds else None


class Retentions:
    """The retention of every account, read once."""

    def __init__(self, using: str) -> None:
        own = Q(*[(f"{part.value}_days__isnull", False) for part in Part], _connector=Q.OR)
        accounts = Account.objects.using(using).filter(own)
        self._default = retention_of(None)
        self._own = {account.pk: retention_of(account) for account in accounts}

    def of(self, account_id: int | None) -> Retention:
        """Return the retention of an account's messages."""
        return self._default if account_id is None else self._own.get(account_id, self._default)

    def shortest(self, part: Part) -> dt.timedelta | None:
        """Return the shortest time for which any account keeps a part; None: no part expires."""
        found: Iterable[dt.timedelta | None] = (
            one.of(part) for one in (self._default, *self._own.values())
        )
        return min((kept for kept in found if kept is not None), default=None)

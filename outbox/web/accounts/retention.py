"""The fields of an account's retention, on the pages of its owner."""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from outbox.models.retention import Part, retention_of

RETENTION_FIELDS = {
    "content_days": gettext_lazy("Content, in days"),
    "transcript_days": gettext_lazy("Conversations, in days"),
    "message_days": gettext_lazy("Whole message, in days"),
}


def retention_helps() -> dict[str, str]:
    """Return of each field what it means if it is empty."""
    return {f"{part.value}_days": _default_of(part) for part in Part}


def _default_of(part: Part) -> str:
    kept = retention_of(None).of(part)
    if kept is None:
        return _("Empty: kept forever.")
    days = max(1, round(kept / dt.timedelta(days=1)))
    text = ngettext(
        "Empty: %(days)d day, the site's default. 0: kept forever.",
        "Empty: %(days)d days, the site's default. 0: kept forever.",
        days,
    )
    return text % {"days": days}

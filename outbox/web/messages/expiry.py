"""When the parts of a message expire, and which of them were removed, in sentences."""

from __future__ import annotations

import datetime as dt

from django.db.models import Count, Max, Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, ngettext_lazy

from outbox.api.reasons import in_words
from outbox.api.times import format_date
from outbox.models import FINAL, Message
from outbox.models.removal import REMOVED
from outbox.models.retention import Part, retention_of
from outbox.reasons import Reason, ReasonCode

_ON: dict[Part, str | Promise] = {
    Part.CONTENT: gettext_lazy("The content is removed on %(day)s."),
    Part.TRANSCRIPT: gettext_lazy("The conversations are removed on %(day)s."),
    Part.MESSAGE: gettext_lazy("The message is deleted on %(day)s."),
}
_AFTER = {
    Part.CONTENT: ngettext_lazy(
        "The content is removed %(days)d day after delivery has ended.",
        "The content is removed %(days)d days after delivery has ended.",
        "days",
    ),
    Part.TRANSCRIPT: ngettext_lazy(
        "The conversations are removed %(days)d day after delivery has ended.",
        "The conversations are removed %(days)d days after delivery has ended.",
        "days",
    ),
    Part.MESSAGE: ngettext_lazy(
        "The message is deleted %(days)d day after delivery has ended.",
        "The message is deleted %(days)d days after delivery has ended.",
        "days",
    ),
}
_REMOVED: dict[Part, str | Promise] = {
    Part.CONTENT: gettext_lazy("The content was removed."),
    Part.TRANSCRIPT: gettext_lazy("The conversations were removed."),
}


def expiry_of(message: Message) -> list[str]:
    """Return a sentence for each part that expires, or that was removed."""
    loss = message.content_loss
    removed = _removed(message, loss)
    retention = retention_of(message.account)
    ended_at = _ended_at(message) if retention else None
    sentences = [in_words(loss)] if loss == Reason(ReasonCode.CONTENT_REDACTED) else []
    for part in (Part.CONTENT, Part.TRANSCRIPT, Part.MESSAGE):
        kept = retention.of(part)
        if part in removed:
            sentences.append(str(_REMOVED[part]))
        elif kept is not None and _has(message, part, ended_at):
            sentences.append(_sentence(part, kept, ended_at))
    return sentences


def _removed(message: Message, loss: Reason) -> set[Part]:
    found = set()
    if loss == Reason(ReasonCode.CONTENT_REMOVED):
        found.add(Part.CONTENT)
    if message.attempts.filter(transfer=REMOVED).exists():
        found.add(Part.TRANSCRIPT)
    return found


def _has(message: Message, part: Part, ended_at: dt.datetime | None) -> bool:
    """Return whether the message has the part, or may still get it."""
    if part is Part.CONTENT:
        return not message.is_sensitive
    if part is Part.TRANSCRIPT and ended_at is not None:
        return message.attempts.exclude(transfer="").exists()
    return True


def _ended_at(message: Message) -> dt.datetime | None:
    """Return when delivery ended for the last recipient; None if it has not ended."""
    found = message.recipients.aggregate(
        last=Max("final_at"), open=Count("pk", filter=~Q(state__in=FINAL))
    )
    return None if found["open"] else found["last"]


def _sentence(part: Part, kept: dt.timedelta, ended_at: dt.datetime | None) -> str:
    if ended_at is None:
        days = max(1, round(kept / dt.timedelta(days=1)))
        return str(_AFTER[part] % {"days": days})
    return str(_ON[part]) % {"day": format_date(ended_at + kept, year=True)}

"""Reasons in the reader's language."""

from django.utils.translation import gettext

from outbox.models import FAILURES, Recipient, State
from outbox.texts import Translatable


def in_words(text: Translatable) -> str:
    """Return a reason, or the text of an error, in the reader's language."""
    return text.in_words(gettext)


def reason_of(recipient: Recipient) -> str:
    """Return why a recipient is in its state, in one line: the reply of the server, or a reason."""
    # A deferred recipient may keep an older reply; its reason is always the latest.
    has_reply = recipient.state in FAILURES and recipient.state != State.BOUNCED
    if recipient.reply_code and (has_reply or not recipient.reason):
        return f"{recipient.reply_code} {_first_line(recipient.reply_text)}".strip()
    return _first_line(in_words(recipient.reason))


def remedy_in_words(code: int | None, enhanced: str, text: str) -> str:
    """Return what a known reply of a large provider means, with the remedy; or ""."""
    from outbox.smtp.remedies import policy_remedy_of  # imports the SMTP client
    from outbox.smtp.reply import Reply

    remedy = policy_remedy_of(Reply(code, enhanced, text)) if code else None
    return in_words(remedy) if remedy is not None else ""


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")

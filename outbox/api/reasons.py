"""Why a recipient is in its state, short enough for a row of a list: code and first words."""

from outbox.api.phrases import translate
from outbox.models import FAILURES, Recipient


def reason_of(recipient: Recipient) -> str:
    """Return the server's reply, or the reason of ours where no server replied."""
    # A deferred recipient may keep an older reply; its reason is always the latest.
    if recipient.reply_code and (recipient.state in FAILURES or not recipient.reason):
        return f"{recipient.reply_code} {_first_line(recipient.reply_text)}".strip()
    return translate(_first_line(recipient.reason))


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")

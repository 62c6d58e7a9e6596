"""How replies and dialogues read in the admin."""

from collections.abc import Iterable
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from outbox.models import Attempt, Recipient

EMPTY = "–"
_SPEAKERS = {"C": "→", "S": "←"}  # what we said, what the server said; anything else is a note


def reply(row: Recipient | Attempt) -> str:
    """The server's answer as it was given, or a dash."""
    if row.reply_code is None:
        return EMPTY
    return f"{row.reply_code} {row.reply_text}".strip()


def dialogue(lines: Iterable[list[Any]]) -> str | SafeString:
    """One line per line spoken: milliseconds, who, what. It was masked before it was stored."""
    spoken = [f"{ms:>8.0f} ms  {_SPEAKERS.get(who, ' ')} {text}" for ms, who, text in lines]
    return preformatted("\n".join(spoken)) if spoken else EMPTY


def preformatted(text: str) -> SafeString:
    """Keep the lines as they are, and let nothing of them be markup."""
    return format_html("<pre>{}</pre>", text)

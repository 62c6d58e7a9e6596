"""How replies and transcripts are shown in the admin."""

from collections.abc import Iterable
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from outbox.api.reasons import in_words
from outbox.models import Attempt, Recipient
from outbox.reasons import Reason

EMPTY = "–"
_SPEAKERS = {"C": "→", "S": "←"}  # client and server; a note has no sign


def reply(row: Recipient | Attempt) -> str:
    """Return the server's reply word for word, or a dash."""
    if row.reply_code is None:
        return EMPTY
    return f"{row.reply_code} {row.reply_text}".strip()


def transcript(lines: Iterable[list[Any]]) -> str | SafeString:
    """Return one line for each line of the transcript, which was masked before it was stored."""
    text = [f"{ms:>8.0f} ms  {_line(speaker, line)}" for ms, speaker, line in lines]
    return preformatted("\n".join(text)) if text else EMPTY


def _line(speaker: str, text: str) -> str:
    if speaker in _SPEAKERS:
        return f"{_SPEAKERS[speaker]} {text}"
    return f"  {in_words(Reason.load(text))}"


def breaking_at_domain(addresses: str) -> SafeString:
    """Return addresses that a narrow column breaks before a domain rather than in a word."""
    parts = ((part,) for part in addresses.split("@"))
    return format_html_join(mark_safe("<wbr>@"), "{}", parts)


def preformatted(text: str) -> SafeString:
    """Return the escaped text with its line breaks."""
    return format_html("<pre>{}</pre>", text)

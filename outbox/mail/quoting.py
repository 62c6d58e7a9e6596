"""How a reply and a forward name and quote what they answer.

Only marks that every reader knows: `Re:`, `Fwd:`, `>` before a line (RFC 3676 4.5). What stands
between is the writer's language, so the caller brings it.
"""

import re

_REPLIED = re.compile(r"\s*(?:re|aw|sv|antw|回复|答复)(?:\[\d+\])?\s*[:：]", re.IGNORECASE)
_FORWARDED = re.compile(r"\s*(?:fwd?|wg|tr|转发|轉寄)(?:\[\d+\])?\s*[:：]", re.IGNORECASE)


def reply_subject(subject: str) -> str:
    """Put `Re:` before a subject that has no such mark yet, in whatever language."""
    return subject if _REPLIED.match(subject) else f"Re: {subject}".rstrip()


def forward_subject(subject: str) -> str:
    """Put `Fwd:` before a subject that has no such mark yet, in whatever language."""
    return subject if _FORWARDED.match(subject) else f"Fwd: {subject}".rstrip()


def quoted(text: str) -> str:
    """Mark every line as somebody else's; a line that was quoted before gets no further blank."""
    lines = text.rstrip().split("\n")
    return "\n".join(f">{line}" if line[:1] in {"", ">"} else f"> {line}" for line in lines)

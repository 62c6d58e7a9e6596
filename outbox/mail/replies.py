"""How a reply or a forward refers to the message before it: subject, quotation and References.

Marks that every mail client knows are added here: `Re:`, `Fwd:` and `>` (RFC 3676 4.5). Text in the
author's language comes from the caller.
"""

import re

from outbox.mail.header_writer import is_message_id
from outbox.mail.transfer_encodings import MAX_LINE

MAX_REFERENCES = 4_000  # characters; the first message of the thread and the latest ones are listed

_REPLIED = re.compile(r"\s*(?:re|aw|sv|antw|回复|答复)(?:\[\d+\])?\s*[:：]", re.IGNORECASE)
_FORWARDED = re.compile(r"\s*(?:fwd?|wg|tr|转发|轉寄)(?:\[\d+\])?\s*[:：]", re.IGNORECASE)
_ID = re.compile(r"<[^<>\s]+>")


def reply_subject(subject: str) -> str:
    """Return a subject with `Re:` in front, unless it has such a mark in any known language."""
    return subject if _REPLIED.match(subject) else f"Re: {subject}".rstrip()


def forward_subject(subject: str) -> str:
    """Return a subject with `Fwd:` in front, unless it has such a mark in any known language."""
    return subject if _FORWARDED.match(subject) else f"Fwd: {subject}".rstrip()


def quoted(text: str) -> str:
    """Return a text with `>` before each line; a line that is a quotation gets no further space."""
    lines = text.rstrip().split("\n")
    return "\n".join(f">{line}" if line[:1] in {"", ">"} else f"> {line}" for line in lines)


def bare_message_id(value: str) -> str:
    """Return the id in a Message-ID or In-Reply-To header, without brackets.

    It has at most as many bytes as a line: no valid id is longer, and an index can store it.
    """
    found = _ID.search(value)
    text = found[0][1:-1] if found else " ".join(value.split()).strip("<> ")
    return text.encode()[:MAX_LINE].decode("utf-8", "ignore")


def references_of_reply(message_id: str, references: str, in_reply_to: str = "") -> list[str]:
    """Return the References of a reply, from three header values of its parent (RFC 5322 3.6.4).

    The values may come from another system: invalid ids and duplicates are left out.
    """
    older = _ids(references)
    if not older and len(_ids(in_reply_to)) == 1:
        older = _ids(in_reply_to)
    chain = list(dict.fromkeys([*older, *_ids(message_id)]))
    room = MAX_REFERENCES - sum(len(known) + 1 for known in chain[:1])
    latest: list[str] = []
    for known in reversed(chain[1:]):
        room -= len(known) + 1
        if room < 0:
            break
        latest.insert(0, known)
    return chain[:1] + latest


def _ids(value: str) -> list[str]:
    return [found for found in _ID.findall(value) if is_message_id(found)]

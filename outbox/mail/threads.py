"""How a reply names what it answers (RFC 5322 3.6.4)."""

import re

from outbox.mail.encodings import MAX_LINE
from outbox.mail.headers import is_message_id

MAX_REFERENCES = 4_000  # characters; the thread's first mail and the nearest ones are kept

_ID = re.compile(r"<[^<>\s]+>")


def bare_message_id(value: str) -> str:
    """Return the id in a Message-ID or In-Reply-To header, without brackets.

    At most as many bytes as a line can have, which no id exceeds and an index can hold.
    """
    found = _ID.search(value)
    text = found[0][1:-1] if found else " ".join(value.split()).strip("<> ")
    return text.encode()[:MAX_LINE].decode("utf-8", "ignore")


def references_of_reply(message_id: str, references: str, in_reply_to: str = "") -> list[str]:
    """Answer the References of a reply, made from the three header values of its parent.

    They come from a stranger: what is no message id is left out, doubles too.
    """
    older = _ids(references)
    if not older and len(_ids(in_reply_to)) == 1:
        older = _ids(in_reply_to)
    chain = list(dict.fromkeys([*older, *_ids(message_id)]))
    room = MAX_REFERENCES - sum(len(known) + 1 for known in chain[:1])
    nearest: list[str] = []
    for known in reversed(chain[1:]):
        room -= len(known) + 1
        if room < 0:
            break
        nearest.insert(0, known)
    return chain[:1] + nearest


def _ids(value: str) -> list[str]:
    return [found for found in _ID.findall(value) if is_message_id(found)]

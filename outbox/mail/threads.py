"""The conversation that a message belongs to, as a hash of the Message-ID that started it."""

import hashlib

from outbox.mail.replies import bare_message_id

THREAD_LENGTH = 32  # hexadecimal digits
_MAX_VALUE = 2_000  # characters of a field that are read: the first id is at its beginning


def thread_of(message_id: str, references: str = "", in_reply_to: str = "") -> str:
    """Return the thread of a message, from the values of three header fields; "" without any id.

    The first id of References names the start of the conversation (RFC 5322 3.6.4). A message
    without References continues that of In-Reply-To, and otherwise starts its own.
    """
    for value in (_first_of(references), in_reply_to, message_id):
        if started_by := bare_message_id(value[:_MAX_VALUE]):
            digest = hashlib.sha256(started_by.encode("utf-8", "replace"))
            return digest.hexdigest()[:THREAD_LENGTH]
    return ""


def _first_of(references: str) -> str:
    """Return the first id of References; some programs write ids without brackets."""
    start = references[:_MAX_VALUE]
    return start if "<" in start else next(iter(start.split()), "")

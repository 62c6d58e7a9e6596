"""The reply of a server without what is specific to one message, and the key of such replies.

Two replies belong to one group if they differ only in addresses, hosts, ids, numbers and times.
`reply_kinds` says what the replies of a group are about.
"""

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

NORMALIZED_MAX = 500  # characters
ENHANCED_MAX = 12  # characters, as recipients store it
_READ = 1_000  # characters of a reply; what distinguishes replies is at their beginning
_PLACEHOLDER = "…"
# Possessive quantifiers and lookaheads of a limited length take linear time for any reply.
_ADDRESS = re.compile(r"<[^<>\s]*+>|[^\s@]{1,100}+@[^\s@]++")
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}+"
_DATE = (
    r"\b(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}+,? )?"
    rf"(?:[0-9]{{1,2}}[ -]{_MONTH}\b|{_MONTH} [0-9]{{1,2}}\b)"
)
_SPECIFIC = re.compile(
    rf"https?://[^ ]++|{_DATE}"
    r"|[+-]?\b(?=[a-z_-]{0,100}+[0-9])[\w.:/+=-]++"  # a number, or an id with a digit
    r"|\b[\w-]{1,63}+(?:\.[\w-]{2,63}+)++"  # a host
)
_REPEATED = re.compile(rf"{_PLACEHOLDER}(?:[ ,;:()\[\].-]{{0,3}}+{_PLACEHOLDER})++")


class FailureKind(StrEnum):
    """What a failure is about."""

    RECIPIENT = "recipient"  # the mailbox is unknown, disabled or full
    CONTENT = "content"  # spam, a virus, the size, the format
    INFRASTRUCTURE = "infrastructure"  # login, blocklist, rate, policy, TLS, connection
    UNKNOWN = ""  # no rule explains it


class Effect(StrEnum):
    """What a failure means for its recipient."""

    HARD = "hard"  # the mailbox does not exist: no further message reaches it
    SOFT = "soft"  # of the mailbox or the message, and not for ever
    INFRASTRUCTURE = "infrastructure"  # not of the recipient: it never leads to a suppression


class NormalizedReply(NamedTuple):
    """What the replies of one group have in common.

    A failure without a reply has the code 0, and the code of its reason as its text.
    """

    code: int
    enhanced: str
    text: str

    @property
    def key(self) -> int:
        """The key of the group, from 1 to 2**63 - 1. It is stored, so it must never change."""
        return _key(self)


def without_addresses(text: str) -> str:
    """Return the beginning of a reply in one line of lower case, without email addresses."""
    return " ".join(_ADDRESS.sub(_PLACEHOLDER, text[:_READ].lower()).split())


@lru_cache(maxsize=512)
def normalize(text: str) -> str:
    """Return the reply without addresses, hosts, ids, numbers and times."""
    found = _SPECIFIC.sub(_PLACEHOLDER, without_addresses(text))
    return _REPEATED.sub(_PLACEHOLDER, found)[:NORMALIZED_MAX]


def normalized_reply(code: int, enhanced: str, text: str) -> NormalizedReply:
    """Return what a reply has in common with the others of its group."""
    return NormalizedReply(code, enhanced[:ENHANCED_MAX], normalize(text))


@lru_cache(maxsize=512)
def _key(reply: NormalizedReply) -> int:
    text = f"{reply.code} {reply.enhanced} {reply.text}"
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return int.from_bytes(digest[:8]) >> 1 or 1

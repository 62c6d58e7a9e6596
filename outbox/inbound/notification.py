"""Notifications in prose: the failed recipients in what a server wrote for people.

A notification has a text of its own and often a copy of the original message after it. Addresses
are taken from the own text only, by what is around them in their line.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from itertools import islice

from outbox.inbound.address_text import Found, find_addresses
from outbox.inbound.received import Fields, header_fields

_MAX_LINES = 1_000  # of the own text
_MAX_LINE = 2_000
_MAX_CANDIDATES = 1_000  # addresses that are judged
_MAX_REASON = 500
_MAX_END = 200  # characters of the line before the original message
_MAX_REASON_LINES = 12

# Scores of addresses: from which on an address is certainly, likely or possibly a recipient's.
CERTAIN, LIKELY, POSSIBLE = 90, 60, 40

_TEXTS: dict[str, list[str]] = tomllib.loads(
    (resources.files("outbox.inbound") / "notification_texts.toml").read_text("utf-8")
)
FAILURE, DELAY = tuple(_TEXTS["failure"]), tuple(_TEXTS["delay"])
ENDS = tuple(_TEXTS["ends"])
SUBJECTS, VAGUE_SUBJECTS = tuple(_TEXTS["subjects"]), tuple(_TEXTS["vague_subjects"])
AUTO_REPLY_SUBJECTS = tuple(_TEXTS["auto_reply_subjects"])
# Texts that only programs write, whatever the header of the message is: all parts of one entry.
_TEMPLATES = (("error message below:", "message details:", "rcpt to:"),)
# One word of each entry, which no white space can separate.
_TEMPLATE_WORDS = tuple(max(" ".join(parts).split(), key=len) for parts in _TEMPLATES)
_REJECTION = ("rejected", "quota", "refused", "could not be delivered")

_HEADER_LINE = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60}+):(?:[ \t]|$)")
_TYPICAL = frozenset(
    {"received", "return-path", "message-id", "mime-version", "content-type", "dkim-signature"}
)
_COMMON = _TYPICAL | {"from", "to", "subject", "date", "cc", "reply-to", "sender"}
_MIN_HEADER = 3  # fields of a block that is taken for the header of the original message

# Lines whose addresses are not those of recipients.
_NOT_RECIPIENT = re.compile(
    r"mail from|envelope-from|contact|e-?mail us|postmaster|webmaster|helpdesk|assist|support"
    r"|abuse@|questions?\b|please (?:send|write|e-?mail|forward|call|visit|see|use|refer|go)"
    r"|sent by|message[ -]id|https?:|\bmailto:|\bsender\b|^\W{0,3}from\b|\bfrom:|\breply-to"
    r"|return-path|^\W{0,3}subject\b|\bmessage from\b|\bmail from\b|\bauthor\b|\bwritten by"
    r"|^\W{0,3}(?:x|arc|dkim|received|authentication)-?[a-z-]{0,40}:|\bon behalf of\b|complain"
    r"|unsubscribe|\bcopyright\b|kontakt"
)
_NAMED = re.compile(
    r"rcpt to|error-for:|expanded from|smtp:|addressed(?: to)?,?$|recipient(?:'s|s)? "
    r"|\b(?:final|original|failed|failing|intended|invalid|undeliverable|bad|unknown|rejected"
    r"|envelope|actual)[ -](?:recipients?|address(?:es)?|users?|mailbox|e-?mail)"
    r"|^\W{0,4}(?:recipients?|empf\w{1,10}|destinatar\w{1,4}|addressee|e-?mail address|address"
    r"|user|mailbox)(?:\(s\)|s)?(?: (?:address|name))? ?:"
    r"|delivering (?:your|the|this|a)? ?(?:mail|message|e-?mail) to"
    r"|(?:mail|message|e-?mail|deliver\w{0,3}) (?:\w{1,12} ){0,3}to (?:the )?(?:following )?"
    r"(?:recipient|address|user|mailbox)?s?"
)
_OF_SENDER = ("mail from", "message-id", "from:")
_OF_RECIPIENT = ("rcpt to", "failed recipient", "expanded from")
_CODE_BEFORE = re.compile(r"[245]\d\d(?:[ -][245]\.\d{1,3}\.\d{1,3})?")
_FAILED_WORDS = re.compile(
    r"unknown|not found|no such|reject|could ?n[o']t|unable|undeliver|not deliver|\bfail|\bfull\b"
    r"|quota|not exist|doesn't exist|\berror\b|invalid|disabled|refused|denied|\b[45]\d\d\b"
    r"|\b[45]\.\d{1,3}\.\d|inactive|not (?:a )?valid|not listed|no longer|isn't|deactivated"
    r"|blocked|not known|unrouteable|too large|exceed|expired|suspended|closed|cannot|can't"
    r"|not accept|not local|timed? ?out|returned|malformed|incorrect"
)


@dataclass(slots=True)
class Candidate:
    """An address in a notification, how likely it is that of a recipient, and the text at it."""

    address: str
    score: int
    line: int
    reason: str = ""


@dataclass(slots=True)
class Notification:
    """The own text of a notification, and the header of the original message after it."""

    lines: list[str]
    original: Fields = field(default_factory=list)
    low: str = ""  # the own text in one line and in lower case

    def __post_init__(self) -> None:
        self.low = " ".join(" ".join(self.lines).lower().replace("’", "'").split())

    @property
    def is_failure(self) -> bool:
        """Whether the text says that delivery failed, or that it is being tried again."""
        return any(text in self.low for text in FAILURE) or self.is_delay

    @property
    def is_rejection(self) -> bool:
        """Whether the text says that the message was rejected."""
        return any(text in self.low for text in _REJECTION)

    @property
    def is_template(self) -> bool:
        """Whether only a program writes such a text."""
        return any(all(part in self.low for part in parts) for parts in _TEMPLATES)

    @property
    def is_delay(self) -> bool:
        """Whether the text says that delivery is being tried again."""
        return any(text in self.low for text in DELAY)


def may_be_template(low: str) -> bool:
    """Return whether a text in lower case has the words that each template has."""
    return any(word in low for word in _TEMPLATE_WORDS)


def read_notification(text: str) -> Notification:
    """Return the own text of a notification, separated from the original message."""
    lines = [line[:_MAX_LINE] for line in text.split("\n")]
    end, start = _end_of_notification(lines)
    original = lines[start:]
    while original and not original[0].strip():
        original.pop(0)
    block = _header_block(original)
    head = "\n".join(original[:block]).encode("utf-8", "replace")
    return Notification(lines[:end], header_fields(head) if block else [])


def _end_of_notification(lines: Sequence[str]) -> tuple[int, int]:
    """Return where the own text ends, and where the original message may begin."""
    lines_read = lines[:_MAX_LINES]
    whole = "\n".join(lines_read).lower()
    ends = [text for text in ENDS if text in whole]  # most messages have none: no look at each line
    for number, line in enumerate(lines_read):
        if _HEADER_LINE.match(line) and _is_header(lines[number : number + 80]):
            return number, number
        if ends and number and _is_end(line.lower(), ends):
            return number, number + 1
    return min(len(lines), _MAX_LINES), len(lines)


def _is_end(low: str, ends: Sequence[str]) -> bool:
    return len(low) < _MAX_END and any(text in low for text in ends)


def _header_block(lines: Sequence[str]) -> int:
    """Return how many lines at the start are header fields."""
    for number, line in enumerate(lines[:500]):
        if not _HEADER_LINE.match(line) and not (
            number and line[:1] in {" ", "\t"} and line.strip()
        ):
            return number
    return min(len(lines), 500)


def _is_header(lines: Sequence[str]) -> bool:
    """Return whether the lines begin with the header of a message."""
    names = set()
    for line in lines[: _header_block(lines)]:
        if match := _HEADER_LINE.match(line):
            names.add(match[1].lower())
    return len(names & _COMMON) >= _MIN_HEADER and bool(names & _TYPICAL)


@lru_cache(maxsize=64)  # two readers ask in a row
def is_subject_of_notification(subject: str, *, vague: bool) -> bool:
    """Return whether a subject is one of a notification; a vague one may be that of a person."""
    low = " ".join(subject.lower().replace("’", "'").split())
    return any(text in low for text in (*SUBJECTS, *(VAGUE_SUBJECTS if vague else ())))


def candidates(notification: Notification) -> list[Candidate]:
    """Return the addresses in the own text with their scores and reasons.

    A text may consist of addresses. The number of those that are judged is limited, and what does
    not depend on the address is searched once for each line.
    """
    found = list(_scored(notification.lines))
    starts = {one.line for one in found}
    reasons = {line: _reason(notification.lines, line, starts) for line in starts}
    for one in found:
        one.reason = reasons[one.line]
    return found


class _Line:
    """A line of the own text, and what its words say, which is searched at most once."""

    def __init__(self, text: str, *, is_announced: bool) -> None:
        self.text = text
        self.low = text.lower().replace("’", "'")
        self.is_announced = is_announced  # by a sentence about a failure in the lines before

    @cached_property
    def is_about_others(self) -> bool:
        """Whether the addresses are not those of recipients."""
        return _NOT_RECIPIENT.search(self.low) is not None

    @cached_property
    def announces(self) -> bool:
        """Whether a sentence says that delivery failed."""
        return any(text in self.low for text in FAILURE)

    @cached_property
    def is_about_failure(self) -> bool:
        """Whether the line says that delivery failed, in a sentence or a word."""
        return self.announces or _FAILED_WORDS.search(self.low) is not None


def _scored(lines: Sequence[str]) -> Iterator[Candidate]:
    announced = 0  # how many lines after a sentence about a failure
    room = _MAX_CANDIDATES
    for number, text in enumerate(lines):
        line = _Line(text, is_announced=announced > 0)
        addresses = list(islice(find_addresses(text), room))
        if text.lstrip()[:1] == ">" and not text.lstrip().startswith((">>>", "> ")):
            addresses = []
        for one in addresses:
            if score := _score(line, one):
                yield Candidate(one.address, score, number)
        room -= len(addresses)
        if room == 0:
            return
        if line.announces:
            announced = 8
        elif text.strip() and not addresses:
            announced -= 1


def _score(line: _Line, found: Found) -> int:
    """Return how likely an address is that of a failed recipient."""
    before = line.low[: found.start].strip(" \t<\"'*[(->")
    after = line.low[found.end :].strip(" \t>\"'*])")
    if any(text in before for text in _OF_SENDER):
        return 0
    if _is_certain(line.text, before, after, found):
        return 95
    if not before and (not after or after in {",", ";", ".", "-"}):
        return 80 if line.is_announced else LIKELY
    if line.is_about_others:
        return 0
    if line.is_about_failure or _NAMED.search(before):
        return 70
    return POSSIBLE if line.is_announced else 10


def _is_certain(line: str, before: str, after: str, found: Found) -> bool:
    """Return whether an address is where servers write only that of a recipient."""
    if not before:
        is_labeled = line[found.end : found.end + 2] == ">:"
        return is_labeled or after.startswith((":", "...", "(", "on "))
    if _CODE_BEFORE.fullmatch(before) and after.startswith("..."):
        return True
    return before.endswith("dda:smtp") or any(text in before for text in _OF_RECIPIENT)


def _reason(lines: Sequence[str], number: int, starts: set[int]) -> str:
    """Return the text at an address: the rest of its paragraph, or the next one."""
    taken: list[str] = [lines[number].strip()]
    for at in range(number + 1, min(number + _MAX_REASON_LINES, len(lines))):
        line = lines[at].strip()
        if not line and len(taken) > 1 and _FAILED_WORDS.search(" ".join(taken[1:]).lower()):
            break
        if at in starts and len(taken) > 1:
            break
        if line:
            taken.append(line)
    return " ".join(" ".join(taken).split())[:_MAX_REASON]

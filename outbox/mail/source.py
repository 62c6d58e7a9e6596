"""A message that arrives already rendered: made fit for the wire once, and known by its facts.

Nothing is altered but line endings. What no server could take, and what two servers could read
as two different mails, is refused in the caller's stack (RFC 5322 2.1, 2.2 and 3.6).
These functions run once for every mail an app sends: no parse of MIME here, and no loop over lines.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from outbox.mail.words import decode_words

MAX_LINE = 998  # RFC 5322 2.1.1, CRLF not counted

_FIELD = re.compile(rb"([!-9;-~]+):((?:[^\r]|\r\n[ \t])*)\r\n")
_ONCE = frozenset(
    {b"date", b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"message-id",
     b"in-reply-to", b"references", b"mime-version", b"content-type",
     b"content-transfer-encoding"}
)  # fmt: skip
_BCC = re.compile(rb"^(?:resent-)?bcc:(?:[^\r]|\r\n[ \t])*\r\n", re.IGNORECASE | re.MULTILINE)
_DATE = re.compile(
    r"(?:\w{3}, )?(\d\d?) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII
)
_MONTHS = {
    "Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6,
    "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12,
}  # fmt: skip


class SourceError(ValueError):
    """The bytes can never be sent as they are; the message says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What sending and listing need to know of a source without opening it again."""

    size: int
    is_8bit: bool
    needs_smtputf8: bool  # a header holds UTF-8 (RFC 6532); an address may need it as well
    longest_line: int
    message_id: str  # "" when it has none
    subject: str
    date: datetime | None
    sha256: str


def normalise(source: bytes) -> bytes:
    """End every line in CRLF, the last one too. Raises SourceError for NUL and header tricks."""
    if b"\0" in source:
        raise SourceError("the message has a NUL byte in it")
    if b"\r" in source:
        _refuse_mixed_endings(source)
        source = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not source.endswith(b"\n"):
        source += b"\n"
    return source.replace(b"\n", b"\r\n")


def _refuse_mixed_endings(source: bytes) -> None:
    """Refuse a header whose lines end in two ways: the rarer one was smuggled into a value."""
    ends = source.count(b"\r\n")
    if ends == source.count(b"\r") == source.count(b"\n"):
        return
    head = re.split(rb"\n\r?\n|\r\r", source, maxsplit=1)[0] + b"\n"
    crlf = head.count(b"\r\n") + head.endswith(b"\r\n")
    if head.count(b"\r") - head.count(b"\r\n") or 0 < crlf < head.count(b"\n") - 1:
        raise SourceError("a header has a stray line break in it")


def validate_source(source: bytes) -> SourceFacts:
    """Refuse what cannot be sent and tell the rest's facts; the source is a normalised one."""
    end = source.find(b"\r\n\r\n") + 2
    head = source[:end] if end > 1 else source
    fields = _fields(head)
    longest = max(map(len, source.split(b"\r\n")))
    if longest > MAX_LINE:
        raise SourceError(f"a line has {longest:,} bytes; {MAX_LINE} is the most (RFC 5322 2.1.1)")
    return SourceFacts(
        size=len(source),
        is_8bit=not source.isascii(),
        needs_smtputf8=not head.isascii(),
        longest_line=longest,
        message_id=fields.get(b"message-id", b"").decode("utf-8").strip(),
        subject=_text(fields.get(b"subject", b"")),
        date=_date(fields.get(b"date", b"")),
        sha256=hashlib.sha256(source).hexdigest(),
    )


def _fields(head: bytes) -> dict[bytes, bytes]:
    pairs = _FIELD.findall(head)
    if sum(len(name) + len(value) + 3 for name, value in pairs) != len(head):
        raise SourceError("the header has a line that is no header field")
    fields = {name.lower(): value for name, value in pairs}
    if len(fields) != len(pairs):
        _refuse_doubles([name.lower() for name, _ in pairs])
    if b"from" not in fields:
        raise SourceError("the message has no From header")
    if not head.isascii():
        _refuse_raw_bytes(head)
    return fields


def _refuse_doubles(names: list[bytes]) -> None:
    for name in _ONCE:
        if names.count(name) > 1:
            raise SourceError(f"the message has more than one {name.decode().title()} header")


def _refuse_raw_bytes(head: bytes) -> None:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        raise SourceError("a header has bytes outside ASCII that are not UTF-8") from None


def _text(value: bytes) -> str:
    text = value.decode("utf-8").replace("\r\n", "").strip()
    return decode_words(text) if "=?" in text else text


def _date(value: bytes) -> datetime | None:
    text = value.decode("utf-8").strip()
    match = _DATE.fullmatch(text)
    try:
        if not match:
            date = parsedate_to_datetime(text)
            return date if date.tzinfo else date.replace(tzinfo=UTC)
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        zone = timezone(offset if sign == "+" else -offset)
        return datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second),
                        tzinfo=zone)  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return None


def strip_bcc(source: bytes) -> bytes:
    """Take the Bcc and Resent-Bcc fields out of the header (RFC 5322 3.6.3)."""
    end = source.find(b"\r\n\r\n") + 2
    head = source[:end] if end > 1 else source
    if b"bcc" not in head.lower():
        return source
    return _BCC.sub(b"", head) + source[len(head) :]

"""A message that arrives already rendered: made fit for the wire once, and known by its facts.

Nothing is altered but line endings. What no server has to take, and what two readers could take
for two different mails, is refused in the caller's stack (RFC 5322 2.1, 2.2 and 3.6).
These functions run for every mail an app sends: no MIME is parsed here, no loop goes over lines.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from outbox.mail.addresses import AddressError, parse_address_header
from outbox.mail.encodings import MAX_LINE
from outbox.mail.headers import date_field, ids_field
from outbox.mail.words import decode_words

_FIELD = re.compile(rb"([!-9;-~]++):([^\r]*+(?:\r\n[ \t][^\r]*+)*+)\r\n|(.+)", re.DOTALL)
_ONCE = frozenset(
    {b"date", b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"message-id",
     b"in-reply-to", b"references", b"mime-version", b"content-type",
     b"content-transfer-encoding"}
)  # fmt: skip
_BCC = re.compile(
    rb"^(?:resent-)?bcc:[^\r]*+(?:\r\n[ \t][^\r]*+)*+\r\n", re.IGNORECASE | re.MULTILINE
)
_DATE_FIELD = re.compile(rb"^date:[^\r]*+(?:\r\n[ \t][^\r]*+)*+\r\n", re.IGNORECASE | re.MULTILINE)
_LINE_END = rb"(?>\r\n|\r|\n)"
_HEAD = re.compile(rb".*?" + _LINE_END * 2, re.DOTALL)
_DATE = re.compile(
    r"(?:\w{3}, )?(\d\d?) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII
)
_MONTHS = {
    "Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6,
    "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12,
}  # fmt: skip
_MAX_SHOWN = 60  # bytes of a line that an error shows


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
    date: datetime | None  # None when it has none that can be read
    sha256: str


def normalise(source: bytes) -> bytes:
    """End every line in CRLF, the last one too. Raises SourceError for NUL and header tricks."""
    if b"\0" in source:
        raise SourceError("the message has a NUL byte in it")
    lines = source.replace(b"\r\n", b"\n")
    if b"\r" in lines:
        lines = lines.replace(b"\r", b"\n")
    if not lines.endswith(b"\n"):
        lines += b"\n"
    normal = lines.replace(b"\n", b"\r\n")
    if b"\r" in source and normal != source:
        _refuse_mixed_head(source)
    return normal


def _refuse_mixed_head(source: bytes) -> None:
    """Refuse a header whose lines end in two ways: the odd one came in with somebody's value."""
    found = _HEAD.match(source)
    head = found.group() if found else source
    ends = {end if end != b"\r" else b"\r alone" for end in re.findall(_LINE_END, head)}
    if ends - {b"\r\n"} and ends - {b"\n"}:
        raise SourceError("the header has a stray line break in it")


def validate_source(source: bytes) -> SourceFacts:
    """Return the facts of a source that is sent as it is. Raise SourceError where it cannot be.

    What `normalise` and `strip_bcc` would change is refused: the caller passes the final bytes.
    """
    lines = source.split(b"\r\n")
    _refuse_odd_bytes(source, len(lines) - 1)
    head = _head(source)
    fields = _fields(head)
    if b"bcc" in fields or b"resent-bcc" in fields:
        raise SourceError("the message has a Bcc header, which every recipient would see")
    longest = max(map(len, lines))
    if longest > MAX_LINE:
        raise SourceError(f"a line has {longest:,} bytes; {MAX_LINE} is the most (RFC 5322 2.1.1)")
    return SourceFacts(
        len(source),
        not source.isascii(),
        not head.isascii(),
        longest,
        fields.get(b"message-id", b"").decode().strip(),
        _text(fields.get(b"subject", b"")),
        _date(fields.get(b"date", b"")),
        hashlib.sha256(source).hexdigest(),
    )


def _refuse_odd_bytes(source: bytes, line_ends: int) -> None:
    """Refuse what SMTP servers reject or read in two ways (RFC 5321 2.3.8)."""
    if b"\0" in source:
        raise SourceError("the message has a NUL byte in it")
    if source.count(b"\n") != line_ends or source.count(b"\r") != line_ends:
        raise SourceError("the message has a line that does not end in CRLF")
    if not source.endswith(b"\r\n"):
        raise SourceError("the last line of the message does not end in CRLF")


def complete(source: bytes, *, date: datetime, message_id: str) -> bytes:
    """Put a Date and a Message-ID in front of a source that lacks them (RFC 5322 3.6)."""
    fields = _fields(_head(source))
    if b"message-id" not in fields:
        source = ids_field("Message-ID", [message_id], "message_id") + source
    if b"date" not in fields:
        source = date_field("Date", date, "date") + source
    return source


def replace_date(source: bytes, before: datetime, after: datetime) -> bytes:
    """Replace a Date that names `before`, to the second; a source with another one is unchanged."""
    head = _head(source)
    stated = _date(_fields(head).get(b"date", b""))
    if stated is None or stated != before.replace(microsecond=0):
        return source
    return _DATE_FIELD.sub(date_field("Date", after, "date"), head, count=1) + source[len(head) :]


def longest_line(source: bytes) -> tuple[int, int]:
    """Return the bytes and the number, from 1, of the first of the longest lines."""
    lengths = [len(line) for line in source.split(b"\r\n")]
    longest = max(lengths)
    return longest, lengths.index(longest) + 1


def strip_bcc(source: bytes) -> bytes:
    """Take the Bcc and Resent-Bcc fields out of a normalised source (RFC 5322 3.6.3)."""
    head = _head(source)
    if b"bcc:" not in head.lower():
        return source
    return _BCC.sub(b"", head) + source[len(head) :]


def _head(source: bytes) -> bytes:
    end = source.find(b"\r\n\r\n")
    return source[: end + 2] if end >= 0 else source


def _fields(head: bytes) -> dict[bytes, bytes]:
    """Read all fields by their lower-case name; of those that may repeat, the last."""
    found = _FIELD.findall(head)
    if found[-1][2]:
        line = found[-1][2].partition(b"\r\n")[0][:_MAX_SHOWN]
        raise SourceError(f"the header has a line that is no header field: {ascii(line)[1:]}")
    fields = {name.lower(): value for name, value, _ in found}
    if len(fields) != len(found):
        _refuse_doubles(name.lower() for name, _, _ in found)
    if b"from" not in fields:
        raise SourceError("the message has no From header")
    if b"," in fields[b"from"] and b"sender" not in fields:
        _refuse_many_authors(fields[b"from"])
    if not head.isascii():
        _refuse_raw_bytes(head)
    return fields


def _refuse_doubles(names: Iterable[bytes]) -> None:
    for name, count in Counter(names).items():
        if count > 1 and name in _ONCE:
            raise SourceError(f"the message has {count} {name.decode().title()} headers")


def _refuse_many_authors(value: bytes) -> None:
    """Ask for a Sender where From has several addresses (RFC 5322 3.6.2)."""
    try:
        authors = parse_address_header(value.decode("utf-8", "replace"))
    except AddressError:
        return  # From is the author's affair; whether it can be read is not ours to judge
    if len(authors) > 1:
        raise SourceError("From has several addresses, but there is no Sender header")


def _refuse_raw_bytes(head: bytes) -> None:
    try:
        head.decode()
    except UnicodeDecodeError:
        raise SourceError("the header has bytes outside ASCII that are not UTF-8") from None


def _text(value: bytes) -> str:
    text = value.decode().replace("\r\n", "").strip()
    return decode_words(text) if "=?" in text else text


def _date(value: bytes) -> datetime | None:
    text = value.decode().strip()
    try:
        return _usual_date(text) or _any_date(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _usual_date(text: str) -> datetime | None:
    """Read the form that nearly all software writes, in a tenth of the library's time."""
    match = _DATE.fullmatch(text)
    if not match or match[2] not in _MONTHS:
        return None
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    zone = timezone(offset if sign == "+" else -offset)
    clock = (int(hour), int(minute), int(second))
    return datetime(int(year), _MONTHS[month], int(day), *clock, tzinfo=zone)


def _any_date(text: str) -> datetime:
    date = parsedate_to_datetime(text)
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000": UTC, place unknown

"""Validate rendered messages, and extract the facts that sending and listing need.

Only line endings are changed. A source is rejected in the caller's stack if servers may reject it,
or if two programs could read it differently (RFC 5322 2.1, 2.2 and 3.6). These functions run for
every message of an app, so they parse no MIME and have no loop over lines.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from outbox.exceptions import TranslatableError
from outbox.mail.addresses import AddressError, parse_address_header
from outbox.mail.dates import read_date
from outbox.mail.encoded_words import decode_words
from outbox.mail.header_writer import date_field
from outbox.mail.transfer_encodings import MAX_LINE
from outbox.texts import gettext_noop

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
_MAX_SHOWN = 60  # bytes of a line that an error shows


class SourceError(TranslatableError, ValueError):
    """The bytes cannot be sent; the error says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Facts of a source that sending and listing need without reading it again."""

    size: int
    is_8bit: bool
    needs_smtputf8: bool  # a header contains UTF-8 (RFC 6532); addresses may need it as well
    message_id: str  # "" if it has none
    subject: str
    sha256: str


def normalize(source: bytes) -> bytes:
    """Return the source with CRLF after every line.

    Raise SourceError for a NUL byte, or a header with mixed line endings.
    """
    if b"\0" in source:
        raise SourceError(gettext_noop("the message has a NUL byte in it"))
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
    """Raise SourceError if the lines of the header end differently: a value was not validated."""
    found = _HEAD.match(source)
    head = found.group() if found else source
    ends = {end if end != b"\r" else b"\r alone" for end in re.findall(_LINE_END, head)}
    if ends - {b"\r\n"} and ends - {b"\n"}:
        raise SourceError(gettext_noop("the header has a stray line break in it"))


def validate_source(source: bytes) -> SourceFacts:
    """Return the facts of a source that is sent as it is. Raise SourceError where it cannot be.

    What `normalize` and `strip_bcc` would change is refused: the caller passes the final bytes.
    """
    lines = source.split(b"\r\n")
    _refuse_odd_bytes(source, len(lines) - 1)
    head = _head(source)
    fields = _fields(head)
    if b"bcc" in fields or b"resent-bcc" in fields:
        template = gettext_noop("the message has a Bcc header, which every recipient would see")
        raise SourceError(template)
    longest = max(map(len, lines))
    if longest > MAX_LINE:
        template = gettext_noop("a line has %(count)s bytes; %(most)s is the most (RFC 5322 2.1.1)")
        raise SourceError(template, count=longest, most=MAX_LINE)
    return SourceFacts(
        len(source),
        not source.isascii(),
        not head.isascii(),
        fields.get(b"message-id", b"").decode().strip(),
        _text(fields.get(b"subject", b"")),
        hashlib.sha256(source).hexdigest(),
    )


def _refuse_odd_bytes(source: bytes, line_ends: int) -> None:
    """Raise SourceError for bytes that servers reject or interpret differently (RFC 5321 2.3.8)."""
    if b"\0" in source:
        raise SourceError(gettext_noop("the message has a NUL byte in it"))
    if source.count(b"\n") != line_ends or source.count(b"\r") != line_ends:
        raise SourceError(gettext_noop("the message has a line that does not end in CRLF"))
    if not source.endswith(b"\r\n"):
        raise SourceError(gettext_noop("the last line of the message does not end in CRLF"))


def replace_date(source: bytes, before: datetime, after: datetime) -> bytes:
    """Return the source with another Date, unless its Date differs from `before` by a second."""
    head = _head(source)
    stated = read_date(_fields(head).get(b"date", b"").decode())
    if stated is None or stated != before.replace(microsecond=0):
        return source
    return _DATE_FIELD.sub(date_field("Date", after, "date"), head, count=1) + source[len(head) :]


def longest_line(source: bytes) -> tuple[int, int]:
    """Return the bytes and the number, from 1, of the first of the longest lines."""
    lengths = [len(line) for line in source.split(b"\r\n")]
    longest = max(lengths)
    return longest, lengths.index(longest) + 1


def strip_bcc(source: bytes) -> bytes:
    """Return a normalized source without Bcc and Resent-Bcc fields (RFC 5322 3.6.3)."""
    head = _head(source)
    if b"bcc:" not in head.lower():
        return source
    return _BCC.sub(b"", head) + source[len(head) :]


def from_header_of(source: bytes) -> str:
    """Return the value of the header From; empty if there is none. Raise SourceError."""
    return _fields(_head(source)).get(b"from", b"").decode("utf-8", "replace").strip()


def _head(source: bytes) -> bytes:
    end = source.find(b"\r\n\r\n")
    return source[: end + 2] if end >= 0 else source


def _fields(head: bytes) -> dict[bytes, bytes]:
    """Return all fields by their lower-case name; of repeated ones, the last."""
    found = _FIELD.findall(head)
    if found[-1][2]:
        line = found[-1][2].partition(b"\r\n")[0][:_MAX_SHOWN]
        template = gettext_noop("the header has a line that is not a header field: %(line)s")
        raise SourceError(template, line=ascii(line)[1:])
    fields = {name.lower(): value for name, value, _ in found}
    if len(fields) != len(found):
        _refuse_doubles(name.lower() for name, _, _ in found)
    if b"from" not in fields:
        raise SourceError(gettext_noop("the message has no From header"))
    if b"," in fields[b"from"] and b"sender" not in fields:
        _refuse_many_authors(fields[b"from"])
    if not head.isascii():
        _refuse_raw_bytes(head)
    return fields


def _refuse_doubles(names: Iterable[bytes]) -> None:
    for name, count in Counter(names).items():
        if count > 1 and name in _ONCE:
            template = gettext_noop("the message has %(count)s %(name)s headers")
            raise SourceError(template, count=count, name=name.decode().title())


def _refuse_many_authors(value: bytes) -> None:
    """Raise SourceError if From has several addresses and there is no Sender (RFC 5322 3.6.2)."""
    try:
        authors = parse_address_header(value.decode("utf-8", "replace"))
    except AddressError:
        return  # an unreadable From is sent as it is
    if len(authors) > 1:
        raise SourceError(gettext_noop("From has several addresses, but there is no Sender header"))


def _refuse_raw_bytes(head: bytes) -> None:
    try:
        head.decode()
    except UnicodeDecodeError:
        template = gettext_noop("the header has bytes outside ASCII that are not UTF-8")
        raise SourceError(template) from None


def _text(value: bytes) -> str:
    text = value.decode().replace("\r\n", "").strip()
    return decode_words(text) if "=?" in text else text

"""Header fields ready for the wire: folded, encoded, and refused where they could inject.

Every function answers a whole field, CRLF included, of lines up to 76 characters where a blank
allows it and never over 998 (RFC 5322 2.1.1). Text outside ASCII becomes encoded words; only a
local part outside ASCII stays UTF-8, since nothing else can carry it (RFC 6532).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from outbox.mail.addresses import Address, quote_name
from outbox.mail.words import MAX_WORD, encode_words

FOLD_AT = 76  # RFC 2047 2 for lines with encoded words; within RFC 5322's 78 for all others
MAX_PLAIN_WORD = 900  # the longest that is not folded: with its field's name it stays under 998
_MAX_QUOTED_NAME = 60

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_UNWRITABLE = re.compile("[\r\n\0\ud800-\udfff]")
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_BARE = r"[A-Za-z0-9._+@=,()~#&-]+"
_PLAIN_PARAMETER = re.compile(rf"(?=.{{1,60}}\Z){_BARE}(?: {_BARE})*")
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{1,{MAX_PLAIN_WORD}}}>")


class HeaderError(ValueError):
    """A header that must not be sent; `field` names it as the composer knows it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


def check_name(name: str) -> None:
    """Refuse a field name outside printable ASCII or with a colon (RFC 5322 2.2)."""
    if not _FIELD_NAME.fullmatch(name):
        raise HeaderError(ascii(name)[1:-1][:76], "is no header name")


def check_text(field: str, text: str) -> None:
    """Refuse what could end the line early, or cannot be encoded at all."""
    if found := _UNWRITABLE.search(text):
        what = "a line break or NUL" if found.group() in "\r\n\0" else "half a character"
        raise HeaderError(field, f"has {what} in it")


def is_message_id(text: str) -> bool:
    """Know `<…>` of printable ASCII; what stands inside is the affair of its maker."""
    return _MESSAGE_ID.fullmatch(text) is not None


def plain_field(name: str, value: str) -> bytes:
    """Write a field whose short value this package made itself."""
    return f"{name}: {value}\r\n".encode("ascii")


def date_field(name: str, date: datetime, field: str) -> bytes:
    """Write a date with a numeric zone (RFC 5322 3.3). Raises HeaderError for one without zone."""
    offset = date.utcoffset()
    if offset is None:
        raise HeaderError(field, "has no time zone")
    if offset.total_seconds() % 60:
        date = date.astimezone(UTC)  # zones before 1900 had seconds, which a header cannot say
    return plain_field(name, format_datetime(date))


def text_field(name: str, value: str, field: str = "") -> bytes:
    """Write an unstructured field, in encoded words where plain ASCII would not survive."""
    check_name(name)
    check_text(field or name, value)
    if not value:
        return f"{name}:\r\n".encode("ascii")
    if _survives_plain(value):
        return _folded(name, value.split(" "))
    return _folded(name, encode_words(value, _first_room(name)))


def address_field(name: str, addresses: Sequence[Address]) -> bytes:
    """Write a list of addresses, folded between them and inside long names."""
    words: list[str] = []
    for address in addresses:
        if words:
            words[-1] += ","
        if address.name:
            words.extend(_name_words(address.name, MAX_WORD if words else _first_room(name)))
        words.append(f"<{address.wire}>" if address.name else address.wire)
    return _folded(name, words)


def _name_words(name: str, first_room: int) -> list[str]:
    quoted = quote_name(name)
    # Quotes can be folded at their own blanks only, and some readers stumble there.
    if _survives_plain(name) and len(quoted) <= _MAX_QUOTED_NAME:
        return [quoted]
    return encode_words(name, first_room)


def ids_field(name: str, ids: Iterable[str], field: str) -> bytes:
    """Write message ids. Raises HeaderError for what is none (RFC 5322 3.6.4)."""
    for message_id in (ids := list(ids)):
        if not is_message_id(message_id):
            raise HeaderError(field, f"has {message_id[:50]!r} in it, which is no message id")
    return _folded(name, ids)


def parameter_field(name: str, value: str, parameters: Iterable[str]) -> bytes:
    """Write `name: value; parameter; …`, folded between parameters."""
    words = [value, *parameters]
    return _folded(name, [f"{word};" for word in words[:-1]] + words[-1:])


def parameter(name: str, value: str) -> list[str]:
    """Write a MIME parameter in as many sections as it needs (RFC 2231 3 and 4.1)."""
    if _PLAIN_PARAMETER.fullmatch(value):
        return [f'{name}="{value}"']
    sections = list(_percent_sections(value, FOLD_AT - len(f" {name}*99*=utf-8'';")))
    if len(sections) == 1:
        return [f"{name}*=utf-8''{sections[0]}"]
    sections[0] = "utf-8''" + sections[0]
    return [f"{name}*{number}*={section}" for number, section in enumerate(sections)]


def _percent_sections(value: str, room: int) -> Iterator[str]:
    """Cut between characters: readers are known to decode each section by itself."""
    section = ""
    for char in value:
        encoded = quote(char, safe="")
        if len(section) + len(encoded) > room:
            yield section
            section = ""
        section += encoded
    yield section


def _survives_plain(value: str) -> bool:
    if not _PLAIN.fullmatch(value) or "=?" in value:
        return False
    return max(map(len, value.split(" "))) <= MAX_PLAIN_WORD


def _first_room(name: str) -> int:
    return FOLD_AT - len(f"{name}: ")


def _folded(name: str, words: Sequence[str]) -> bytes:
    """Put words behind the name, breaking the line before a word that does not fit.

    Never before the first: readers exist that lose a value which starts on the second line.
    """
    lines = [f"{name}:"]
    for number, word in enumerate(words):
        if number and len(lines[-1]) + 1 + len(word) > FOLD_AT:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join([*lines, ""]).encode()

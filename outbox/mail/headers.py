"""Header fields ready for the wire: folded, encoded, and refused where they could inject.

Every function returns a whole field, CRLF included. Text outside ASCII becomes encoded words; only
a local part outside ASCII stays UTF-8, since nothing else can carry it (RFC 6532).

No line has over 998 bytes (RFC 5322 2.1.1). Lines end by 76 characters where a blank allows it,
but never between a name and its address: the 78 of RFC 5322 are a recommendation, and servers
exist that read the first line of From alone and refuse the message for want of an address. So an
address with a plain name, or with a name of one encoded word, stays on one line. The words of a
longer name are folded between each other, because RFC 2047 2 limits lines with encoded words.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from outbox.mail.addresses import Address, quote_name
from outbox.mail.encodings import MAX_LINE
from outbox.mail.words import MAX_WORD, encode_words

FOLD_AT = 76  # RFC 2047 2 for lines with encoded words; within RFC 5322's 78 for all others
_MAX_WORD = MAX_LINE - len(" ")  # on a line of its own
_MAX_PLAIN_WORD = 900  # of prose: what is longer becomes encoded words

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_UNWRITABLE = re.compile("[\r\n\0\ud800-\udfff]")
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_ENCODED_WORD_START = re.compile(r"=\?[^?]*+\?[bq]\?", re.IGNORECASE)
_BRACKET = re.compile(r" +<[^<>]*>[,;]?")
_BARE = r"[A-Za-z0-9._+@=,()~#&-]+"
_PLAIN_PARAMETER = re.compile(rf"(?=.{{1,60}}\Z){_BARE}(?: {_BARE})*")
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{1,{_MAX_WORD - 2}}}>")


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
    """Return whether it is `<…>` of printable ASCII that fits a line, whatever stands inside."""
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
    """Write a list of addresses, folded between them and between the encoded words of a name."""
    pieces: list[str] = []
    for address in addresses:
        if pieces:
            pieces[-1] += ","
        mailbox = f"<{address.wire}>" if address.name else address.wire
        if address.name:
            room = MAX_WORD if pieces else _first_room(name)
            pieces += [f" {word}" for word in _name_words(address.name, room, len(mailbox))]
        pieces.append(f" {mailbox}")
    return folded_field(name, pieces)


def _name_words(name: str, first_room: int, mailbox: int) -> list[str]:
    quoted = quote_name(name)
    if _survives_plain(name) and len(quoted) + mailbox <= _MAX_PLAIN_WORD:
        return [quoted]
    words = encode_words(name, MAX_WORD)
    if len(words) == 1:
        return words
    # The last word shares its line with the mailbox: short words fit there, but for a long one.
    room = FOLD_AT - len("  ,") - mailbox
    return encode_words(name, first_room, room if room > MAX_WORD // 3 else MAX_WORD)


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


def has_encoded_word(text: str) -> bool:
    """Return whether a reader may find an encoded word in it; some accept blanks inside of one."""
    end = text.rfind("?=")
    return end >= 0 and _ENCODED_WORD_START.search(text, 0, end) is not None


def _survives_plain(value: str) -> bool:
    if not _PLAIN.fullmatch(value) or "=?" in value:
        return False
    return max(map(len, value.split(" "))) <= _MAX_PLAIN_WORD


def _first_room(name: str) -> int:
    return FOLD_AT - len(f"{name}: ")


def folded_field(name: str, pieces: Sequence[str]) -> bytes:
    """Put pieces behind the name, each with the blanks before it, and fold between them.

    Neither a name and the `<…>` behind it are parted, nor what has no blank between. Raises
    HeaderError, naming the field, for what fits no line.
    """
    if pieces and not pieces[0].startswith(" "):
        pieces = [f" {pieces[0]}", *pieces[1:]]
    return _lines(name, _unparted(pieces))


def _unparted(pieces: Sequence[str]) -> list[str]:
    units: list[str] = []
    start = 0  # of the phrase that a "<" would belong to
    for piece in pieces:
        if units and not piece.startswith(" "):
            units[-1] += piece
        elif _BRACKET.match(piece) and units[start:]:
            units[start:] = _with_bracket(units[start:], piece)
        else:
            units.append(piece)
        if piece.endswith((",", ";", ">")):
            start = len(units)
    return units


def _with_bracket(phrase: Sequence[str], bracket: str) -> list[str]:
    """Join all of it where a line can hold it, else the last word and the bracket."""
    whole = "".join([*phrase, bracket])
    if _bytes(whole) <= (FOLD_AT if "=?" in whole else MAX_LINE):
        return [whole]
    *first, last = phrase
    if _bytes(last + bracket) <= MAX_LINE:
        return [*first, last + bracket]
    return [*phrase, bracket]


def _folded(name: str, words: Sequence[str]) -> bytes:
    return _lines(name, [f" {word}" for word in words])


def _lines(name: str, units: Sequence[str]) -> bytes:
    """Break the line before a unit that does not fit.

    Before the first only where it must be: readers exist that lose a value which starts on the
    second line.
    """
    lines = [f"{name}:"]
    for number, unit in enumerate(units):
        length = _bytes(lines[-1]) + _bytes(unit)
        if length > (FOLD_AT if number else MAX_LINE):
            if _bytes(unit) > MAX_LINE:
                raise HeaderError(name, f"has a word of more than {_MAX_WORD} characters in it")
            lines.append("")
        lines[-1] += unit
    return "\r\n".join([*lines, ""]).encode()


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())

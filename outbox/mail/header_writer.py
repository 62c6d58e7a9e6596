"""Format header fields: fold, encode, and reject values that would inject another field.

Every function returns a whole field, CRLF included. Text outside ASCII becomes encoded words; only
a local part outside ASCII stays UTF-8, because it has no other form (RFC 6532).

No line has more than 998 bytes (RFC 5322 2.1.1). Lines are folded at spaces before 76 characters,
but never between a name and its address: the 78 of RFC 5322 are a recommendation, and some servers
read only the first line of From and reject the message because it has no address. So an address
with a plain name, or with a name of one encoded word, stays on one line. A longer name is folded
between its words, because RFC 2047 2 limits lines with encoded words.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from outbox.exceptions import TranslatableError
from outbox.mail.addresses import Address, quote_name
from outbox.mail.encoded_words import MAX_WORD, encode_words
from outbox.mail.transfer_encodings import MAX_LINE
from outbox.texts import Value, gettext_noop

FOLD_AT = 76  # RFC 2047 2 for lines with encoded words; within RFC 5322's 78 for all others
_MAX_WORD = MAX_LINE - len(" ")  # on a line of its own
_MAX_PLAIN_WORD = 900  # characters; longer words become encoded words
X_PRIORITY = {"high": "1", "normal": "3", "low": "5"}  # the value of the field by importance

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_UNWRITABLE = re.compile("[\r\n\0\ud800-\udfff]")
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_ENCODED_WORD_START = re.compile(r"=\?[^?]*+\?[bq]\?", re.IGNORECASE)
_BRACKET = re.compile(r" +<[^<>]*>[,;]?")
_BARE = r"[A-Za-z0-9._+@=,()~#&-]+"
_PLAIN_PARAMETER = re.compile(rf"(?=.{{1,60}}\Z){_BARE}(?: {_BARE})*")
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{1,{_MAX_WORD - 2}}}>")


class HeaderError(TranslatableError, ValueError):
    """A header that must not be sent; `field` is its name in the composer."""

    def __init__(self, field: str, template: str, /, **values: Value) -> None:
        super().__init__(template, field=field, **values)
        self.field = field


def check_name(name: str) -> None:
    """Refuse a field name outside printable ASCII or with a colon (RFC 5322 2.2)."""
    if not _FIELD_NAME.fullmatch(name):
        raise HeaderError(
            ascii(name)[1:-1][:76], gettext_noop("%(field)s is not a valid header name")
        )


def check_text(field: str, text: str) -> None:
    """Raise HeaderError for a text that would end the line, or that cannot be encoded."""
    if found := _UNWRITABLE.search(text):
        if found.group() in "\r\n\0":
            raise HeaderError(field, gettext_noop("%(field)s has a line break or NUL in it"))
        raise HeaderError(field, gettext_noop("%(field)s has half a character in it"))


def is_message_id(text: str) -> bool:
    """Return whether a text is `<…>` with any printable ASCII that fits on a line."""
    return _MESSAGE_ID.fullmatch(text) is not None


def plain_field(name: str, value: str) -> bytes:
    """Return a field with a short value that this package generated."""
    return f"{name}: {value}\r\n".encode("ascii")


def date_field(name: str, date: datetime, field: str) -> bytes:
    """Return a date with a numeric zone (RFC 5322 3.3). Raise HeaderError if it has no zone."""
    offset = date.utcoffset()
    if offset is None:
        raise HeaderError(field, gettext_noop("%(field)s has no time zone"))
    if offset.total_seconds() % 60:
        date = date.astimezone(UTC)  # zones before 1900 have seconds, which headers do not support
    return plain_field(name, format_datetime(date))


def text_field(name: str, value: str, field: str = "") -> bytes:
    """Return an unstructured field, with encoded words if the text is not plain ASCII."""
    check_name(name)
    check_text(field or name, value)
    if not value:
        return f"{name}:\r\n".encode("ascii")
    if _survives_plain(value):
        return _folded(name, value.split(" "))
    return _folded(name, encode_words(value, _first_room(name)))


def address_field(name: str, addresses: Sequence[Address]) -> bytes:
    """Return a list of addresses, folded between them and between the encoded words of a name."""
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
    # The last word shares a line with the mailbox: use short words, unless the mailbox is long.
    room = FOLD_AT - len("  ,") - mailbox
    return encode_words(name, first_room, room if room > MAX_WORD // 3 else MAX_WORD)


def ids_field(name: str, ids: Iterable[str], field: str) -> bytes:
    """Return a field of message ids. Raise HeaderError for an invalid one (RFC 5322 3.6.4)."""
    for message_id in (ids := list(ids)):
        if not is_message_id(message_id):
            template = gettext_noop("%(field)s contains %(id)s, which is not a message id")
            raise HeaderError(field, template, id=repr(message_id[:50]))
    return _folded(name, ids)


def parameter_field(name: str, value: str, parameters: Iterable[str]) -> bytes:
    """Return `name: value; parameter; …`, folded between parameters."""
    words = [value, *parameters]
    return _folded(name, [f"{word};" for word in words[:-1]] + words[-1:])


def parameter(name: str, value: str) -> list[str]:
    """Return a MIME parameter in as many sections as it needs (RFC 2231 3 and 4.1)."""
    if _PLAIN_PARAMETER.fullmatch(value):
        return [f'{name}="{value}"']
    sections = list(_percent_sections(value, FOLD_AT - len(f" {name}*99*=utf-8'';")))
    if len(sections) == 1:
        return [f"{name}*=utf-8''{sections[0]}"]
    sections[0] = "utf-8''" + sections[0]
    return [f"{name}*{number}*={section}" for number, section in enumerate(sections)]


def _percent_sections(value: str, room: int) -> Iterator[str]:
    """Yield sections that end between characters: some programs decode each one separately."""
    section = ""
    for char in value:
        encoded = quote(char, safe="")
        if len(section) + len(encoded) > room:
            yield section
            section = ""
        section += encoded
    yield section


def has_encoded_word(text: str) -> bool:
    """Return whether a program may find an encoded word; some accept spaces inside one."""
    end = text.rfind("?=")
    return end >= 0 and _ENCODED_WORD_START.search(text, 0, end) is not None


def _survives_plain(value: str) -> bool:
    if not _PLAIN.fullmatch(value) or "=?" in value:
        return False
    return max(map(len, value.split(" "))) <= _MAX_PLAIN_WORD


def _first_room(name: str) -> int:
    return FOLD_AT - len(f"{name}: ")


def folded_field(name: str, pieces: Sequence[str]) -> bytes:
    """Return a field of pieces, each with the spaces before it, folded between them.

    A name is not separated from the `<…>` after it, nor are pieces without a space between them.
    Raise HeaderError, naming the field, if a piece is too long for a line.
    """
    if pieces and not pieces[0].startswith(" "):
        pieces = [f" {pieces[0]}", *pieces[1:]]
    return _lines(name, _unparted(pieces))


def _unparted(pieces: Sequence[str]) -> list[str]:
    joined: list[str] = []
    start = 0  # of the phrase that a "<" would belong to
    for piece in pieces:
        if joined and not piece.startswith(" "):
            joined[-1] += piece
        elif _BRACKET.match(piece) and joined[start:]:
            joined[start:] = _with_bracket(joined[start:], piece)
        else:
            joined.append(piece)
        if piece.endswith((",", ";", ">")):
            start = len(joined)
    return joined


def _with_bracket(phrase: Sequence[str], bracket: str) -> list[str]:
    """Join a phrase and its bracket if they fit on a line, else the last word and the bracket."""
    whole = "".join([*phrase, bracket])
    if _bytes(whole) <= (FOLD_AT if "=?" in whole else MAX_LINE):
        return [whole]
    *first, last = phrase
    if _bytes(last + bracket) <= MAX_LINE:
        return [*first, last + bracket]
    return [*phrase, bracket]


def _folded(name: str, words: Sequence[str]) -> bytes:
    return _lines(name, [f" {word}" for word in words])


def _lines(name: str, pieces: Sequence[str]) -> bytes:
    """Break the line before a piece that does not fit.

    The first piece is only moved to the second line if it must be: some programs lose a value that
    starts there.
    """
    lines = [f"{name}:"]
    for number, piece in enumerate(pieces):
        length = _bytes(lines[-1]) + _bytes(piece)
        if length > (FOLD_AT if number else MAX_LINE):
            if _bytes(piece) > MAX_LINE:
                template = gettext_noop(
                    "%(field)s has a word of more than %(count)s characters in it"
                )
                raise HeaderError(name, template, count=_MAX_WORD)
            lines.append("")
        lines[-1] += piece
    return "\r\n".join([*lines, ""]).encode()


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())

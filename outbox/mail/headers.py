"""Header lines ready for the wire: folded, encoded, and refused where they could inject.

Every function answers a whole field, CRLF included, of lines up to 78 characters where white
space allows it and never over 998 (RFC 5322 2.1.1). Text outside ASCII becomes encoded words;
only a local part outside ASCII stays UTF-8, since nothing else can carry it (RFC 6532).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from outbox.mail.addresses import Address, quote_name
from outbox.mail.words import MAX_WORD, encode_words

FOLD_AT = 76  # RFC 2047 2 for lines with encoded words; within RFC 5322's 78 for all others
MAX_LINE = 998
MAX_WORD_PLAIN = 900  # with the name of its field it stays within MAX_LINE
MAX_QUOTED_NAME = 60

_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")
_PLAIN = re.compile(r"[!-~]+(?: +[!-~]+)*")
_PLAIN_PARAMETER = re.compile(r"[A-Za-z0-9._+@=, ()~#&-]{1,60}")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")


class HeaderError(ValueError):
    """A header that must not be sent; `field` names it as the composer knows it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


def check_text(field: str, text: str) -> None:
    """Refuse what could end the line early or cannot be encoded at all."""
    for char in text:
        if char in "\r\n\0":
            raise HeaderError(field, "has a line break or NUL character in it")
        if unicodedata.category(char) == "Cs":
            raise HeaderError(field, "has half a character in it, which cannot be encoded")


def text_field(name: str, value: str, field: str = "") -> bytes:
    """Write an unstructured field, in encoded words where plain ASCII would not survive."""
    check_name(name)
    check_text(field or name, value)
    if _survives_plain(value):
        return _folded(name, _at_blanks(value))
    return _joined(name, encode_words(value, FOLD_AT - len(name) - 2))


def check_name(name: str) -> None:
    """Refuse a field name outside printable ASCII or with a colon (RFC 5322 2.2)."""
    if not _FIELD_NAME.fullmatch(name):
        raise HeaderError(name[:70], "is no valid header name")


def _survives_plain(value: str) -> bool:
    if not value:
        return True
    return (
        _PLAIN.fullmatch(value) is not None
        and "=?" not in value
        and max(map(len, value.split())) <= MAX_WORD_PLAIN
    )


def address_field(name: str, addresses: Sequence[Address]) -> bytes:
    """Write a list of addresses, folded between them and inside long names."""
    words: list[str] = []
    for number, address in enumerate(addresses):
        comma = "," if number < len(addresses) - 1 else ""
        words.extend(_address_words(address, comma))
    return _joined(name, words)


def _address_words(address: Address, comma: str) -> Iterable[str]:
    if not address.name:
        return [address.wire + comma]
    return [*_name_words(address.name), f"<{address.wire}>{comma}"]


def _name_words(name: str) -> list[str]:
    if _survives_plain(name):
        quoted = quote_name(name)
        # A quoted name can be folded at its own blanks only, so a long one goes encoded.
        if len(quoted) <= MAX_QUOTED_NAME:
            return [quoted]
    return encode_words(name, MAX_WORD)


def ids_field(name: str, ids: Sequence[str], field: str) -> bytes:
    """Write message ids, each checked to be `<…>` of printable ASCII (RFC 5322 3.6.4)."""
    for message_id in ids:
        if not _MESSAGE_ID.fullmatch(message_id):
            raise HeaderError(field, f"has {message_id[:60]!r}, which is no message id")
    return _joined(name, ids)


def plain_field(name: str, value: str) -> bytes:
    """Write a field whose value this package made itself."""
    return f"{name}: {value}\r\n".encode("ascii")


def parameter(name: str, value: str) -> list[str]:
    """Write a MIME parameter as the pieces of one or more lines (RFC 2231 3 and 4)."""
    if _PLAIN_PARAMETER.fullmatch(value):
        return [f'{name}="{value}"']
    pieces = _percent_pieces(value, room=FOLD_AT - len(name) - 20)
    if len(pieces) == 1:
        return [f"{name}*=utf-8''{pieces[0]}"]
    first = f"{name}*0*=utf-8''{pieces[0]}"
    return [first, *(f"{name}*{n}*={piece}" for n, piece in enumerate(pieces[1:], start=1))]


def _percent_pieces(value: str, room: int) -> list[str]:
    pieces = [""]
    for char in value:
        encoded = quote(char, safe="")
        if len(pieces[-1]) + len(encoded) > room:
            pieces.append("")
        pieces[-1] += encoded
    return pieces


def parameter_field(name: str, value: str, parameters: Iterable[str]) -> bytes:
    """Write `name: value; parameter; …`."""
    words = [value, *parameters]
    return _joined(name, [word + ";" for word in words[:-1]] + [words[-1]])


def _at_blanks(value: str) -> list[str]:
    """Cut before blanks so that joining gives the value back, blanks in a row included."""
    return re.findall(r" *[^ ]+", value)


def _joined(name: str, words: Sequence[str]) -> bytes:
    return _folded(name, [word if n == 0 else " " + word for n, word in enumerate(words)])


def _folded(name: str, words: Sequence[str]) -> bytes:
    lines = [f"{name}: "]
    for word in words:
        if len(lines[-1]) + len(word) > FOLD_AT and word.startswith(" "):
            lines.append(word)
        else:
            lines[-1] += word
    return ("\r\n".join(lines) + "\r\n").encode()

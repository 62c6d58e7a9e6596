"""Header fields that a caller names, such as List-Unsubscribe or X-Campaign.

A value of printable ASCII is unchanged. In other values, only the words outside ASCII are encoded,
so that no URI or address becomes part of an encoded word, where programs do not look for it (RFC
2047 5). A URI outside ASCII is percent-encoded, a domain is written in A-labels.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote

from outbox.mail.addresses import Address, AddressError, parse_address_header
from outbox.mail.encoded_words import MAX_WORD, encode_words
from outbox.mail.header_writer import (
    FOLD_AT,
    HeaderError,
    address_field,
    check_name,
    check_text,
    folded_field,
    has_encoded_word,
)
from outbox.texts import gettext_noop

# Fields whose whole value is a list of addresses.
_ADDRESSES = frozenset(
    {"disposition-notification-to", "errors-to", "mail-followup-to", "mail-reply-to",
     "resent-cc", "resent-from", "resent-sender", "resent-to", "return-receipt-to",
     "x-confirm-reading-to"}
)  # fmt: skip
# Fields in which the amount of white space has no meaning (RFC 2369 2, RFC 2919 3).
_STRUCTURED = _ADDRESSES | {
    "archived-at", "list-archive", "list-help", "list-id", "list-owner", "list-post",
    "list-subscribe", "list-unsubscribe", "list-unsubscribe-post",
}  # fmt: skip

# Fields with long base64 tokens, in which programs skip white space (RFC 6376 3.5, RFC 8617 4).
# In other fields a space would change the value.
_BASE64 = frozenset(
    {"arc-message-signature", "arc-seal", "autocrypt", "autocrypt-gossip", "dkim-signature", "face",
     "x-face", "x-google-dkim-signature"}
)  # fmt: skip

_PRINTABLE = re.compile(r"[ -~]*+")
_WORD = re.compile(r"(?P<blank>(?<! ) *+)(?P<word><[^<>]*+>[,;]?+|[^ <]++|<)")
# Without "<" only for schemes that are not words of prose.
_URI = re.compile(
    r"(?P<scheme>(?:<[a-z][a-z0-9+.-]{0,30}+|https?|ftp|mailto):(?!\s))"
    r"(?P<slashes>//(?:[^/?#@<>]*+@)?+)?+"
    r"(?P<host>(?(slashes)[^/?#:<>]*+))(?P<rest>[^<>]*+)(?P<close>>?[,;]?+)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?P<open><?[!-'*+\--9=?A-Z^-~]++@)(?P<host>[^ <>()@,;:]++)(?P<close>>?[,;]?+)"
)
_HAS_ADDRESS = re.compile(r"<[^<>@ ]++@[^<>@ ]++>")
_LIST_ID = re.compile(r"(?P<open><)(?P<host>[^<>]++)(?P<close>>)")
_INVISIBLE = "\u200b\u2060\ufeff"  # characters at the ends of text copied from a page or a file
_MAX_TOKEN = 900  # characters that are not folded
_LONG_TOKEN = re.compile(rf"\S{{{_MAX_TOKEN},}}+")
_VISIBLE = "".join(map(chr, range(33, 127)))


def custom_field(name: str, value: str) -> bytes:
    """Return the field. Raise HeaderError, naming the field, if the value cannot be sent."""
    check_name(name)
    check_text(name, value)
    text = _normalized(name, value)
    if name.lower() in _ADDRESSES:
        addresses = _addresses(name, text)
        if not text.isascii():
            return address_field(name, addresses)
    return folded_field(name, list(_pieces(name, text)))


def _normalized(name: str, value: str) -> str:
    """Return the value without stray white space, such as the line break at the end of a template.

    Tabs and no-break spaces become spaces if nothing else needs encoding.
    """
    text = value.strip().strip(_INVISIBLE).strip()
    if name.lower() in _STRUCTURED:
        text = " ".join(text.split())
        return text if len(text) <= _MAX_TOKEN else re.sub(r">,(?=<)", ">, ", text)
    if name.lower() in _BASE64:
        text = _LONG_TOKEN.sub(lambda found: re.sub(r".{70}(?=.)", r"\g<0> ", found[0]), text)
    spaced = re.sub(r"\s", " ", text)
    return spaced if _PRINTABLE.fullmatch(spaced) else text


def _addresses(name: str, text: str) -> list[Address]:
    try:
        return parse_address_header(text)
    except AddressError as error:
        template = gettext_noop("%(field)s has an address that cannot be read: %(why)s")
        raise HeaderError(name, template, why=error) from error


def _pieces(name: str, text: str) -> Iterator[str]:
    """Yield the words, each with the spaces before it; encode those outside ASCII.

    An encoded word is separated by one space. Further spaces are encoded with the text, because
    some programs drop them.
    """
    if _PRINTABLE.fullmatch(text) and not _would_be_decoded(name, text):
        yield from (found["blank"] + found["word"] for found in _WORD.finditer(text))
        return
    room = FOLD_AT - len(f"{name}: ")
    prose: str | None = None  # text to be encoded, collected over several words
    for found in _WORD.finditer(text):
        blank, word = found["blank"], _in_ascii(name, found["word"])
        if not _PRINTABLE.fullmatch(word) or "=?" in word:
            prose = blank[1:] + word if prose is None else prose + blank + word
            continue
        if prose is not None:
            yield from _encoded(prose + blank[1:], room)
            prose, blank = None, " "
        yield blank + word
        room = MAX_WORD
    if prose is not None:
        yield from _encoded(prose, room)


def _would_be_decoded(name: str, text: str) -> bool:
    """Return whether a program would decode the text to another one.

    Next to an address, an encoded word is a name that the caller encoded, as `formataddr` does.
    """
    if name.lower() in _STRUCTURED or _HAS_ADDRESS.search(text):
        return False
    return has_encoded_word(text)


def _encoded(prose: str, room: int) -> list[str]:
    return [f" {word}" for word in encode_words(prose, room)]


def _in_ascii(name: str, word: str) -> str:
    """Return a URI or an address in its ASCII form, and any other word unchanged.

    Raise HeaderError for an invalid host, unless the field may contain any text.
    """
    try:
        return _uri_or_address(name, word)
    except HeaderError:
        if name.lower() in _STRUCTURED:
            raise
        return word


def _uri_or_address(name: str, word: str) -> str:
    if found := _URI.fullmatch(word):
        return _uri(name, found)
    if not word.isascii():
        is_list_id = name.lower() == "list-id"
        if found := _ADDRESS.fullmatch(word) or (is_list_id and _LIST_ID.fullmatch(word)) or None:
            return found["open"] + _a_labels(name, found["host"]) + found["close"]
    return word


def _uri(name: str, found: re.Match[str]) -> str:
    host = found["host"] or ""
    if not host.isascii():
        host = _a_labels(name, host)
    before, after = (quote(found[part] or "", safe=_VISIBLE) for part in ("slashes", "rest"))
    return found["scheme"] + before + host + after.replace("=?", "=%3F") + found["close"]


def _a_labels(name: str, host: str) -> str:
    try:
        return Address("", "x", host).wire.partition("@")[2]
    except AddressError as error:
        template = gettext_noop("%(field)s has “%(host)s” in it, which is not a valid host name")
        raise HeaderError(name, template, host=host[:60]) from error

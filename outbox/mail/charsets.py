"""Bytes of a declared charset to text, whatever was declared; it never raises."""

import codecs
import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Codecs of Python that are no charset of mail, and take quadratic time or run escapes.
_NOT_A_CHARSET = frozenset(
    {
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "undefined",
        "mbcs",
        "oem",
        "unicode-escape",
        "raw-unicode-escape",
    }
)
# Senders that say these mean the larger charset of Windows (WHATWG Encoding).
_MEANT = {"ascii": "utf-8", "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}


def decode_text(data: bytes, charset: str) -> str:
    """Decode as declared; else as UTF-8, else as Windows-1252; bad bytes become U+FFFD."""
    for name in (_codec(charset), "utf-8"):
        if name:
            try:
                return data.decode(name)
            except (UnicodeError, ValueError):
                continue
    return data.decode(_codec(charset) or "cp1252", "replace")


def _codec(charset: str) -> str:
    """The codec to use for a declared charset, "" for one unknown."""
    name = charset.strip().strip("\"'")
    if not _NAME.fullmatch(name):
        return ""
    try:
        found = codecs.lookup(name)
    except LookupError:
        return ""
    if found.name in _NOT_A_CHARSET or not found._is_text_encoding:
        return ""
    return _MEANT.get(found.name, found.name)

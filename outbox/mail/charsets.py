"""Decode bytes of a declared charset, even if the declaration is wrong.

Decoding never raises, and databases can store the text: it has no NUL and no lone surrogate.
"""

import codecs
import re
from functools import lru_cache

from outbox.texts import storable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Python codecs that are not charsets of email, and take quadratic time or evaluate escapes.
_NOT_A_CHARSET = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
# Declared charsets, and the supersets that senders actually use (WHATWG Encoding 4.2).
_MEANT = {
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}


def decode_text(data: bytes, charset: str) -> str:
    """Decode as declared, else as UTF-8, else as Windows-1252; invalid bytes become U+FFFD."""
    declared = _codec(charset)
    for name in (declared or "utf-8", "utf-8"):
        try:
            return storable(data.decode(name))
        except UnicodeError:
            continue
    return storable(data.decode(declared or "cp1252", "replace"))


def _codec(charset: str) -> str:
    """Return the codec for a declared charset, "" for an unknown one."""
    name = charset.strip("\"' ")
    return _known_codec(name) if _NAME.fullmatch(name) else ""


@lru_cache(maxsize=256)
def _known_codec(name: str) -> str:
    try:
        found = codecs.lookup(name).name
        b" ".decode(found, "replace")  # LookupError: not an encoding of text, such as zlib
    except (LookupError, UnicodeError):
        return ""
    return "" if found in _NOT_A_CHARSET else _MEANT.get(found, found)

"""Bytes of a declared charset to text, whatever was declared.

It never raises, and the text can be stored anywhere: no NUL, no half of a surrogate pair.
"""

import codecs
import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
# Codecs of Python that are no charset of mail, and take quadratic time or run escapes.
_NOT_A_CHARSET = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
# Senders that say the one write the other, a superset of it (WHATWG Encoding 4.2).
_MEANT = {
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def decode_text(data: bytes, charset: str) -> str:
    """Decode as declared, else as UTF-8, else as Windows-1252; bad bytes become U+FFFD."""
    declared = _codec(charset)
    for name in dict.fromkeys((declared or "utf-8", "utf-8")):
        try:
            return _storable(data.decode(name))
        except UnicodeError:
            continue
    return _storable(data.decode(declared or "cp1252", "replace"))


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _codec(charset: str) -> str:
    """The codec to use for a declared charset, "" for one unknown."""
    name = charset.strip("\"' ")
    if not _NAME.fullmatch(name):
        return ""
    try:
        found = codecs.lookup(name).name
        b" ".decode(found, "replace")  # LookupError: no encoding of text, but such as zlib
    except (LookupError, UnicodeError):
        return ""
    return "" if found in _NOT_A_CHARSET else _MEANT.get(found, found)

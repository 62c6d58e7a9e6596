"""Plain text of a message: its visible characters, and the snippet for a list."""

import re
import unicodedata

_QUOTED_LINE = re.compile(r"^[^\S\n]*+>.*$", re.MULTILINE)
_SIGNATURE = re.compile(r"^-- $.*", re.MULTILINE | re.DOTALL)
_JOINERS = "\u200c\u200d"  # emoji and Persian are written with them


def visible(text: str) -> str:
    """Return a text without control characters, bidi marks and other invisible characters.

    Spaces and line breaks are kept.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        for char in text
        if char.isspace()
        or char in _JOINERS
        or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}
    )


def snippet(text: str, length: int = 120) -> str:
    """Return the start of a message in one line of at most `length` characters."""
    opening = text[: length * 50].replace("\r\n", "\n")  # enough to skip a quoted block
    own = _QUOTED_LINE.sub("", opening) if ">" in opening else opening
    if "-- " in own:
        own = _SIGNATURE.sub("", own)
    text = own if own.strip() else opening
    start = " ".join(text[: length * 3].split())  # most often enough, and all of it visible
    if len(start) > length and start.isascii() and start.isprintable():
        return _cut(start, length)
    # Split before and after: most single lines have no invisible character, but a removed one may
    # have separated two spaces.
    line = visible(" ".join(text.split()))
    if not line.isascii():
        line = " ".join(line.split())
    return line if len(line) <= length else _cut(line, length)


def _cut(line: str, length: int) -> str:
    """Return the start of a longer line, with a mark, where possible between two words."""
    cut, following = line[: length - 1], line[length - 1]
    if following != " " and " " in cut[length // 2 :]:
        cut = cut.rpartition(" ")[0]
    return cut.rstrip() + "…"

"""Plain text of a mail: what is visible of it, and what a list row shows."""

import re
import unicodedata

_QUOTED_LINE = re.compile(r"^\s*>.*$", re.MULTILINE)
_SIGNATURE = re.compile(r"^-- $.*", re.MULTILINE | re.DOTALL)
_JOINERS = "\u200c\u200d"  # emoji and Persian are written with them


def visible(text: str) -> str:
    """Drop controls, bidi marks and other characters nobody sees; blanks and line ends stay."""
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
    """Say in one line of at most `length` characters what the mail opens with."""
    opening = text[: length * 50].replace("\r\n", "\n")  # enough to get past a quoted block
    own = _QUOTED_LINE.sub("", opening) if ">" in opening else opening
    if "-- " in own:
        own = _SIGNATURE.sub("", own)
    # Split first: on one line most texts have nothing to drop. Again behind it, since what was
    # dropped may have parted two blanks.
    line = visible(" ".join((own if own.strip() else opening).split()))
    if not line.isascii():
        line = " ".join(line.split())
    if len(line) <= length:
        return line
    cut, following = line[: length - 1], line[length - 1]
    if following != " " and " " in cut[length // 2 :]:
        cut = cut.rpartition(" ")[0]
    return cut.rstrip() + "…"

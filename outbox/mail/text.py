"""Plain text of a mail, for a list row."""

import re
import unicodedata

_QUOTED_LINE = re.compile(r"^\s*>.*$", re.MULTILINE)
_SIGNATURE = re.compile(r"^-- $.*", re.MULTILINE | re.DOTALL)


def snippet(text: str, length: int = 120) -> str:
    """Say in one line of at most `length` characters what the mail opens with."""
    opening = text[: length * 50]  # bounded, and far enough to pass a quoted block
    own = _SIGNATURE.sub("", _QUOTED_LINE.sub("", opening.replace("\r\n", "\n")))
    line = " ".join(_visible(own if own.strip() else opening).split())
    if len(line) <= length:
        return line
    cut = line[: length - 1]
    if " " in cut[length // 2 :]:
        cut = cut.rpartition(" ")[0]
    return cut.rstrip() + "…"


def _visible(text: str) -> str:
    """Drop control and direction characters; keep the joiners that emoji are made of."""
    return "".join(
        char
        for char in text
        if char.isspace()
        or char == "\u200d"
        or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}
    )

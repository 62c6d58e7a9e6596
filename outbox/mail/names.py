"""File names that arrive in mail or uploads, made safe to offer for download and to store."""

import re
import unicodedata

MAX_CHARACTERS = 150
MAX_BYTES = 240  # file systems take 255; some room for what storage appends
_MAX_EXTENSION = 16
_NOBODY = "attachment"
# Device names of Windows, with or without an extension.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|\Z)", re.IGNORECASE)
_RESERVED = re.compile(r'[<>:"|?*]')


def safe_filename(name: str) -> str:
    """Keep the last path component, without controls, bidi marks or reserved characters.

    At most 150 characters, the extension kept; "attachment" when nothing is left.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    seen = "".join(char if _is_visible(char) else "" for char in re.sub(r"\s", " ", last))
    tidy = _RESERVED.sub("_", " ".join(seen.split())).lstrip(".").strip(". ")
    if not tidy:
        return _NOBODY
    if _DEVICE.match(tidy):
        tidy = "_" + tidy
    return _shortened(tidy)


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _shortened(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > _MAX_EXTENSION:
        stem, dot, extension = name, "", ""
    tail = dot + extension
    stem = stem[: MAX_CHARACTERS - len(tail)]
    room = MAX_BYTES - len(tail.encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    return stem + tail

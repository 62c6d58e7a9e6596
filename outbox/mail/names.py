"""File names that arrive in mail or uploads, made safe to offer for download and to store."""

import re
import unicodedata

from outbox.mail.text import visible

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
    kept = visible(re.sub(r"\s", " ", last))
    tidy = _RESERVED.sub("_", " ".join(kept.split())).strip(". \u200c\u200d")
    if not tidy:
        return _NOBODY
    if _DEVICE.match(tidy):
        tidy = "_" + tidy
    return _shortened(tidy)


def _shortened(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > _MAX_EXTENSION:
        stem, dot, extension = name, "", ""
    tail = dot + extension
    room = MAX_BYTES - len(tail.encode())
    stem = stem[: MAX_CHARACTERS - len(tail)].encode()[:room].decode("utf-8", "ignore")
    return stem.rstrip(". ") + tail

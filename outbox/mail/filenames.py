"""Make file names of messages and uploads safe for downloads and storage."""

import re
import unicodedata

from outbox.mail.plain_text import visible

MAX_CHARACTERS = 150
MAX_BYTES = 240  # file systems allow 255; storage may append something
_MAX_EXTENSION = 16
_DEFAULT = "attachment"
# Device names of Windows, with or without an extension.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|\Z)", re.IGNORECASE)
_RESERVED = re.compile(r'[<>:"|?*]')


def safe_filename(name: str) -> str:
    """Return the last path component, without control, bidi and reserved characters.

    It has at most 150 characters and keeps its extension; it is "attachment" if nothing is left.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = visible(re.sub(r"\s", " ", last))
    tidy = _RESERVED.sub("_", " ".join(kept.split())).strip(". \u200c\u200d")
    if not tidy:
        return _DEFAULT
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

"""Extract pictures that HTML contains as `data:` URLs (RFC 2397), so that they become parts.

Most email clients do not display `data:` pictures, but all of them display parts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from outbox.mail.html import ATTRIBUTES_OF_ONE, PICTURE_TYPES, clean_html
from outbox.mail.markers import Markers

_WORDS = r"(?i:data:)[A-Za-z0-9!#$&^_.+/;=%-]*+,"
# In quotes, base64 may be wrapped; without quotes a space ends the URL.
_DATA = re.compile(
    rf"(?<=[\"']){_WORDS}[A-Za-z0-9+/=%\s_.:~-]*+(?=[\"'])|{_WORDS}[A-Za-z0-9+/=%_.:~-]*+"
)
_SOURCE = re.compile(rf'(<img{ATTRIBUTES_OF_ONE})\ssrc="cid:([^"]*+)"')


@dataclass(frozen=True, slots=True)
class DataPicture:
    """One picture; equal pictures have the same Content-ID."""

    content_type: str
    data: bytes

    @property
    def content_id(self) -> str:
        """A Content-ID derived from the content."""
        return f"{hashlib.sha256(self.data).hexdigest()[:32]}@outbox.invalid"

    @property
    def data_url(self) -> str:
        """The picture as a URL."""
        return f"data:{self.content_type};base64,{base64.b64encode(self.data).decode('ascii')}"

    @property
    def name(self) -> str:
        """A file name."""
        return f"picture.{self.content_type.partition('/')[2].replace('jpeg', 'jpg')}"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Clean HTML that refers to its pictures by Content-ID, and what was removed."""

    html: str
    pictures: list[DataPicture]
    refused_types: list[str]  # of pictures that email clients do not display
    has_broken: bool  # the data of a picture cannot be decoded


def clean_with_pictures(html: str) -> Cleaned:
    """Clean composed HTML as `clean_html` does, and extract its `data:` pictures.

    Raise HtmlTooLongError if the HTML is too long without its pictures.
    """
    markers = Markers(html)
    cleaned = clean_html(markers.replace(_DATA, html, before="cid:"))
    pictures: dict[str, DataPicture] = {}
    refused: list[str] = []
    broken = False

    def place(match: re.Match[str]) -> str:
        nonlocal broken
        address = markers.restore(match[2])
        if address == match[2]:
            return match[0]
        content_type, data = _decoded(address)
        if content_type not in PICTURE_TYPES:
            refused.append(content_type)
            return match[1]
        if not data:
            broken = True
            return match[1]
        picture = DataPicture(content_type, data)
        pictures[picture.content_id] = picture
        return f'{match[1]} src="cid:{picture.content_id}"'

    placed = _SOURCE.sub(place, cleaned)
    # Text that only looks like such a URL is restored.
    restored = markers.restore(re.sub(rf"cid:(?={markers.prefix})", "", placed))
    return Cleaned(restored, list(pictures.values()), sorted(set(refused)), broken)


def _decoded(address: str) -> tuple[str, bytes]:
    """Return the media type and the bytes, none where they cannot be decoded."""
    head, _, body = address[len("data:") :].partition(",")
    content_type, *parameters = (part.strip().lower() for part in head.split(";"))
    data = unquote_to_bytes(body)
    if "base64" in parameters:
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error:
            data = b""
    return content_type or "text/plain", data

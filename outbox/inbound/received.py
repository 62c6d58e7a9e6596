"""A received message: its header, its own text, its reports, and the message enclosed in it.

Sources may come from attackers. The parts and the characters that are read are limited, so that
every message takes little time and memory.
"""

import re
from collections.abc import Iterator
from functools import cached_property

from outbox.inbound.address_text import first_address
from outbox.mail.charsets import decode_text
from outbox.mail.encoded_words import decode_words
from outbox.mail.header_reader import read_fields, unfolded
from outbox.mail.html import html_to_text
from outbox.mail.mime_reader import Entity, body_start, read_entities

MAX_TEXT = 64 * 1024  # characters of a message's own text; a notification is at the beginning
MAX_REPORT = 512 * 1024  # bytes of one report, which may list many recipients
_MAX_HTML = 128 * 1024
_MAX_SOURCE_TEXT = 4 * MAX_TEXT  # bytes, of any charset
_MAX_ENCLOSED_HEADER = 64 * 1024
_MAX_TEXTS = 20
_MAX_LEAVES = 200  # a notification has three or four parts
_ENCLOSED = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/rfc822-headers",
        "message/global-headers",
        "text/rfc822-headers",
        "text/rfc822",
        "message/partial",
    }
)
_STARTS_WITH_BLANK = re.compile(rb"[\r\n \t]++")

Fields = list[tuple[str, str]]


class Received:
    """A message, read as far as its inspection needs it. No content raises an exception."""

    def __init__(self, source: bytes) -> None:
        self._source = _with_line_feeds(source)
        self.root = read_entities(self._source)[0]

    @cached_property
    def fields(self) -> Fields:
        """All header fields, with names in lower case and decoded values."""
        return _decoded_fields(self.root.fields)

    def first(self, name: str) -> str:
        """Return the value of the first field of this name, or ""."""
        values = self._values.get(name)
        return values[0] if values else ""

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in self.fields:
            found.setdefault(name, []).append(value)
        return found

    def has_any(self, names: frozenset[str]) -> bool:
        """Return whether there is a field of one of these names."""
        return not names.isdisjoint(self._values)

    @cached_property
    def sender_address(self) -> str:
        """The first address in From, or ""."""
        return first_address(self.first("from"))

    def every(self, name: str) -> list[str]:
        """Return the values of all fields of this name."""
        return self._values.get(name, [])

    @property
    def envelope_line(self) -> str:
        """The "From " line of a mailbox file, or ""."""
        first = self._source[:300].partition(b"\n")[0]
        return first.decode("latin-1") if first.startswith(b"From ") else ""

    @cached_property
    def leaves(self) -> list[Entity]:
        """The parts of the message itself: not those of enclosed messages, but those messages."""
        return list(_leaves(self.root))[:_MAX_LEAVES]

    @cached_property
    def enclosed(self) -> Entity | None:
        """The first enclosed message or header."""
        return next((leaf for leaf in self.leaves if leaf.content_type in _ENCLOSED), None)

    @cached_property
    def enclosed_fields(self) -> Fields:
        """The header fields of the enclosed message."""
        if self.enclosed is None:
            return []
        data = self.enclosed.content()[:_MAX_ENCLOSED_HEADER].lstrip(b"\r\n")
        return header_fields(data[: body_start(data, 0, len(data))])

    @cached_property
    def text(self) -> str:
        """The message's own readable text, without what is enclosed."""
        return "\n".join(_bounded(self._texts()))

    def _texts(self) -> Iterator[str]:
        texts = [leaf for leaf in self._before_enclosed() if leaf.content_type.startswith("text/")]
        plain = [leaf for leaf in texts if leaf.content_type != "text/html"]
        for leaf in plain[:_MAX_TEXTS]:
            yield _plain_text(leaf)
        if not any(leaf.content()[:200].strip() for leaf in plain[:_MAX_TEXTS]):
            for leaf in texts[:_MAX_TEXTS]:
                if leaf.content_type == "text/html":
                    yield html_to_text(_decoded(leaf, _MAX_HTML))
        if not self.root.children and self.root.content_type.startswith("multipart/"):
            yield _plain_text(self.root)  # it cannot be split

    def _before_enclosed(self) -> Iterator[Entity]:
        """Yield the parts before the enclosed message, but all parts if it comes first."""
        leaves = self.leaves
        for number, leaf in enumerate(leaves):
            if leaf.content_type in _ENCLOSED and number:
                return
            yield leaf


def header_fields(head: bytes) -> Fields:
    """Return the fields of a header block: names in lower case, values unfolded and decoded."""
    return _decoded_fields(read_fields(head))


def _decoded_fields(fields: Fields) -> Fields:
    return [(name.lower(), decode_words(unfolded(raw))) for name, raw in fields]


def report_text(entity: Entity) -> str:
    """Return the beginning of a machine-readable part as text, with LF line ends."""
    return _decoded(entity, MAX_REPORT)


def _leaves(entity: Entity) -> Iterator[Entity]:
    """Yield the leaves in their order; the tree may be as deep as the reader allows."""
    waiting = [entity]
    while waiting:
        found = waiting.pop()
        if found.content_type in _ENCLOSED and found is not entity:
            yield found
        elif found.children:
            waiting.extend(reversed(found.children))
        elif not found.content_type.startswith("multipart/") or found is not entity:
            yield found


def _bounded(texts: Iterator[str]) -> Iterator[str]:
    room = MAX_TEXT
    for text in texts:
        if room <= 0:
            return
        yield text[:room]
        room -= len(text)


def _plain_text(entity: Entity) -> str:
    return _decoded(entity, _MAX_SOURCE_TEXT)[:MAX_TEXT]


def _decoded(entity: Entity, limit: int) -> str:
    data = entity.content()[:limit]
    text = decode_text(data, entity.charset)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _with_line_feeds(source: bytes) -> bytes:
    """Return the source without empty lines at its start; old Macintoshes end lines with CR."""
    blank = _STARTS_WITH_BLANK.match(source)
    if blank:
        source = source[blank.end() :]
    if source.find(b"\n", 0, MAX_TEXT) >= 0:
        return source
    return source.replace(b"\r", b"\n")

"""Parse a message into its MIME entities, which refer to their place in the source.

Sources may come from attackers, so the depth, the number of parts and the work are limited. Beyond
a limit an entity is not split. No content of a message raises an exception.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from outbox.mail.header_reader import MAX_HEAD, parameters, read_fields, unfolded
from outbox.mail.transfer_encodings import decode, is_encoded, uuencoded_name

MAX_DEPTH = 100
MAX_PARTS = 1_000
_HEAD_START = re.compile(rb"[!-9;-~]++[ \t]*+:|From ")  # the latter from mailbox files
_READ_FIELDS = frozenset(
    {"content-type", "content-disposition", "content-transfer-encoding", "content-id"}
)
_MAX_BOUNDARY = 200  # RFC 2046 5.1.1 allows 70
_MAX_MARKS = 10 * MAX_PARTS  # lines that are read because they start like a boundary
_MAX_PASSES = 16  # how often all bytes may be searched: twice the levels of a normal message
_MEDIA_TYPE = re.compile(r"\s*+([!#-'*+.0-9A-Z^-~-]++/[!#-'*+.0-9A-Z^-~-]++)", re.IGNORECASE)
_TOKEN = re.compile(r'[\s"]*+([\w-]++)', re.ASCII)
# A boundary that the header does not name: only before a line that starts a part's header.
_BOUNDARY_LINE = re.compile(
    rb"^--([^\s-][^\r\n]{0,198}?|-[^\r\n]{0,198}?[^\s-])[ \t]*+\r?\n(?=content-[a-z-]{1,40}:)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(slots=True)
class Entity:
    """A part, given by its place in a source, so that building the tree copies nothing."""

    path: str  # "1" is the message itself, "1.2" its second part
    source: bytes  # the message, or the decoded content of an entity around this one
    start: int  # of its body
    end: int
    content_type: str
    parameters: dict[str, str]
    disposition: str
    name: str
    content_id: str
    encoding: str
    children: list["Entity"] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)  # of the message only, folded

    @property
    def charset(self) -> str:
        return self.parameters.get("charset", "").lower()

    def content(self) -> bytes:
        """Return the decoded bytes; of a container, the raw bytes of its body."""
        body = self.source[self.start : self.end]
        return body if self.children else decode(body, self.encoding)


def read_entities(source: bytes) -> list[Entity]:
    """Return all parts, parents first; breadth first, so that limits affect the deepest ones."""
    root, fields = _entity("1", (source, 0, len(source)), "text/plain")
    root.fields = fields
    entities = [root]
    reader = _Reader(source)
    for entity in entities:  # grows during the loop
        if entity.path.count(".") + 1 >= MAX_DEPTH:
            break
        default = "message/rfc822" if entity.content_type == "multipart/digest" else "text/plain"
        for number, span in enumerate(reader.inside(entity), start=1):
            if len(entities) >= MAX_PARTS:
                return entities
            child, _ = _entity(f"{entity.path}.{number}", span, default)
            entity.children.append(child)
            entities.append(child)
    return entities


def body_start(source: bytes, start: int, end: int) -> int:
    """Return the end of the header: after the first empty line, or at MAX_HEAD."""
    limit = min(end, start + MAX_HEAD)
    if source.startswith((b"\n", b"\r\n"), start, end):
        return source.index(b"\n", start) + 1
    if not _HEAD_START.match(source, start, limit):
        return start  # there is no header
    found = [
        at + len(blank)
        for blank in (b"\n\n", b"\n\r\n")
        if (at := source.find(blank, start, limit)) >= 0
    ]
    return min(found, default=limit)


_Span = tuple[bytes, int, int]  # a source, and the start and end of a range in it


def _entity(path: str, span: _Span, default_type: str) -> tuple[Entity, list[tuple[str, str]]]:
    """Return an entity and the fields of its header, which are not kept for each part."""
    source, start, end = span
    body = body_start(source, start, end)
    every = read_fields(source[start:body])
    fields: dict[str, str] = {}
    for name, raw in every:
        if (low := name.lower()) in _READ_FIELDS:
            fields.setdefault(low, unfolded(raw))
    type_field = fields.get("content-type", default_type)
    disposition_field = fields.get("content-disposition", "")
    type_parameters = parameters(type_field)
    encoding = _encoding(fields.get("content-transfer-encoding", ""))
    name = parameters(disposition_field).get("filename") or type_parameters.get("name", "")
    entity = Entity(
        path=path,
        source=source,
        start=body,
        end=end,
        content_type=_media_type(type_field),
        parameters=type_parameters,
        disposition=disposition_field.partition(";")[0].strip().lower(),
        name=name or uuencoded_name(source[body : min(end, body + MAX_HEAD)], encoding),
        content_id=fields.get("content-id", "").strip(" <>"),
        encoding=encoding,
    )
    return entity, every


def _media_type(value: str) -> str:
    found = _MEDIA_TYPE.match(value)
    return found[1].lower() if found else "text/plain"  # RFC 2045 5.2


def _encoding(value: str) -> str:
    found = _TOKEN.match(value)
    return found[1].lower() if found else "7bit"


class _Reader:
    """Splits entities, within a limit of work for the whole message."""

    def __init__(self, source: bytes) -> None:
        self._bytes = (len(source) + 1_000_000) * _MAX_PASSES
        self._marks = _MAX_MARKS
        self._decodable = 2 * len(source)  # bytes of encoded containers, which are kept decoded

    def inside(self, entity: Entity) -> list[_Span]:
        """Return the ranges of the enclosed entities."""
        span = (entity.source, entity.start, entity.end)
        if entity.content_type == "message/rfc822" and not is_encoded(entity.encoding):
            return [span]
        if entity.content_type.startswith("multipart/"):
            return self._divided(entity, span)
        return []

    def _divided(self, entity: Entity, span: _Span) -> list[_Span]:
        """Split at the boundary of the header, else at the one that the body uses.

        A container must not be encoded (RFC 2045 6.4), but some are, and some only claim to be.
        """
        named = entity.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
        if not is_encoded(entity.encoding):
            return self._split(span, named) or self._split(span, self._shown_boundary(span))
        parts = self._split(span, named)
        if parts and not _looks_encoded(parts):
            return parts
        self._decodable -= entity.end - entity.start
        if self._decodable < 0:
            return parts
        decoded = entity.content()
        inside = (decoded, 0, len(decoded))
        return self._split(inside, named) or self._split(inside, self._shown_boundary(inside))

    def _shown_boundary(self, span: _Span) -> bytes:
        source, start, end = span
        self._bytes -= end - start
        if self._bytes < 0:
            return b""
        found = _BOUNDARY_LINE.search(source, start, end)
        return found[1] if found else b""

    def _split(self, span: _Span, boundary: bytes) -> list[_Span]:
        if not 0 < len(boundary) <= _MAX_BOUNDARY:
            return []
        return list(self._parts(span, b"--" + boundary))

    def _parts(self, span: _Span, mark: bytes) -> Iterator[_Span]:
        source, _, end = span
        start = -1
        for at, after, is_last in self._boundary_lines(span, mark):
            if start >= 0:
                yield source, start, _before_line_end(source, at, start)
            start = after
            if is_last:
                return
        if start >= 0:  # truncated before its last boundary
            yield source, start, end

    def _boundary_lines(self, span: _Span, mark: bytes) -> Iterator[tuple[int, int, bool]]:
        """Yield start, end, and whether it is the last one, of each line with this boundary."""
        source, position, end = span
        while self._bytes > 0 and self._marks > 0:
            at = source.find(mark, position, end)
            self._bytes -= (at if at >= 0 else end) - position
            self._marks -= 1
            if at < 0:
                return
            position = at + len(mark)
            line_end = source.find(b"\n", position, end)
            after = line_end + 1 if line_end >= 0 else end
            rest = source[position : min(after, position + _MAX_BOUNDARY)].rstrip()
            if source[at - 1 : at] in {b"\n", b""} and rest in {b"", b"--"}:
                yield at, after, rest == b"--"
                position = after


def _looks_encoded(parts: list[_Span]) -> bool:
    """Return whether the first part's header has a quoted-printable "=": the body is encoded."""
    source, start, end = parts[0]
    return b"=3D" in source[start : body_start(source, start, end)]


def _before_line_end(source: bytes, at: int, start: int) -> int:
    """Return the end of a part: the line break belongs to the boundary (RFC 2046 5.1.1)."""
    end = at - 1
    if source[end - 1 : end] == b"\r":
        end -= 1
    return max(end, start)

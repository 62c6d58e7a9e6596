"""The inside of a message, for the page that shows it: part tree, decoded headers, bodies.

Sources come from anybody, so depth, number of parts, size of headers and texts, and the work
itself are bounded. Past a bound a part is shown as a leaf; nothing a mail contains raises here.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from outbox.mail.charsets import decode_text
from outbox.mail.encodings import decode
from outbox.mail.fields import MAX_HEAD, parameters, read_fields, unfolded
from outbox.mail.words import decode_words

MAX_DEPTH = 100
MAX_PARTS = 1_000
MAX_TEXT = 1_000_000  # characters of all plain, and of all HTML text
MAX_PICTURES = 10_000_000  # bytes of all pictures for a preview
_HEAD_START = re.compile(rb"[!-9;-~]++[ \t]*+:|From ")  # the latter from mailbox files
_MAX_BOUNDARY = 200  # RFC 2046 5.1.1 allows 70
_MAX_MARKS = 10 * MAX_PARTS  # lines looked at because they start like a boundary
_MAX_PASSES = 16  # how often all bytes may be searched: the levels of a sane mail, twice over


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One node of a message; `size` and `sha256` are those of its decoded bytes.

    What holds other parts has the size of what stands in it, and no hash.
    """

    path: str  # "1" is the message itself, "1.2" its second part
    content_type: str
    charset: str
    name: str
    size: int
    disposition: str
    content_id: str
    encoding: str
    sha256: str
    children: tuple["Part", ...] = ()

    def walk(self) -> Iterator["Part"]:
        """Yield this part and all below it, in the order they stand."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))


def outline(source: bytes) -> Part:
    """Read the part tree, down to MAX_DEPTH levels and MAX_PARTS parts."""
    made: dict[str, Part] = {}
    for entity in reversed(_entities(source)):  # children before their parents
        children = tuple(made[child.path] for child in entity.children)
        made[entity.path] = _part(entity, source, children)
    return made["1"]


def is_file(part: Part) -> bool:
    """Tell a file, a picture or an enclosed mail from the readable text and from what holds it."""
    if part.content_type.startswith("multipart/"):
        return False
    return bool(part.disposition == "attachment" or part.name or part.content_id) or (
        not part.content_type.startswith("text/")
    )


def files(tree: Part) -> list[Part]:
    """List what a mail carries beside its text; an enclosed mail is one file with all it holds."""
    found: list[Part] = []
    stack = [tree]
    while stack:
        part = stack.pop()
        if part is not tree and is_file(part):
            found.append(part)
        else:
            stack.extend(reversed(part.children))
    return found


def part_bytes(source: bytes, path: str) -> bytes:
    """Decode one part's content. Raises KeyError where the message has no such part."""
    for entity in _entities(source):
        if entity.path == path:
            return entity.content(source)
    raise KeyError(path)


def decoded_headers(source: bytes) -> list[tuple[str, str, str]]:
    """List (name, value as it stands, value decoded) of the header fields, in their order."""
    found = read_fields(source[: _body_start(source, 0, len(source))])
    return [(name, raw, decode_words(unfolded(raw))) for name, raw in found]


def text_and_html(source: bytes) -> tuple[str, str]:
    """Join the text/plain parts, and the text/html parts; attached ones are left out."""
    found: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    for entity in _shown(source):
        if entity.content_type in found:
            data = entity.content(source)[: MAX_TEXT * 4]
            found[entity.content_type].append(decode_text(data, entity.charset))
    plain, html = ("\n".join(texts).replace("\r\n", "\n")[:MAX_TEXT] for texts in found.values())
    return plain, html


def pictures(source: bytes) -> dict[str, tuple[str, bytes]]:
    """Collect the pictures that HTML can name as `cid:`, as `clean_for_preview` takes them."""
    found: dict[str, tuple[str, bytes]] = {}
    room = MAX_PICTURES
    for entity in _entities(source):
        if entity.content_id and entity.content_type.startswith("image/"):
            data = entity.content(source)
            room -= len(data)
            if room < 0:
                break
            found.setdefault(entity.content_id, (entity.content_type, data))
    return found


# --- reading -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Entity:
    """A part by its place in the source: nothing is copied while the tree is built."""

    path: str
    start: int  # of its body
    end: int
    content_type: str
    parameters: dict[str, str]
    disposition: str
    name: str
    content_id: str
    encoding: str
    children: list["_Entity"] = field(default_factory=list)

    @property
    def charset(self) -> str:
        return self.parameters.get("charset", "").lower()

    def content(self, source: bytes) -> bytes:
        """A container's content is what stands between its marks, as it stands."""
        body = source[self.start : self.end]
        return body if self.children else decode(body, self.encoding)


def _entity(source: bytes, path: str, start: int, end: int, default_type: str) -> _Entity:
    body = _body_start(source, start, end)
    fields: dict[str, str] = {}
    for name, raw in read_fields(source[start:body]):
        fields.setdefault(name.lower(), unfolded(raw))
    type_field = fields.get("content-type", default_type)
    disposition_field = fields.get("content-disposition", "")
    type_parameters = parameters(type_field)
    return _Entity(
        path=path,
        start=body,
        end=end,
        content_type=_media_type(type_field),
        parameters=type_parameters,
        disposition=disposition_field.partition(";")[0].strip().lower(),
        name=parameters(disposition_field).get("filename") or type_parameters.get("name", ""),
        content_id=fields.get("content-id", "").strip(" <>"),
        encoding=fields.get("content-transfer-encoding", "7bit").strip().lower(),
    )


def _media_type(value: str) -> str:
    found = value.partition(";")[0].strip().lower()
    return found if found.count("/") == 1 else "text/plain"  # RFC 2045 5.2


def _body_start(source: bytes, start: int, end: int) -> int:
    """Find where the header stops: behind the first empty line, or at MAX_HEAD."""
    limit = min(end, start + MAX_HEAD)
    if source.startswith((b"\n", b"\r\n"), start, end):
        return source.index(b"\n", start) + 1
    if not _HEAD_START.match(source, start, limit):
        return start  # all of it is body
    found = [
        at + len(blank)
        for blank in (b"\n\n", b"\n\r\n")
        if (at := source.find(blank, start, limit)) >= 0
    ]
    return min(found, default=limit)


def _entities(source: bytes) -> list[_Entity]:
    """Find all parts, each behind its parent, breadth first so that bounds cut the deepest."""
    entities = [_entity(source, "1", 0, len(source), "text/plain")]
    reader = _Reader(source)
    for entity in entities:  # grows while we go
        if entity.path.count(".") + 1 >= MAX_DEPTH:
            break
        default = "message/rfc822" if entity.content_type == "multipart/digest" else "text/plain"
        for number, (start, end) in enumerate(reader.inside(entity), start=1):
            if len(entities) >= MAX_PARTS:
                return entities
            child = _entity(source, f"{entity.path}.{number}", start, end, default)
            entity.children.append(child)
            entities.append(child)
    return entities


class _Reader:
    """Cuts entities apart, within a budget of work for the whole message."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._bytes = (len(source) + 1_000_000) * _MAX_PASSES
        self._marks = _MAX_MARKS

    def inside(self, entity: _Entity) -> Iterator[tuple[int, int]]:
        """Yield where the enclosed entities start and end."""
        if entity.encoding in {"base64", "quoted-printable"}:
            return  # not allowed for either kind (RFC 2045 6.4); shown as a leaf
        if entity.content_type == "message/rfc822":
            yield entity.start, entity.end
        elif entity.content_type.startswith("multipart/"):
            boundary = entity.parameters.get("boundary", "").rstrip()
            if 0 < len(boundary) <= _MAX_BOUNDARY:
                yield from self._split(entity, b"--" + boundary.encode("utf-8", "replace"))

    def _split(self, entity: _Entity, mark: bytes) -> Iterator[tuple[int, int]]:
        start = -1
        for at, behind, is_last in self._boundary_lines(entity, mark):
            if start >= 0:
                yield start, self._before_line_end(at, start)
            start = behind
            if is_last:
                return
        if start >= 0:  # cut off before its last boundary
            yield start, entity.end

    def _boundary_lines(self, entity: _Entity, mark: bytes) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, end, whether it is the last) of each line that is this boundary."""
        source, position = self._source, entity.start
        while self._bytes > 0 and self._marks > 0:
            at = source.find(mark, position, entity.end)
            self._bytes -= (at if at >= 0 else entity.end) - position
            self._marks -= 1
            if at < 0:
                return
            position = at + len(mark)
            line_end = source.find(b"\n", position, entity.end)
            behind = line_end + 1 if line_end >= 0 else entity.end
            rest = source[position : min(behind, position + _MAX_BOUNDARY)].rstrip()
            if source[at - 1 : at] in {b"\n", b""} and rest in {b"", b"--"}:
                yield at, behind, rest == b"--"
                position = behind

    def _before_line_end(self, at: int, start: int) -> int:
        """The line end before a boundary belongs to the boundary (RFC 2046 5.1.1)."""
        end = at - 1
        if self._source[end - 1 : end] == b"\r":
            end -= 1
        return max(end, start)


def _shown(source: bytes) -> Iterator[_Entity]:
    """Leave out attachments and all that is inside enclosed messages."""
    hidden: set[str] = set()
    for entity in _entities(source):
        attached = entity.disposition == "attachment" or entity.content_type == "message/rfc822"
        if attached or entity.path.rpartition(".")[0] in hidden:
            hidden.add(entity.path)
        else:
            yield entity


def _part(entity: _Entity, source: bytes, children: tuple[Part, ...]) -> Part:
    content = b"" if children else entity.content(source)
    return Part(
        path=entity.path,
        content_type=entity.content_type,
        charset=entity.charset,
        name=entity.name,
        size=entity.end - entity.start if children else len(content),
        disposition=entity.disposition,
        content_id=entity.content_id,
        encoding=entity.encoding,
        sha256="" if children else hashlib.sha256(content).hexdigest(),
        children=children,
    )

"""The parts of a message, for the page that shows it: tree, files, headers, pictures."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from outbox.mail.entities import Entity, body_start, read_entities
from outbox.mail.fields import read_fields, unfolded
from outbox.mail.words import decode_words

MAX_PICTURES = 10_000_000  # bytes of all pictures for a preview


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
    parameters: Mapping[str, str] = field(default_factory=dict, compare=False)  # of the type

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
    for entity in reversed(read_entities(source)):  # children before their parents
        children = tuple(made[child.path] for child in entity.children)
        made[entity.path] = _part(entity, children)
    return made["1"]


def is_file(part: Part) -> bool:
    """Return whether it is a file, a picture or an enclosed message, and not the readable text.

    Text that is neither plain nor HTML is a file, since no view shows it.
    """
    if part.content_type.startswith("multipart/"):
        return False
    is_readable = part.content_type in {"text/plain", "text/html"}
    return part.disposition == "attachment" or bool(part.name) or not is_readable


def files(tree: Part) -> list[Part]:
    """List what a message carries beside its text.

    An enclosed message is one file with all it holds.
    """
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
    for entity in read_entities(source):
        if entity.path == path:
            return entity.content()
    raise KeyError(path)


def decoded_headers(source: bytes) -> list[tuple[str, str, str]]:
    """List (name, value as it stands, value decoded) of the header fields, in their order."""
    found = read_fields(source[: body_start(source, 0, len(source))])
    return [(name, raw, decode_words(unfolded(raw))) for name, raw in found]


def pictures(source: bytes) -> dict[str, tuple[str, bytes]]:
    """Collect the pictures that HTML can name as `cid:`, as `clean_for_preview` takes them."""
    found: dict[str, tuple[str, bytes]] = {}
    room = MAX_PICTURES
    for entity in read_entities(source):
        if entity.content_id and entity.content_type.startswith("image/"):
            data = entity.content()
            room -= len(data)
            if room < 0:
                break
            found.setdefault(entity.content_id, (entity.content_type, data))
    return found


def _part(entity: Entity, children: tuple[Part, ...]) -> Part:
    content = b"" if children else entity.content()
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
        parameters=entity.parameters,
    )

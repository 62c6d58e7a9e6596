"""The parts of a message, for its page: tree, files, headers, pictures."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from outbox.mail.encoded_words import decode_words
from outbox.mail.header_reader import read_fields, unfolded
from outbox.mail.mime_reader import Entity, body_start, read_entities

MAX_PICTURES = 10_000_000  # bytes of all pictures for a preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a message; `size` and `sha256` are those of its decoded bytes.

    A part with children has the size of its raw body, and no hash.
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
        """Yield this part and all parts inside it, in order."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))


def outline(source: bytes) -> Part:
    """Return the tree of parts, with at most MAX_DEPTH levels and MAX_PARTS parts."""
    return _tree(read_entities(source))


def files_with_content(source: bytes) -> list[tuple[Part, bytes]]:
    """Return the files of a message with their decoded content. The source is parsed once."""
    entities = read_entities(source)
    content_of = {entity.path: entity.content for entity in entities}
    return [(part, content_of[part.path]()) for part in files(_tree(entities))]


def _tree(entities: Sequence[Entity]) -> Part:
    made: dict[str, Part] = {}
    for entity in reversed(entities):  # children before their parents
        children = tuple(made[child.path] for child in entity.children)
        made[entity.path] = _part(entity, children)
    return made["1"]


class _Node(Protocol):
    """What parts and entities have in common."""

    @property
    def content_type(self) -> str: ...
    @property
    def disposition(self) -> str: ...
    @property
    def name(self) -> str: ...


def is_file(part: _Node) -> bool:
    """Return whether a part is a file, a picture or an enclosed message, not the readable text.

    Text that is neither plain nor HTML is a file, because no view displays it.
    """
    if part.content_type.startswith("multipart/"):
        return False
    is_readable = part.content_type in {"text/plain", "text/html"}
    return part.disposition == "attachment" or bool(part.name) or not is_readable


def files(tree: Part) -> list[Part]:
    """Return the files of a message. An enclosed message is one file."""
    found: list[Part] = []
    stack = [tree]
    while stack:
        part = stack.pop()
        if part is not tree and is_file(part):
            found.append(part)
        else:
            stack.extend(reversed(part.children))
    return found


def count_files(root: Entity) -> int:
    """Return the number of the files of a message without decoding them."""
    count = 0
    stack = list(root.children)
    while stack:
        entity = stack.pop()
        if is_file(entity):
            count += 1
        else:
            stack.extend(entity.children)
    return count


def part_bytes(source: bytes, path: str) -> bytes:
    """Return the decoded content of a part. Raise KeyError if there is no such part."""
    for entity in read_entities(source):
        if entity.path == path:
            return entity.content()
    raise KeyError(path)


def decoded_headers(source: bytes) -> list[tuple[str, str, str]]:
    """Return name, raw value and decoded value of the header fields, in order."""
    found = read_fields(source[: body_start(source, 0, len(source))])
    return [(name, raw, decode_words(unfolded(raw))) for name, raw in found]


def pictures(source: bytes) -> dict[str, tuple[str, bytes]]:
    """Return the pictures that HTML can refer to as `cid:`, in the form of `clean_for_preview`."""
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

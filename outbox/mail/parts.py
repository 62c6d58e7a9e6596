"""The inside of a message, for the page that shows it: part tree, decoded headers, bodies.

Sources come from anybody, so everything is bounded: depth, number of parts, header size, text
size. Past a bound a part is shown as a leaf; nothing here raises for what a mail contains.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32

from outbox.mail.charsets import decode_text
from outbox.mail.encodings import decode
from outbox.mail.words import decode_words

MAX_DEPTH = 100
MAX_PARTS = 1_000
MAX_HEAD = 256 * 1024
MAX_TEXT = 1_000_000  # characters of body text, each of plain and HTML

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:((?:[^\n]|\n[ \t])*)(?:\n|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One node of a message; `size` and `sha256` are those of the decoded bytes."""

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


@dataclass(slots=True)
class _Node:
    """A part before its bytes were decoded."""

    path: str
    head: Message
    body: bytes
    children: list["_Node"]


def outline(source: bytes) -> Part:
    """Read the part tree, down to MAX_DEPTH levels and MAX_PARTS parts."""
    return _part(_tree(source))


def part_bytes(source: bytes, path: str) -> bytes:
    """Decode one part's content. Raises KeyError where the message has no such part."""
    for node in _nodes(_tree(source)):
        if node.path == path:
            return _decoded(node)
    raise KeyError(path)


def decoded_headers(source: bytes) -> list[tuple[str, str, str]]:
    """List (name, value as it stands, value decoded) of the header fields, in their order."""
    text = _head_bytes(source).decode("utf-8", "replace").replace("\r\n", "\n")
    found = _FIELD.findall(text)
    return [(name, raw.strip(), decode_words(_unfolded(raw))) for name, raw in found]


def text_and_html(source: bytes) -> tuple[str, str]:
    """Join the shown text/plain parts, and the shown text/html parts, attachments left out."""
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    for node in _shown(_tree(source)):
        kind = node.head.get_content_type()
        if kind in texts:
            texts[kind].append(decode_text(_decoded(node), _charset(node.head)))
    plain, html = ("\n".join(found)[:MAX_TEXT] for found in texts.values())
    return plain.replace("\r\n", "\n"), html.replace("\r\n", "\n")


# --- reading -------------------------------------------------------------------------------------


def _tree(source: bytes) -> _Node:
    root = _node("1", source)
    made, waiting = 1, [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth >= MAX_DEPTH:
            continue
        for number, entity in enumerate(_entities(node), start=1):
            if made >= MAX_PARTS:
                return root
            made += 1
            child = _node(f"{node.path}.{number}", entity)
            node.children.append(child)
            waiting.append((child, depth + 1))
    return root


def _node(path: str, entity: bytes) -> _Node:
    head = _head_bytes(entity)
    body = entity[len(head) :]
    body = re.sub(rb"\A\r?\n", b"", body, count=1)
    return _Node(path, BytesHeaderParser(policy=compat32).parsebytes(head), body, [])


def _head_bytes(entity: bytes) -> bytes:
    if entity.startswith((b"\n", b"\r\n")):
        return b""
    blank = _BLANK_LINE.search(entity[:MAX_HEAD])
    end = (
        blank.start() + (2 if entity[blank.start() :][:1] == b"\r" else 1) if blank else len(entity)
    )
    return entity[: min(end, MAX_HEAD)]


def _entities(node: _Node) -> Iterator[bytes]:
    kind = node.head.get_content_type()
    if kind == "message/rfc822":
        yield node.body
    elif kind.startswith("multipart/"):
        boundary = node.head.get_boundary()
        if boundary:
            yield from _split(node.body, boundary.encode("utf-8", "surrogateescape"))


def _split(body: bytes, boundary: bytes) -> Iterator[bytes]:
    mark = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    start = -1
    for match in mark.finditer(body):
        if start >= 0:
            yield _without_line_end(body[start : match.start()])
        start = match.end()
        if match[1]:
            return
    if start >= 0:
        yield _without_line_end(body[start:])


def _without_line_end(entity: bytes) -> bytes:
    return re.sub(rb"\A\r?\n", b"", entity, count=1)


def _nodes(root: _Node) -> Iterator[_Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def _shown(root: _Node) -> Iterator[_Node]:
    """Leave out attachments and all inside enclosed messages."""
    stack = [root]
    while stack:
        node = stack.pop()
        if (
            _disposition(node.head) == "attachment"
            or node.head.get_content_type() == "message/rfc822"
        ):
            continue
        yield node
        stack.extend(reversed(node.children))


def _part(root: _Node) -> Part:
    made: dict[str, Part] = {}
    for node in reversed(list(_nodes(root))):  # children before their parents
        data = b"" if node.children else _decoded(node)
        made[node.path] = Part(
            path=node.path,
            content_type=node.head.get_content_type(),
            charset=_charset(node.head),
            name=_filename(node.head),
            size=len(node.body) if node.children else len(data),
            disposition=_disposition(node.head),
            content_id=str(node.head.get("Content-ID", "")).strip().strip("<>"),
            encoding=_encoding(node.head),
            sha256=hashlib.sha256(node.body if node.children else data).hexdigest(),
            children=tuple(made[child.path] for child in node.children),
        )
    return made[root.path]


def _decoded(node: _Node) -> bytes:
    return decode(node.body, _encoding(node.head))


def _encoding(head: Message) -> str:
    return str(head.get("Content-Transfer-Encoding", "7bit")).strip().lower()


def _disposition(head: Message) -> str:
    return str(head.get("Content-Disposition", "")).partition(";")[0].strip().lower()


def _charset(head: Message) -> str:
    return str(head.get_content_charset() or "")


def _filename(head: Message) -> str:
    return decode_words(_unfolded(str(head.get_filename() or "")))


def _unfolded(raw: str) -> str:
    return re.sub(r"\r?\n", "", raw).strip()

"""What a reader sees of a message, in the order in which it stands there.

A message is a row of stretches. Most have one form, plain text or HTML. An alternative has both,
and each view shows its own: a footer behind a letter stands below the letter as text and as HTML.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from outbox.mail.charsets import decode_text
from outbox.mail.entities import Entity, read_entities
from outbox.mail.html import html_to_text
from outbox.mail.markup import MAX_HTML

MAX_TEXT = 1_000_000  # characters of all plain, and of all HTML text


@dataclass(frozen=True, slots=True)
class Displayed:
    """The readable text, and the HTML documents it stands in: none where nothing is HTML."""

    text: str  # "" where all of it is HTML
    documents: tuple[str, ...]

    @property
    def html(self) -> str:
        """All documents as one text."""
        return "\n".join(self.documents)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A piece of what is shown; an alternative has both forms."""

    plain: str | None = None
    documents: tuple[str, ...] = ()

    @property
    def as_html(self) -> tuple[str, ...]:
        if self.documents or self.plain is None:
            return self.documents
        return (f'<div style="white-space: pre-wrap">{html.escape(self.plain.rstrip())}</div>',)


def read_displayed(source: bytes) -> Displayed:
    """Read what is shown: neither attachments, nor what enclosed messages hold."""
    stretches = list(_bounded(_stretches(read_entities(source)[0])))
    has_plain = any(stretch.plain and stretch.plain.strip() for stretch in stretches)
    if not any(stretch.documents for stretch in stretches):
        return Displayed("\n".join(stretch.plain or "" for stretch in stretches), ())
    text = "\n".join(_texts(stretches)) if has_plain else ""
    documents = (document for stretch in stretches for document in stretch.as_html)
    return Displayed(text[:MAX_TEXT], _cut(documents, MAX_TEXT))


def text_and_html(source: bytes) -> tuple[str, str]:
    """Return the readable text, "" where all of it is HTML, and the HTML."""
    displayed = read_displayed(source)
    return displayed.text, displayed.html


def _bounded(stretches: Iterable[_Stretch]) -> Iterator[_Stretch]:
    """Cut what is too much of either form."""
    plain_room = html_room = MAX_TEXT
    for stretch in stretches:
        documents = _cut(stretch.documents, html_room)
        html_room -= sum(map(len, documents)) + len(documents)
        plain = None if stretch.plain is None else stretch.plain[: max(plain_room, 0)]
        plain_room -= len(plain or "") + len("\n")
        yield _Stretch(plain, documents)


def _texts(stretches: Iterable[_Stretch]) -> Iterator[str]:
    room = MAX_HTML
    for stretch in stretches:
        if stretch.plain is not None and (stretch.plain.strip() or not stretch.documents):
            yield stretch.plain
        else:
            documents = _cut(stretch.documents, room)
            room -= sum(map(len, documents))
            yield "\n".join(map(html_to_text, documents))


def _cut(documents: Iterable[str], room: int) -> tuple[str, ...]:
    kept: list[str] = []
    for document in documents:
        if room <= 0:
            break
        kept.append(document[:room])
        room -= len(document) + len("\n")
    return tuple(kept)


def _stretches(entity: Entity) -> Iterator[_Stretch]:
    is_enclosed = entity.content_type == "message/rfc822" and entity.path != "1"
    if entity.disposition == "attachment" or is_enclosed:
        return
    if entity.children:
        versions = [list(_stretches(child)) for child in entity.children]
        if entity.content_type == "multipart/alternative":
            yield from _alternative(versions)
        else:
            yield from (stretch for stretches in versions for stretch in stretches)
    elif entity.content_type == "text/html":
        if (document := _text(entity)).strip():  # an empty one must not hide the plain version
            yield _Stretch(documents=(document,))
    elif _is_plain(entity):
        yield _Stretch(plain=_text(entity))


def _is_plain(entity: Entity) -> bool:
    """Return whether it is shown as text, as is a container that cannot be divided.

    Text of another kind, such as a calendar, is shown where it is all of the message. As a part it
    is a file.
    """
    if entity.content_type == "text/plain" or entity.content_type.startswith("multipart/"):
        return True
    return entity.path == "1" and entity.content_type.startswith("text/")


def _alternative(versions: Sequence[Sequence[_Stretch]]) -> Iterator[_Stretch]:
    """Yield the last version of each form, which is the best one (RFC 2046 5.1.4)."""
    plain: str | None = None
    documents: tuple[str, ...] = ()
    for version in versions:
        if any(stretch.documents for stretch in version):
            documents = tuple(document for stretch in version for document in stretch.as_html)
        elif version:
            plain = "\n".join(stretch.plain or "" for stretch in version)
    if plain is not None or documents:
        yield _Stretch(plain, documents)


def _text(entity: Entity) -> str:
    data = entity.content()[: MAX_TEXT * 4]
    return decode_text(data, entity.charset).replace("\r\n", "\n")

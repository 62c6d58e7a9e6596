"""The text of a message as an email client displays it, in the order of the message.

A message is a sequence of sections. Most have one form, plain text or HTML. An alternative has
both, and each view shows its own form: a footer follows the text and the HTML version alike.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from outbox.mail.charsets import decode_text
from outbox.mail.html import html_to_text
from outbox.mail.markup import MAX_HTML
from outbox.mail.mime_reader import Entity, read_entities

MAX_TEXT = 1_000_000  # characters of all plain, and of all HTML text


@dataclass(frozen=True, slots=True)
class Displayed:
    """The readable text, and the HTML documents that contain it: none if nothing is HTML."""

    text: str  # "" if all of it is HTML
    documents: tuple[str, ...]

    @property
    def html(self) -> str:
        """All documents as one text."""
        return "\n".join(self.documents)


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of the displayed text; an alternative has both forms."""

    plain: str | None = None
    documents: tuple[str, ...] = ()

    @property
    def as_html(self) -> tuple[str, ...]:
        if self.documents or self.plain is None:
            return self.documents
        return (f'<div style="white-space: pre-wrap">{html.escape(self.plain.rstrip())}</div>',)


def read_displayed(source: bytes) -> Displayed:
    """Return what is displayed, without attachments and enclosed messages."""
    sections = list(_bounded(_sections(read_entities(source)[0])))
    has_plain = any(section.plain and section.plain.strip() for section in sections)
    if not any(section.documents for section in sections):
        return Displayed("\n".join(section.plain or "" for section in sections), ())
    text = "\n".join(_texts(sections)) if has_plain else ""
    documents = (document for section in sections for document in section.as_html)
    return Displayed(text[:MAX_TEXT], _cut(documents, MAX_TEXT))


def text_and_html(source: bytes) -> tuple[str, str]:
    """Return the readable text, "" if all of it is HTML, and the HTML."""
    displayed = read_displayed(source)
    return displayed.text, displayed.html


def _bounded(sections: Iterable[_Section]) -> Iterator[_Section]:
    """Truncate both forms to their limits."""
    plain_room = html_room = MAX_TEXT
    for section in sections:
        documents = _cut(section.documents, html_room)
        html_room -= sum(map(len, documents)) + len(documents)
        plain = None if section.plain is None else section.plain[: max(plain_room, 0)]
        plain_room -= len(plain or "") + len("\n")
        yield _Section(plain, documents)


def _texts(sections: Iterable[_Section]) -> Iterator[str]:
    room = MAX_HTML
    for section in sections:
        if section.plain is not None and (section.plain.strip() or not section.documents):
            yield section.plain
        else:
            documents = _cut(section.documents, room)
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


def _sections(entity: Entity) -> Iterator[_Section]:
    is_enclosed = entity.content_type == "message/rfc822" and entity.path != "1"
    if entity.disposition == "attachment" or is_enclosed:
        return
    if entity.children:
        versions = [list(_sections(child)) for child in entity.children]
        if entity.content_type == "multipart/alternative":
            yield from _alternative(versions)
        else:
            yield from (section for sections in versions for section in sections)
    elif entity.content_type == "text/html":
        if (document := _text(entity)).strip():  # an empty document must not hide the plain version
            yield _Section(documents=(document,))
    elif _is_plain(entity):
        yield _Section(plain=_text(entity))


def _is_plain(entity: Entity) -> bool:
    """Return whether an entity is displayed as text, like a container that cannot be split.

    Another type of text, such as a calendar, is displayed if it is the whole message. As a part it
    is a file.
    """
    if entity.content_type == "text/plain" or entity.content_type.startswith("multipart/"):
        return True
    return entity.path == "1" and entity.content_type.startswith("text/")


def _alternative(versions: Sequence[Sequence[_Section]]) -> Iterator[_Section]:
    """Yield the last version of each form, which is the best one (RFC 2046 5.1.4)."""
    plain: str | None = None
    documents: tuple[str, ...] = ()
    for version in versions:
        if any(section.documents for section in version):
            documents = tuple(document for section in version for document in section.as_html)
        elif version:
            plain = "\n".join(section.plain or "" for section in version)
    if plain is not None or documents:
        yield _Section(plain, documents)


def _text(entity: Entity) -> str:
    data = entity.content()[: MAX_TEXT * 4]
    return decode_text(data, entity.charset).replace("\r\n", "\n")

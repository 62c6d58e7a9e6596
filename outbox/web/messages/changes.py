"""The tab Changes: a message as composed and as sent, and beside its edited copy.

The composed version is read from the draft, the sent version from the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.api.sizes import format_size
from outbox.mail.addresses import AddressError, parse_address_list
from outbox.mail.difference import Row, difference
from outbox.mail.displayed import text_and_html
from outbox.mail.html import html_to_text
from outbox.mail.parts import decoded_headers, files, outline
from outbox.models import COPIES, Draft, Message, Role
from outbox.models.message import MessageQuerySet
from outbox.models.recipient import is_being_sent
from outbox.web.messages.content import Content

LINKED_SHOWN = 10
LINE_MAX = 2_000  # characters; a longer line is split
_ADDRESSES = ("From", "Reply-To", "To", "Cc")
_COMPARED = (*_ADDRESSES, "Subject")  # between two messages; other headers always differ
_TAG_ENDS = re.compile(r"(</(?:p|li|div|tr|table|ul|ol|h[1-6]|blockquote)>|<br ?/?>)")


@dataclass(frozen=True, slots=True)
class Version:
    """A message as lines, in the four parts that are compared."""

    headers: list[str]
    text: list[str]
    html: list[str]
    files: list[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One part of two versions; it has no rows if both are the same."""

    title: str | Promise
    rows: list[Row]


class Versions:
    """The versions that the tab compares."""

    def __init__(
        self,
        content: Content,
        other: int | None,
        *,
        visible: MessageQuerySet,  # the messages that the viewer may open
        is_readable: Callable[[Message], bool],  # whether the viewer may read one of them
    ) -> None:
        self.message = content.message
        self._content = content
        self._other = other
        self._visible = visible
        self._is_readable = is_readable

    @cached_property
    def of_itself(self) -> list[Comparison]:
        """Return the changes from composed to sent; empty if it was not composed here."""
        draft = _draft_of(self.message)
        if draft is None:
            return []
        sent = _sent(self.message, self._content, every_header=True)
        return _compare(_composed(self.message, draft), sent)

    @cached_property
    def linked(self) -> list[Message]:
        """Return the owner's copies of the message, and the message of which it is a copy.

        The viewer may read them: staff may see this message, and not those of another account.
        """
        mine = self._visible.filter(owner=self.message.owner_id)
        mine = mine.select_related("draft", "account").annotate(is_sending=is_being_sent())
        copies = mine.filter(made_from=self.message.pk, draft__made_as__in=COPIES)
        linked = list(copies.order_by("-pk")[:LINKED_SHOWN])
        draft = _draft_of(self.message)
        if self.message.made_from_id and draft is not None and draft.made_as in COPIES:
            linked += mine.filter(pk=self.message.made_from_id)
        return [one for one in linked if self._is_readable(one)]

    @cached_property
    def other(self) -> Message | None:
        """Return the message to compare with: the requested one, else the latest."""
        asked = [one for one in self.linked if one.pk == self._other]
        return next(iter(asked or self.linked), None)

    @property
    def other_is_older(self) -> bool:
        """Return whether this message was made from the other one."""
        return self.other is not None and self.other.pk == self.message.made_from_id

    @cached_property
    def of_both(self) -> list[Comparison]:
        """Return the changes from the older message to the newer one."""
        if self.other is None:
            return []
        pair = [_sent(self.message, self._content), _version(self.other)]
        return _compare(*(reversed(pair) if self.other_is_older else pair))


def _draft_of(message: Message) -> Draft | None:
    try:
        return message.draft
    except Draft.DoesNotExist:
        return None


def _version(message: Message) -> Version:
    draft = _draft_of(message)
    if message.is_draft and draft is not None:
        return _composed(message, draft)
    return _sent(message, Content(message, ""))


def _composed(message: Message, draft: Draft) -> Version:
    typed = {"Reply-To": draft.reply_to, "To": draft.to, "Cc": draft.cc, "Bcc": draft.bcc}
    headers = [f"From: {_sender(message)}"]
    headers += [line for name, text in typed.items() for line in _named(name, text)]
    return Version(
        headers=[*headers, f"Subject: {message.subject}"],
        text=_lines(draft.text or html_to_text(draft.html)),
        html=_html_lines(draft.html),
        files=sorted(_file(row.name, row.size, row.sha256) for row in message.attachments.all()),
    )


def _sender(message: Message) -> str:
    if message.from_header or message.account is None:
        return message.from_header
    return message.account.sender


def _sent(message: Message, content: Content, *, every_header: bool = False) -> Version:
    source = content.source or b""
    text, html = text_and_html(source)
    headers = list(_headers(source, every_header=every_header))
    if not every_header:
        hidden = [one.address for one in message.recipients.all() if one.role == Role.BCC]
        headers[-1:-1] = [f"Bcc: {address}" for address in hidden]  # before the subject
    return Version(
        headers=headers,
        text=_lines(text or html_to_text(html)),
        html=_html_lines(html),
        files=sorted(_file(part.name, part.size, part.sha256) for part in files(outline(source))),
    )


def _headers(source: bytes, *, every_header: bool) -> Iterator[str]:
    """Yield each header as a line, and each address as a line of its own."""
    for name, _raw, value in decoded_headers(source):
        if name.title() in _ADDRESSES:
            yield from _named(name.title(), value)
        elif every_header or name.title() in _COMPARED:
            yield f"{name}: {value}"


def _named(name: str, text: str) -> list[str]:
    try:
        return [f"{name}: {address}" for address in parse_address_list(text)]
    except AddressError:
        return [f"{name}: {text}"]  # possible in a draft, and in a message of an app


def _lines(text: str) -> list[str]:
    lines = (line.rstrip() for line in text.strip().splitlines())
    return [line[at : at + LINE_MAX] for line in lines for at in range(0, len(line) or 1, LINE_MAX)]


def _html_lines(html: str) -> list[str]:
    return _lines(_TAG_ENDS.sub(r"\1\n", html.strip())) if html else []


def _file(name: str, length: int, sha256: str) -> str:
    return f"{name} ({format_size(length)}, sha256 {sha256[:12]}…)"


def _compare(old: Version, new: Version) -> list[Comparison]:
    parts: Iterable[tuple[str | Promise, list[str], list[str]]] = (
        (gettext_lazy("Headers"), old.headers, new.headers),
        (gettext_lazy("Text"), old.text, new.text),
        (gettext_lazy("HTML"), old.html, new.html),
        (pgettext_lazy("of a message", "Attachments"), old.files, new.files),
    )
    return [
        Comparison(title, difference(before, after))
        for title, before, after in parts
        if before or after
    ]

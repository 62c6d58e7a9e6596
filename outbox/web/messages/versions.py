"""Versions of a mail beside each other: as composed, as sent, and as edited and sent again.

What was composed is read from the draft's row, what was sent from the exact bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.mail.addresses import AddressError, parse_address_list
from outbox.mail.difference import Row, difference
from outbox.mail.displayed import text_and_html
from outbox.mail.html import html_to_text
from outbox.mail.parts import decoded_headers, files, outline
from outbox.models import COPIES, Draft, Message, Role, Status
from outbox.models.recipient import is_being_sent
from outbox.web.messages.content import Content
from outbox.web.wording import size

LINKED_SHOWN = 10
LONGEST = 2_000  # characters of a line; what is longer goes on in the next
_ADDRESSES = ("From", "Reply-To", "To", "Cc")
_COMPARED = (*_ADDRESSES, "Subject")  # between two mails; the rest differs with every mail
_TAG_ENDS = re.compile(r"(</(?:p|li|div|tr|table|ul|ol|h[1-6]|blockquote)>|<br ?/?>)")


@dataclass(frozen=True, slots=True)
class Version:
    """A mail as lines, in the four parts that are compared."""

    headers: list[str]
    text: list[str]
    html: list[str]
    files: list[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One part of two versions; no rows where it is the same in both."""

    title: str | Promise
    rows: list[Row]


class Versions:
    """What the tab shows: composed beside sent, and a mail beside its edited copy."""

    def __init__(self, content: Content, other: int | None, *, shows_drafts: bool = True) -> None:
        self.message = content.message
        self._content = content
        self._other = other
        self._shows_drafts = shows_drafts

    @cached_property
    def of_itself(self) -> list[Comparison]:
        """From what was composed to what was sent; empty where nothing was composed here."""
        draft = _draft_of(self.message)
        if draft is None:
            return []
        sent = _sent(self.message, self._content, every_header=True)
        return _compare(_composed(self.message, draft), sent)

    @cached_property
    def linked(self) -> list[Message]:
        """Its writer's copies of it, and what it is a copy of; replies and forwards are neither."""
        mine = Message.objects.filter(owner=self.message.owner_id)
        mine = mine.select_related("draft", "account").annotate(is_sending=is_being_sent())
        if not self._shows_drafts:
            mine = mine.exclude(status=Status.DRAFT)
        copies = mine.filter(made_from=self.message.pk, draft__made_as__in=COPIES)
        linked = list(copies.order_by("-pk")[:LINKED_SHOWN])
        draft = _draft_of(self.message)
        if self.message.made_from_id and draft is not None and draft.made_as in COPIES:
            linked += mine.filter(pk=self.message.made_from_id)
        return linked

    @cached_property
    def other(self) -> Message | None:
        """The mail it is compared with: the one asked for, else the latest."""
        asked = [one for one in self.linked if one.pk == self._other]
        return next(iter(asked or self.linked), None)

    @property
    def other_is_older(self) -> bool:
        """Tell which of the two was made from the other."""
        return self.other is not None and self.other.pk == self.message.made_from_id

    @cached_property
    def of_both(self) -> list[Comparison]:
        """From the older mail to the newer."""
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
        headers[-1:-1] = [f"Bcc: {address}" for address in hidden]  # the Subject stands last
    return Version(
        headers=headers,
        text=_lines(text or html_to_text(html)),
        html=_html_lines(html),
        files=sorted(_file(part.name, part.size, part.sha256) for part in files(outline(source))),
    )


def _headers(source: bytes, *, every_header: bool) -> Iterator[str]:
    """Write each header as a line, and each address as one of its own."""
    for name, _raw, value in decoded_headers(source):
        if name.title() in _ADDRESSES:
            yield from _named(name.title(), value)
        elif every_header or name.title() in _COMPARED:
            yield f"{name}: {value}"


def _named(name: str, text: str) -> list[str]:
    try:
        return [f"{name}: {address}" for address in parse_address_list(text)]
    except AddressError:
        return [f"{name}: {text}"]  # a draft may hold it, and a stranger's mail


def _lines(text: str) -> list[str]:
    lines = (line.rstrip() for line in text.strip().splitlines())
    return [line[at : at + LONGEST] for line in lines for at in range(0, len(line) or 1, LONGEST)]


def _html_lines(html: str) -> list[str]:
    return _lines(_TAG_ENDS.sub(r"\1\n", html.strip())) if html else []


def _file(name: str, length: int, sha256: str) -> str:
    return f"{name} ({size(length)}, sha256 {sha256[:12]}…)"


def _compare(old: Version, new: Version) -> list[Comparison]:
    parts: Iterable[tuple[str | Promise, list[str], list[str]]] = (
        (gettext_lazy("Headers"), old.headers, new.headers),
        (gettext_lazy("Text"), old.text, new.text),
        (gettext_lazy("HTML"), old.html, new.html),
        (pgettext_lazy("of a mail", "Attachments"), old.files, new.files),
    )
    return [
        Comparison(title, difference(before, after))
        for title, before, after in parts
        if before or after
    ]

"""What a draft is made from: the text, the files and the people of a message."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from django.utils.safestring import SafeString, mark_safe

from outbox.api.thread_ids import thread_ids
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import Address, AddressError, parse_entry, quote_name, split_entries
from outbox.mail.content_type import join_content_type
from outbox.mail.data_pictures import Cleaned, DataPicture, clean_with_pictures
from outbox.mail.displayed import Displayed, read_displayed
from outbox.mail.html import HtmlTooLongError, html_to_text, without_remote_pictures
from outbox.mail.markup import MAX_HTML
from outbox.mail.mime_writer import AttachmentPart
from outbox.mail.parts import decoded_headers, files_with_content
from outbox.mail.replies import references_of_reply
from outbox.mail.search_terms import fold
from outbox.models import InboundMessage, InboundSource, Message, Role, Source, State
from outbox.reasons import Reason, ReasonCode
from outbox.texts import gettext_noop

_HEADER_READ = 50_000  # characters of a header field with addresses


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """A file of the original that the draft includes; `path` identifies it in the original."""

    path: str
    part: AttachmentPart
    is_part: bool = True  # otherwise a picture that was embedded in the HTML


class Original:
    """The parts of a message that a draft is made from, whether it was sent or received."""

    message: Message | InboundMessage
    sent_at: dt.datetime
    lost_pictures = 0  # remote pictures that `bodies` has left out

    def __init__(self, source: bytes) -> None:
        self.source = source
        headers = reversed(decoded_headers(source))
        self.headers = {name.lower(): value for name, _raw, value in headers}

    @cached_property
    def bodies(self) -> tuple[str, SafeString]:
        """The text, and the HTML in its editable form; HTML that is too long is omitted."""
        displayed = self._displayed
        text = displayed.text or html_to_text(displayed.html)
        html = "\n".join(one.html for one in self._cleaned)
        return text.rstrip("\n"), mark_safe(html)  # noqa: S308  # just cleaned

    @cached_property
    def _displayed(self) -> Displayed:
        return read_displayed(self.source)

    @cached_property
    def _cleaned(self) -> list[Cleaned]:
        try:
            cleaned = [clean_with_pictures(one) for one in self._displayed.documents]
        except HtmlTooLongError:
            return []
        return cleaned if sum(len(one.html) for one in cleaned) <= MAX_HTML else []

    @property
    def _pictures(self) -> list[DataPicture]:
        """The pictures that are embedded in the HTML, each once."""
        found = {one.content_id: one for part in self._cleaned for one in part.pictures}
        return list(found.values())

    @property
    def references(self) -> list[str]:
        """The ids of the messages that the original replied to."""
        older = self.headers.get("references", "")
        return references_of_reply("", older, self.headers.get("in-reply-to", ""))

    @property
    def ids(self) -> list[str]:
        """The ids of the original for the References of a reply, the one it replies to last."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """The subject, in one line."""
        return self.message.subject

    def named(self, role: Role, states: Collection[str] = tuple(State)) -> str:
        """Return the recipients of one role in the form that people type."""
        raise NotImplementedError

    def people_of_reply(self) -> tuple[str, str]:
        """Return the recipients of a reply in To and in Cc."""
        return self.named(Role.TO), self.named(Role.CC)

    def files(self) -> list[OriginalFile]:
        """Return the attached files, and the pictures that are embedded in the HTML."""
        found = [
            OriginalFile(
                part.path,
                AttachmentPart(
                    name=part.name or f"part-{part.path}",
                    content_type=join_content_type(part.content_type, part.parameters),
                    data=data,
                    content_id=part.content_id,
                ),
            )
            for part, data in files_with_content(self.source)
        ]
        for number, one in enumerate(self._pictures, 1):
            part = AttachmentPart(
                name=one.name, content_type=one.content_type, data=one.data,
                content_id=one.content_id,
            )  # fmt: skip
            found.append(OriginalFile(f"data-{number}", part, is_part=False))
        return found


class SentOriginal(Original):
    """A message that was sent. Raise InvalidMessageError if it cannot be copied."""

    message: Message

    def __init__(self, message: Message) -> None:
        self.message = message
        if message.is_sensitive:
            template = gettext_noop("A sensitive message cannot be copied into a draft.")
            raise InvalidMessageError("message", template)
        if message.content_loss == Reason(ReasonCode.CONTENT_REMOVED):
            raise InvalidMessageError("message", ReasonCode.CONTENT_REMOVED.template)
        try:
            super().__init__(message.source.read())
        except (Source.DoesNotExist, OSError):
            super().__init__(b"")

    @property
    def sent_at(self) -> dt.datetime:  # type: ignore[override]  # read only
        return self.message.send_at or self.message.queued_at or self.message.created_at

    @property
    def ids(self) -> list[str]:
        """The ids by which recipients' programs know it."""
        return thread_ids(self.message)

    def named(self, role: Role, states: Collection[str] = tuple(State)) -> str:
        """Return the recipients of one role in the form that people type."""
        recipients = self.message.recipients.filter(role=role, state__in=states)
        return ", ".join(
            f"{quote_name(one.name)} <{one.address}>" if one.name else one.address
            for one in recipients
        )


class ReceivedOriginal(Original):
    """A message that was received, whose header and HTML come from another system."""

    message: InboundMessage

    def __init__(self, message: InboundMessage, *, to_all: bool = False, own: Collection[str] = ()):
        """`own` are the addresses of the user, to which a reply to all does not go."""
        self.message = message
        self._to_all = to_all
        self._own = {fold(address) for address in own}
        try:
            super().__init__(message.source.read())
        except (InboundSource.DoesNotExist, OSError):
            super().__init__(b"")

    @property
    def sent_at(self) -> dt.datetime:  # type: ignore[override]  # read only
        return self.message.sent_at or self.message.received_at

    @property
    def ids(self) -> list[str]:
        """Its Message-ID, if it has one."""
        return [f"<{self.message.message_id}>"] if self.message.message_id else []

    @property
    def subject(self) -> str:
        """The subject, in one line and as long as a draft may have it."""
        # A prefix such as "Re: " follows.
        return " ".join(self.message.subject.split())[: get_conf().max_subject - len("Fwd: ")]

    @cached_property
    def bodies(self) -> tuple[str, SafeString]:
        """The text and the HTML, which does not contact a server when it is edited."""
        text, html = super().bodies
        displayed, self.lost_pictures = without_remote_pictures(html)
        return text, mark_safe(displayed)  # noqa: S308  # cleaned before

    def named(self, role: Role, states: Collection[str] = tuple(State)) -> str:
        """Return the recipients of one role that the header names."""
        return ", ".join(_typed(one) for one in self._header(str(role)))

    def people_of_reply(self) -> tuple[str, str]:
        """Return the sender, and for a reply to all the other recipients in Cc.

        A reply to the user's own message goes to those that it was addressed to, and to the user if
        it was addressed to no other.
        """
        sender = self._header("reply-to") or self._header("from")
        others = self._others([*self._header("to"), *self._header("cc")])
        if sender and all(fold(one.spec) in self._own for one in sender):
            others = self._others(self._header("cc"))
            sender = self._others(self._header("to")) or sender
        known = {fold(one.spec) for one in sender}
        copied = [one for one in others if fold(one.spec) not in known] if self._to_all else []
        return ", ".join(map(_typed, sender)), ", ".join(map(_typed, copied))

    def _others(self, people: Iterable[Address]) -> list[Address]:
        found = {fold(one.spec): one for one in people if fold(one.spec) not in self._own}
        return list(found.values())

    def _header(self, name: str) -> list[Address]:
        """Return the valid addresses in a header field, each once and not too many."""
        found: dict[str, Address] = {}
        for entry in split_entries(self.headers.get(name, "")[:_HEADER_READ]):
            try:
                address = parse_entry(entry)
            except AddressError:
                continue
            found.setdefault(fold(address.spec), address)
        return list(found.values())[: get_conf().max_recipients]


def _typed(address: Address) -> str:
    return f"{quote_name(address.name)} <{address.spec}>" if address.name else address.spec

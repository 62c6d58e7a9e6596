"""Drafts made out of a message: a reply, a forward, a copy, a copy for the failed recipients.

All is read back from the bytes that were sent, so mail of other apps can be answered too; its HTML
is cleaned as a stranger's.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from outbox.api.composing import check_size
from outbox.api.drafts import DraftFields, attach_file, save_draft
from outbox.api.times import format_minute
from outbox.conf import get_conf
from outbox.mail.addresses import quote_name
from outbox.mail.content_type import join_content_type
from outbox.mail.data_pictures import Cleaned, DataPicture, clean_with_pictures
from outbox.mail.displayed import Displayed, read_displayed
from outbox.mail.html import HtmlTooLongError, html_to_text, without_picture
from outbox.mail.markup import MAX_HTML
from outbox.mail.mime import AttachmentPart
from outbox.mail.parts import decoded_headers, files, outline, part_bytes
from outbox.mail.quoting import forward_subject, quoted, reply_subject
from outbox.mail.threads import references_of_reply
from outbox.models import RETRYABLE, Account, Answer, Message, Role, Source, State


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """A file of the original that the answer carries; `path` names it within the original."""

    path: str
    part: AttachmentPart
    is_part: bool = True  # else a picture that the HTML held itself


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """A reply, forward or copy before its first change: nothing of it is stored."""

    original: Message
    kind: Answer
    fields: DraftFields
    references: Sequence[str]
    files: Sequence[CarriedFile]


def prepare_answer(message: Message, kind: Answer, *, actor: AbstractBaseUser) -> PreparedAnswer:
    """Make an answer to a message. Raises InvalidMailError when its files are too large."""
    fields, references, files = _MAKERS[kind](_Original(message))
    check_size(sum(len(file.part.data) for file in files))
    account = message.account
    if account is not None and not Account.objects.usable_by(actor).contains(account):
        account = None
    # Plain text for a form to escape: what is safe in a page is not safe inside of a control.
    fields = replace(fields, account=account, html=fields.html + "")
    return PreparedAnswer(message, kind, fields, references, files)


def files_of(message: Message) -> list[AttachmentPart]:
    """Return what a message carries beside its text."""
    return [file.part for file in _Original(message).files()]


def link_answer(
    draft: Message, prepared: PreparedAnswer, *, paths: Collection[str] | None = None
) -> None:
    """Make a new draft the answer that was prepared: its thread, its original and its files.

    Of the files, those with the given paths are attached; None attaches all. A draft that is
    linked already is left as it is. Raises InvalidMailError when the files are too large.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        row = Message.objects.using(using).select_for_update(no_key=True).get(pk=draft.pk)
        if row.made_from_id is not None:
            return
        draft.made_from = prepared.original
        draft.in_reply_to = prepared.references[-1] if prepared.references else ""
        draft.save(using=using, update_fields=["made_from", "in_reply_to"])
        draft.draft.references = " ".join(prepared.references)
        draft.draft.made_as = prepared.kind
        for file in prepared.files:
            part = file.part
            if paths is None or file.path in paths:
                attach_file(
                    draft, part.name, part.content_type, part.data, content_id=part.content_id
                )
            elif part.content_id:
                draft.draft.html = without_picture(draft.draft.html, part.content_id)
        draft.draft.save(using=using, update_fields=["references", "made_as", "html"])


def answer(message: Message, kind: Answer, *, actor: AbstractBaseUser) -> Message:
    """Store an answer to a message as a draft. Raises InvalidMailError as `prepare_answer`."""
    prepared = prepare_answer(message, kind, actor=actor)
    with transaction.atomic(using=get_conf().database):
        draft = save_draft(actor, prepared.fields)
        link_answer(draft, prepared)
    return draft


class _Original:
    """A mail as far as another one is made from it."""

    def __init__(self, message: Message) -> None:
        self.message = message
        try:
            self.source = message.source.read()
        except (Source.DoesNotExist, OSError):
            self.source = b""
        headers = reversed(decoded_headers(self.source))
        self.headers = {name.lower(): value for name, _raw, value in headers}

    @cached_property
    def bodies(self) -> tuple[str, SafeString]:
        """Its text, and its HTML as it may be edited; HTML too long for that is left out."""
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
        """The pictures that the HTML holds itself, each once."""
        found = {one.content_id: one for part in self._cleaned for one in part.pictures}
        return list(found.values())

    @property
    def sent_at(self) -> dt.datetime:
        return self.message.send_at or self.message.queued_at or self.message.created_at

    @property
    def references(self) -> list[str]:
        """What the mail itself answered."""
        older = self.headers.get("references", "")
        return references_of_reply("", older, self.headers.get("in-reply-to", ""))

    def named(self, role: Role, states: Collection[str] = tuple(State)) -> str:
        """Write the recipients of one role as people type them."""
        recipients = self.message.recipients.filter(role=role, state__in=states)
        return ", ".join(
            f"{quote_name(one.name)} <{one.address}>" if one.name else one.address
            for one in recipients
        )

    def files(self) -> list[CarriedFile]:
        """Return what it carries beside its text, and the pictures that its HTML holds itself."""
        found = [
            CarriedFile(
                part.path,
                AttachmentPart(
                    name=part.name or f"part-{part.path}",
                    content_type=join_content_type(part.content_type, part.parameters),
                    data=part_bytes(self.source, part.path),
                    content_id=part.content_id,
                ),
            )
            for part in files(outline(self.source))
        ]
        for number, one in enumerate(self._pictures, 1):
            part = AttachmentPart(
                name=one.name, content_type=one.content_type, data=one.data,
                content_id=one.content_id,
            )  # fmt: skip
            found.append(CarriedFile(f"data-{number}", part, is_part=False))
        return found


_Made = tuple[DraftFields, Sequence[str], Sequence[CarriedFile]]


def _reply(original: _Original) -> _Made:
    text, html = original.bodies
    intro = _("On %(date)s, %(sender)s wrote:") % {
        "date": format_minute(original.sent_at),
        "sender": original.message.from_header,
    }
    quote = format_html("<p></p><p>{}</p><blockquote>{}</blockquote>", intro, html) if html else ""
    fields = DraftFields(
        to=original.named(Role.TO),
        cc=original.named(Role.CC),
        subject=reply_subject(original.message.subject),
        text=f"\n\n{intro}\n{quoted(text)}\n",
        html=quote,
    )
    references = [*original.references, f"<{original.message.message_id}>"]
    shown = [
        one
        for one in original.files()
        if one.part.content_id and f"cid:{one.part.content_id}" in html
    ]
    return fields, references_of_reply("", " ".join(references)), shown


def _forward(original: _Original) -> _Made:
    text, html = original.bodies
    facts = [
        (_("From"), original.message.from_header),
        (_("Date"), format_minute(original.sent_at)),
        (_("Subject"), original.message.subject),
        (_("To"), original.named(Role.TO)),
        (_("Cc"), original.named(Role.CC)),
    ]
    facts = [(name, value) for name, value in facts if value]
    title = _("Forwarded mail")
    head = "\n".join(f"{name}: {value}" for name, value in facts)
    quote = ""
    if html:
        lines = format_html_join(mark_safe("<br>"), "{}: {}", facts)
        quote = format_html("<p></p><p>— {} —<br>{}</p>{}", title, lines, html)
    fields = DraftFields(
        subject=forward_subject(original.message.subject),
        text=f"\n\n— {title} —\n{head}\n\n{text}\n",
        html=quote,
    )
    return fields, [], original.files()


def _copy(original: _Original, states: Collection[str] = tuple(State)) -> _Made:
    text, html = original.bodies
    fields = DraftFields(
        to=original.named(Role.TO, states),
        cc=original.named(Role.CC, states),
        bcc=original.named(Role.BCC, states),
        reply_to=original.headers.get("reply-to", ""),
        subject=original.message.subject,
        priority=original.message.priority,
        text=text,
        html=html,
        wants_report=original.message.wants_report,
    )
    return fields, original.references, original.files()


def _resend(original: _Original) -> _Made:
    return _copy(original, RETRYABLE)


_MAKERS = {
    Answer.REPLY: _reply,
    Answer.FORWARD: _forward,
    Answer.COPY: _copy,
    Answer.RESEND: _resend,
}

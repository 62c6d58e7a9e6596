"""Drafts made from a sent message: a reply, a forward, a copy, a copy for the failed recipients.

Everything is read from the bytes that were sent, so this works for messages of other apps as well.
Their HTML is not trusted, and is cleaned.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from outbox.api.drafts import DraftFields, attach_files, save_draft
from outbox.api.limits import check_attachments, check_size
from outbox.api.originals import Original, OriginalFile, SentOriginal
from outbox.api.times import format_minute
from outbox.conf import get_conf
from outbox.exceptions import StorageWriteError
from outbox.mail.html import without_picture
from outbox.mail.mime_writer import AttachmentPart
from outbox.mail.replies import forward_subject, quoted, references_of_reply, reply_subject
from outbox.models import RETRYABLE, Account, DraftKind, InboundMessage, Message, Role, State


@dataclass(frozen=True, slots=True)
class PreparedReply:
    """A reply, forward or copy that is not stored yet."""

    original: Message | InboundMessage
    kind: DraftKind
    fields: DraftFields
    references: Sequence[str]
    files: Sequence[OriginalFile]
    lost_pictures: int = 0  # remote pictures of the original that the draft does not have

    @property
    def is_of_received(self) -> bool:
        """Return whether the original was received."""
        return isinstance(self.original, InboundMessage)

    @property
    def is_incomplete_forward(self) -> bool:
        """Return whether the recipients will see less than the user saw in the original."""
        return self.kind == DraftKind.FORWARD and self.lost_pictures > 0


def prepare_reply(message: Message, kind: DraftKind, *, actor: AbstractBaseUser) -> PreparedReply:
    """Return a draft made from a message. Raise InvalidMessageError if its files are too large."""
    return prepared_from(SentOriginal(message), kind, actor=actor)


def prepared_from(original: Original, kind: DraftKind, *, actor: AbstractBaseUser) -> PreparedReply:
    """Return a draft made from what was read of a message, as `prepare_reply` does."""
    fields, references, files = _MAKERS[kind](original)
    check_attachments(len(files))
    check_size(sum(len(file.part.data) for file in files))
    account = original.message.account
    if account is not None and not Account.objects.usable_by(actor).contains(account):
        account = None
    # Plain text, which the form escapes: what is safe in a page is not safe inside a control.
    fields = replace(fields, account=account, html=fields.html + "")
    return PreparedReply(
        original.message, kind, fields, references, files, lost_pictures=original.lost_pictures
    )


def files_of(message: Message) -> list[AttachmentPart]:
    """Return the files of a message."""
    return [file.part for file in SentOriginal(message).files()]


def link_reply(
    draft: Message, prepared: PreparedReply, *, paths: Collection[str] | None = None
) -> None:
    """Link a new draft to its original, and add the thread and the files.

    The files with the given paths are attached; None attaches all. A draft that is already linked
    is not changed. Raise InvalidMessageError if the files are too large. Raise StorageWriteError if
    they cannot be stored; then the draft is linked and has none of them.
    """
    using = get_conf().database
    failure: StorageWriteError | None = None
    with transaction.atomic(using=using):
        row = Message.objects.using(using).select_for_update(no_key=True).get(pk=draft.pk)
        if row.made_from_id is not None or row.made_from_received_id is not None:
            return
        if isinstance(prepared.original, InboundMessage):
            draft.made_from_received = prepared.original
        else:
            draft.made_from = prepared.original
        draft.in_reply_to = prepared.references[-1] if prepared.references else ""
        draft.save(using=using, update_fields=["made_from", "made_from_received", "in_reply_to"])
        draft.draft.references = " ".join(prepared.references)
        draft.draft.made_as = prepared.kind
        try:
            with transaction.atomic(using=using):
                _attach_files(draft, prepared, paths)
        except StorageWriteError as error:
            failure = error
        draft.draft.save(using=using, update_fields=["references", "made_as", "html"])
    if failure is not None:
        raise failure


def _attach_files(draft: Message, prepared: PreparedReply, paths: Collection[str] | None) -> None:
    included = [file.part for file in prepared.files if paths is None or file.path in paths]
    attach_files(draft, included)
    for file in prepared.files:
        if file.part.content_id and not (paths is None or file.path in paths):
            draft.draft.html = without_picture(draft.draft.html, file.part.content_id)


def reply_to_message(message: Message, kind: DraftKind, *, actor: AbstractBaseUser) -> Message:
    """Create a draft from a message. Raise InvalidMessageError as `prepare_reply` does."""
    prepared = prepare_reply(message, kind, actor=actor)
    with transaction.atomic(using=get_conf().database):
        draft = save_draft(actor, prepared.fields)
        link_reply(draft, prepared)
    return draft


_Made = tuple[DraftFields, Sequence[str], Sequence[OriginalFile]]


def _reply(original: Original) -> _Made:
    text, html = original.bodies
    intro = _("On %(date)s, %(sender)s wrote:") % {
        "date": format_minute(original.sent_at),
        "sender": original.message.from_header,
    }
    quote = format_html("<p></p><p>{}</p><blockquote>{}</blockquote>", intro, html) if html else ""
    to, cc = original.people_of_reply()
    fields = DraftFields(
        to=to,
        cc=cc,
        subject=reply_subject(original.subject),
        text=f"\n\n{intro}\n{quoted(text)}\n",
        html=quote,
    )
    shown = [
        one
        for one in original.files()
        if one.part.content_id and f"cid:{one.part.content_id}" in html
    ]
    return fields, references_of_reply(" ".join(original.ids), " ".join(original.references)), shown


def _forward(original: Original) -> _Made:
    text, html = original.bodies
    facts = [
        (_("From"), original.message.from_header),
        (_("Date"), format_minute(original.sent_at)),
        (_("Subject"), original.subject),
        (_("To"), original.named(Role.TO)),
        (_("Cc"), original.named(Role.CC)),
    ]
    facts = [(name, value) for name, value in facts if value]
    title = _("Forwarded message")
    head = "\n".join(f"{name}: {value}" for name, value in facts)
    quote = ""
    if html:
        lines = format_html_join(mark_safe("<br>"), "{}: {}", facts)
        quote = format_html("<p></p><p>— {} —<br>{}</p>{}", title, lines, html)
    fields = DraftFields(
        subject=forward_subject(original.subject),
        text=f"\n\n— {title} —\n{head}\n\n{text}\n",
        html=quote,
    )
    return fields, [], original.files()


def _copy(original: Original, states: Collection[str] = tuple(State)) -> _Made:
    assert isinstance(original, SentOriginal)  # a received message cannot be sent again
    text, html = original.bodies
    fields = DraftFields(
        to=original.named(Role.TO, states),
        cc=original.named(Role.CC, states),
        bcc=original.named(Role.BCC, states),
        reply_to=original.headers.get("reply-to", ""),
        subject=original.message.subject,
        importance=original.message.importance,
        text=text,
        html=html,
        wants_report=original.message.wants_report,
    )
    return fields, original.references, original.files()


def _resend(original: Original) -> _Made:
    return _copy(original, RETRYABLE)


_MAKERS = {
    DraftKind.REPLY: _reply,
    DraftKind.FORWARD: _forward,
    DraftKind.COPY: _copy,
    DraftKind.RESEND: _resend,
}

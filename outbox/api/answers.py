"""Drafts made out of a mail: a reply, a forward, a copy to edit, a copy for whom it failed.

All is read back from the bytes that were sent, so mail of other apps can be answered too; its HTML
is cleaned as a stranger's.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from outbox.api.drafts import DraftFields, attach_file, save_draft
from outbox.api.times import format_minute
from outbox.conf import get_conf
from outbox.mail.addresses import quote_name
from outbox.mail.content_type import join_content_type
from outbox.mail.displayed import read_displayed
from outbox.mail.html import HtmlTooLongError, clean_documents, html_to_text
from outbox.mail.mime import AttachmentPart
from outbox.mail.parts import decoded_headers, files, outline, part_bytes
from outbox.mail.quoting import forward_subject, quoted, reply_subject
from outbox.mail.threads import references_of_reply
from outbox.models import RETRYABLE, Account, Answer, Message, Role, Source, State


def answer(message: Message, kind: Answer, *, actor: AbstractBaseUser) -> Message:
    """Make a draft out of a mail. Raises InvalidMailError when it cannot carry the mail's files."""
    original = _Original(message)
    fields, references, carried = _MAKERS[kind](original)
    account = message.account
    if account is not None and not Account.objects.usable_by(actor).contains(account):
        account = None
    with transaction.atomic(using=get_conf().database):
        draft = save_draft(actor, replace(fields, account=account))
        draft.made_from = message
        draft.in_reply_to = references[-1] if references else ""
        draft.save(update_fields=["made_from", "in_reply_to"])
        draft.draft.references = " ".join(references)
        draft.draft.made_as = kind
        draft.draft.save(update_fields=["references", "made_as"])
        for file in carried:
            attach_file(draft, file.name, file.content_type, file.data, content_id=file.content_id)
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
        displayed = read_displayed(self.source)
        try:
            cleaned = clean_documents(displayed.documents)
        except HtmlTooLongError:
            cleaned = ""
        text = displayed.text or html_to_text(displayed.html)
        return text.rstrip("\n"), mark_safe(cleaned)  # noqa: S308  # just cleaned

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

    def files(self) -> list[AttachmentPart]:
        """Take out what it carries beside its text."""
        return [
            AttachmentPart(
                name=part.name or f"part-{part.path}",
                content_type=join_content_type(part.content_type, part.parameters),
                data=part_bytes(self.source, part.path),
                content_id=part.content_id,
            )
            for part in files(outline(self.source))
        ]


_Made = tuple[DraftFields, Sequence[str], Sequence[AttachmentPart]]


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
    shown = [one for one in original.files() if one.content_id and f"cid:{one.content_id}" in html]
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

"""What a person typed into a draft. Lenient: everything can be saved, whatever it says.

Whether it can be sent is decided by `api.send_draft`, which names the field it objects to.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox import api
from outbox.api.phrases import translate
from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, parse_entry, split_entries
from outbox.mail.data_pictures import DataPicture, clean_with_pictures
from outbox.mail.html import HtmlTooLongError, html_to_text
from outbox.models import Account, Message
from outbox.web.compose.later import SendAtField
from outbox.web.compose.pictures import shown_from, shown_from_original, to_content_ids
from outbox.web.wording import NORMAL, PRIORITIES, size

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]{0,59}/[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Any number of files, none of them larger than a whole mail may be."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        uploads = [super(ManyFilesField, self).clean(upload, initial) for upload in data or ()]
        return [self._bounded(upload) for upload in uploads]

    def _bounded(self, upload: UploadedFile[Any]) -> UploadedFile[Any]:
        limit = get_conf().max_message_bytes
        if (upload.size or 0) > limit:
            raise forms.ValidationError(
                _("“%(name)s” is %(size)s; a whole mail may be %(limit)s at most.")
                % {"name": upload.name, "size": size(upload.size or 0), "limit": size(limit)}
            )
        return upload


def content_type_of(upload: UploadedFile[Any]) -> str:
    """Return the type the browser named, as far as it is one (RFC 6838 4.2)."""
    named = upload.content_type or ""
    return named.lower() if _CONTENT_TYPE.fullmatch(named) else "application/octet-stream"


def _recipients(label: Any) -> forms.CharField:
    """Build an address field: it grows with its text, and keeps line breaks as separators."""
    attrs = {
        "rows": 1,
        "autocomplete": "off",
        "autocapitalize": "off",
        "spellcheck": "false",
        "inputmode": "email",
        "class": "grows",
    }
    return forms.CharField(label=label, required=False, widget=forms.Textarea(attrs=attrs))


class SenderField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """Accounts, each by the sender that recipients see; two that are alike also by their names."""

    def offer(self, accounts: QuerySet[Account]) -> None:
        """Offer these accounts."""
        self.queryset = accounts
        self._counts = Counter(account.sender for account in accounts)

    def label_from_instance(self, account: Any) -> str:
        is_double = self._counts[account.sender] > 1
        return f"{account.sender} ({account.name})" if is_double else account.sender


class DraftForm(forms.Form):
    """The fields of a draft, kept as typed; spaces and line ends belong to what was typed."""

    account = SenderField(
        label=gettext_lazy("From"),
        queryset=Account.objects.none(),
        required=False,
        empty_label=gettext_lazy("Choose an account"),
        error_messages={
            "invalid_choice": gettext_lazy("You have no such account; choose another.")
        },
    )
    to = _recipients(gettext_lazy("To"))
    cc = _recipients(gettext_lazy("Cc"))
    bcc = _recipients(gettext_lazy("Bcc"))
    reply_to = _recipients(gettext_lazy("Reply to"))
    subject = forms.CharField(
        label=gettext_lazy("Subject"),
        required=False,
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    priority = forms.TypedChoiceField(
        label=gettext_lazy("Priority"),
        choices=list(PRIORITIES.items()),
        coerce=int,
        initial=NORMAL,
        required=False,
    )
    text = forms.CharField(
        label=gettext_lazy("Text"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 14}),
    )
    html = forms.CharField(
        label=gettext_lazy("Formatted text"),
        required=False,
        strip=False,
        # Only a script that can edit it sends it back: without one, the plain text counts.
        widget=forms.Textarea(attrs={"hidden": True, "disabled": True}),
    )
    send_at = SendAtField(label=gettext_lazy("Send at"), required=False)
    wants_report = forms.BooleanField(
        label=gettext_lazy("Request a delivery report"), required=False
    )
    attachments = ManyFilesField(
        label=gettext_lazy("Attachments"), required=False, allow_empty_file=True
    )

    def __init__(
        self,
        person: User,
        *args: Any,
        draft: Message | None = None,
        answer: api.PreparedAnswer | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.draft = draft
        self.answer = answer  # that is not stored yet
        self.pictures: list[DataPicture] = []  # that the formatted text held itself
        accounts = Account.objects.usable_by(person)
        self.fields["account"].offer(accounts)  # type: ignore[attr-defined]  # SenderField's
        self.accounts = list(accounts)
        first = self.accounts[0] if self.accounts else None
        if draft:
            self.initial = _typed(draft)
        elif answer:
            self.initial = {**_prepared(answer), **self.initial}
        else:
            self.initial = {"account": first, **self.initial}

    @property
    def uploads(self) -> Iterable[UploadedFile[Any]]:
        """The files that came with it."""
        return self.cleaned_data.get("attachments") or ()

    def clean_html(self) -> str:
        original = self.answer.original.pk if self.answer else None
        if self.draft:
            original = self.draft.made_from_id
        typed = to_content_ids(self.cleaned_data["html"], self.draft, original)
        if not typed.strip():
            return ""
        try:
            cleaned = clean_with_pictures(typed)
        except HtmlTooLongError as error:
            raise forms.ValidationError(_("This text is too long to be formatted.")) from error
        self.pictures = cleaned.pictures
        if cleaned.refused_types:
            raise forms.ValidationError(
                _(
                    "Pictures of the type %(type)s cannot be displayed in a message."
                    " Use PNG, JPEG, GIF or WebP, or attach the file."
                )
                % {"type": ", ".join(cleaned.refused_types)}
            )
        if cleaned.has_broken:
            raise forms.ValidationError(
                _("A picture in the text is damaged. Remove it, or insert it again.")
            )
        return cleaned.html

    def as_fields(self) -> api.DraftFields:
        """Hand over what was typed; what is no valid choice is left out."""
        data = self.cleaned_data
        texts = {name: data.get(name, "") for name in _TEXTS}
        if html := data.get("html", ""):
            texts["text"] = html_to_text(html)
        return api.DraftFields(
            account=data.get("account"),
            priority=data.get("priority") or NORMAL,
            html=html,
            send_at=data.get("send_at"),
            wants_report=data.get("wants_report", False),
            **texts,
        )

    @property
    def wrong_recipients(self) -> dict[str, dict[str, str]]:
        """What is not an email address: by field, each entry and what is wrong with it."""
        found = {name: _problems(self.cleaned_data.get(name, "")) for name in ADDRESS_FIELDS}
        return {name: problems for name, problems in found.items() if problems}

    def check_sendable(self) -> None:
        """Add an error to every field that keeps the message from being sent."""
        for name, problems in self.wrong_recipients.items():
            self.add_error(name, list(problems.values())[:PROBLEMS_SHOWN])
        if not any(self.data.get(name, "").strip() for name in _RECIPIENTS):
            self.add_error("to", _("Enter at least one recipient."))
        if self.cleaned_data.get("account") is None and "account" not in self.errors:
            self.add_error("account", _("Choose the account to send with."))
        send_at = self.cleaned_data.get("send_at")
        if self.data.get("send") == AT_A_TIME and not (send_at or "send_at" in self.errors):
            self.add_error("send_at", _("Enter a valid date and time."))
        if send_at and send_at < timezone.now():
            text = _("That time has passed. Pick a later one, or clear it to send now.")
            self.add_error("send_at", text)

    def begin_at(self, field: str) -> None:
        """Give this field the focus when the page opens."""
        self.fields[field].widget.attrs["autofocus"] = True

    def object(self, field: str, text: str) -> None:
        """Put what `api` objects to at its field."""
        self.add_error(field if field in self.fields else None, translate(text))

    @property
    def has_more(self) -> bool:
        """Tell whether the seldom used fields say something, so that they are not folded away."""
        typed = any(self[name].value() or self[name].errors for name in ADDRESS_FIELDS[1:])
        is_plain = str(self["priority"].value() or NORMAL) == str(NORMAL)
        return typed or not is_plain or bool(self["wants_report"].value())

    @property
    def is_scheduled(self) -> bool:
        """Return whether a time to send at is set."""
        return bool(self["send_at"].value())


_RECIPIENTS = ("to", "cc", "bcc")
ADDRESS_FIELDS = (*_RECIPIENTS, "reply_to")
AT_A_TIME = "at"  # value of the button below the field of the time: it never sends at once
PROBLEMS_SHOWN = 5  # of one field
_TEXTS = (*ADDRESS_FIELDS, "subject", "text")


def _problems(typed: str) -> dict[str, str]:
    problems = {}
    for entry in split_entries(typed):
        try:
            parse_entry(entry)
        except AddressError as error:
            problems[entry] = translate(str(error))
    return problems


def _typed(draft: Message) -> dict[str, Any]:
    """Return the initial values: the draft as it was left."""
    kept = draft.draft
    return {
        "account": draft.account_id,
        "to": kept.to,
        "cc": kept.cc,
        "bcc": kept.bcc,
        "reply_to": kept.reply_to,
        "subject": draft.subject,
        "priority": draft.priority,
        "text": kept.text,
        "html": shown_from(kept.html, draft),
        "send_at": draft.send_at,
        "wants_report": draft.wants_report,
    }


def _prepared(answer: api.PreparedAnswer) -> dict[str, Any]:
    """Return the initial values of an answer that is not stored yet."""
    fields = answer.fields
    names = [field.name for field in dataclasses.fields(fields)]
    values = {name: getattr(fields, name) for name in names}
    return values | {"html": shown_from_original(answer)}

"""The form of a draft. It is lenient: everything that was typed can be saved, mistakes included.

`api.send_draft` decides whether it can be sent, and names the field with an error.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox import api
from outbox.api.limits import check_recipients, check_typed_recipients
from outbox.api.reasons import in_words
from outbox.api.sizes import format_size
from outbox.conf import get_conf
from outbox.db import clock
from outbox.exceptions import InvalidMessageError, TranslatableError
from outbox.mail.addresses import AddressError, parse_entry, split_entries
from outbox.mail.data_pictures import DataPicture, clean_with_pictures
from outbox.mail.html import HtmlTooLongError, html_to_text
from outbox.models import Account, Importance, Message, Preferences
from outbox.web.accounts.sharing import shared_by
from outbox.web.compose.pictures import (
    content_ids_to_urls,
    html_with_original_urls,
    pictures_of_original,
    urls_to_content_ids,
)
from outbox.web.compose.send_at import SendAtField

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]{0,59}/[A-Za-z0-9][\w.+-]{0,63}", re.ASCII)
TOO_LONG = "too_long"  # the code of an error: saving would lose a text


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Any number of files, each within the limit for a whole message."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        uploads = [super(ManyFilesField, self).clean(upload, initial) for upload in data or ()]
        return [self._within_limit(upload) for upload in uploads]

    def _within_limit(self, upload: UploadedFile[Any]) -> UploadedFile[Any]:
        limit = get_conf().max_message_bytes
        if (upload.size or 0) > limit:
            raise forms.ValidationError(
                _("“%(name)s” is too large (%(size)s). A message can have at most %(limit)s.")
                % {
                    "name": upload.name,
                    "size": format_size(upload.size or 0),
                    "limit": format_size(limit),
                }
            )
        return upload


def content_type_of(upload: UploadedFile[Any]) -> str:
    """Return the type that the browser named, if it is a valid one (RFC 6838 4.2)."""
    named = upload.content_type or ""
    return named.lower() if _CONTENT_TYPE.fullmatch(named) else "application/octet-stream"


class LimitedField(forms.CharField):
    """A text with at most as many characters as a setting says, kept as typed."""

    def __init__(self, setting: str, **kwargs: Any) -> None:
        self._setting = setting
        super().__init__(required=False, **kwargs)

    def clean(self, value: Any) -> Any:
        limit = getattr(get_conf(), self._setting)
        if (count := len(value or "")) > limit:
            raise forms.ValidationError(
                _("%(field)s has %(count)s characters. The limit is %(limit)s.")
                % {"field": self.label, "count": f"{count:,}", "limit": f"{limit:,}"},
                code=TOO_LONG,
            )
        return super().clean(value)


def _address_field(label: Any) -> LimitedField:
    """Return an address field: it grows with its text, and keeps line breaks as separators."""
    attrs = {
        "rows": 1,
        "autocomplete": "off",
        "autocapitalize": "off",
        "spellcheck": "false",
        "inputmode": "email",
        "class": "grows",
    }
    return LimitedField("max_address_field", label=label, widget=forms.Textarea(attrs=attrs))


class SenderField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """Accounts, shown as the sender that recipients see, with the name if senders are equal."""

    def set_accounts(self, accounts: QuerySet[Account], user: User) -> None:
        """Set the accounts to choose from."""
        self.queryset = accounts
        self._user = user
        self._counts = Counter(account.sender for account in accounts)

    def label_from_instance(self, account: Any) -> str:
        if shared := shared_by(account, self._user):
            return f"{account.sender} ({account.name}, {shared})"
        is_ambiguous = self._counts[account.sender] > 1
        return f"{account.sender} ({account.name})" if is_ambiguous else account.sender


class DraftForm(forms.Form):
    """The fields of a draft, kept as typed, spaces and line ends included."""

    account = SenderField(
        label=gettext_lazy("From"),
        queryset=Account.objects.none(),
        required=False,
        empty_label=gettext_lazy("Choose an account"),
        error_messages={"invalid_choice": gettext_lazy("Choose one of your accounts.")},
    )
    to = _address_field(gettext_lazy("To"))
    cc = _address_field(gettext_lazy("Cc"))
    bcc = _address_field(gettext_lazy("Bcc"))
    reply_to = _address_field(gettext_lazy("Reply to"))
    subject = LimitedField(
        "max_subject",
        label=gettext_lazy("Subject"),
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    importance = forms.ChoiceField(
        label=gettext_lazy("Importance"),
        choices=Importance,
        initial=Importance.NORMAL,
        required=False,
    )
    text = LimitedField(
        "max_text",
        label=gettext_lazy("Text"),
        strip=False,
        widget=forms.Textarea(attrs={"rows": 14}),
    )
    html = forms.CharField(
        label=gettext_lazy("Rich text"),
        required=False,
        strip=False,
        # The editor enables it. Without JavaScript the plain text is sent back and used.
        widget=forms.Textarea(attrs={"hidden": True, "disabled": True}),
    )
    send_at = SendAtField(label=gettext_lazy("Send at"), required=False)
    wants_report = forms.BooleanField(
        label=gettext_lazy("Request delivery reports"),
        help_text=gettext_lazy(
            "You receive an email when the message is delivered or passed to a server that sends no"
            " reports, and when delivery fails or is delayed."
        ),
        required=False,
    )
    attachments = ManyFilesField(
        label=gettext_lazy("Attachments"), required=False, allow_empty_file=True
    )

    def __init__(
        self,
        user: User,
        *args: Any,
        draft: Message | None = None,
        prepared: api.PreparedReply | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.draft = draft
        self.prepared = prepared  # a reply, forward or copy that is not stored yet
        self.pictures: list[DataPicture] = []  # `data:` pictures of the formatted text
        accounts = Preferences.of(user.pk).usable_accounts(user)
        self.fields["account"].set_accounts(accounts, user)  # type: ignore[attr-defined]  # SenderField's
        self.accounts = list(accounts)
        first = self.accounts[0] if self.accounts else None
        if draft:
            self.initial = _initial_of_draft(draft)
        elif prepared:
            self.initial = {**_initial_of_prepared(prepared), **self.initial}
        else:
            self.initial = {"account": first, **self.initial}

    @property
    def uploads(self) -> Iterable[UploadedFile[Any]]:
        """Return the uploaded files."""
        return self.cleaned_data.get("attachments") or ()

    def clean_html(self) -> str:
        original = pictures_of_original(self.draft or self.prepared)
        typed = urls_to_content_ids(self.cleaned_data["html"], self.draft, original)
        if not typed.strip():
            return ""
        try:
            cleaned = clean_with_pictures(typed)
        except HtmlTooLongError as error:
            raise forms.ValidationError(
                _("This text is too long for formatting. Shorten it, or switch to plain text.")
            ) from error
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
        """Return what was typed, without invalid choices."""
        data = self.cleaned_data
        texts = {name: data.get(name, "") for name in _TEXTS}
        if html := data.get("html", ""):
            texts["text"] = html_to_text(html)
        return api.DraftFields(
            account=data.get("account"),
            importance=data.get("importance") or Importance.NORMAL,
            html=html,
            send_at=data.get("send_at"),
            wants_report=data.get("wants_report", False),
            **texts,
        )

    @property
    def is_too_long(self) -> bool:
        """Return whether a text exceeds its limit, so that nothing is saved."""
        errors = self.errors.as_data().values()
        return any(error.code == TOO_LONG for of_field in errors for error in of_field)

    @cached_property
    def _entries(self) -> dict[str, list[str]]:
        """The entries by field. Raise InvalidMessageError for too many of them."""
        typed = {name: self.cleaned_data.get(name, "") for name in ADDRESS_FIELDS}
        for name, text in typed.items():
            check_typed_recipients(name, text)
        return {name: split_entries(text) for name, text in typed.items()}

    @cached_property
    def too_many_recipients(self) -> str:
        """Return the error about the number of recipients, else an empty text."""
        try:
            check_recipients(sum(len(self._entries[name]) for name in _RECIPIENTS))
            check_recipients(len(self._entries["reply_to"]))
        except InvalidMessageError as error:
            return in_words(error)
        return ""

    @cached_property
    def invalid_recipients(self) -> dict[str, dict[str, str]]:
        """Return, by field, each entry that is not a valid email address, with its error.

        No entry is parsed if there are too many of them.
        """
        if self.too_many_recipients:
            return {}
        found = {name: _address_errors(entries) for name, entries in self._entries.items()}
        return {name: problems for name, problems in found.items() if problems}

    def check_sendable(self) -> None:
        """Add an error to every field that prevents sending."""
        if self.too_many_recipients:
            self.add_error("to", self.too_many_recipients)
        for name, problems in self.invalid_recipients.items():
            self.add_error(name, list(problems.values())[:ERRORS_SHOWN])
        if not any(self.data.get(name, "").strip() for name in _RECIPIENTS):
            self.add_error("to", _("Enter at least one recipient."))
        if self.cleaned_data.get("account") is None and "account" not in self.errors:
            self.add_error("account", _("Choose the account to send with."))
        send_at = self.cleaned_data.get("send_at")
        if self.data.get("send") == AT_A_TIME and not (send_at or "send_at" in self.errors):
            self.add_error("send_at", _("Enter a valid date and time."))
        if send_at and send_at < clock.now():
            text = _("That time has passed. Enter a later time, or clear the field to send now.")
            self.add_error("send_at", text)

    def focus(self, field: str) -> None:
        """Focus this field when the page opens."""
        self.fields[field].widget.attrs["autofocus"] = True

    def add_api_error(self, field: str, error: TranslatableError) -> None:
        """Add an error that `api` raised to its field."""
        self.add_error(field if field in self.fields else None, in_words(error))

    @property
    def has_more(self) -> bool:
        """Return whether a field of the collapsed part is filled in, so that it opens expanded."""
        typed = any(self[name].value() or self[name].errors for name in ADDRESS_FIELDS[1:])
        is_plain = (self["importance"].value() or Importance.NORMAL) == Importance.NORMAL
        return typed or not is_plain or bool(self["wants_report"].value())

    @property
    def is_scheduled(self) -> bool:
        """Return whether the message is going to be sent later."""
        return bool(self["send_at"].value())


_RECIPIENTS = ("to", "cc", "bcc")
ADDRESS_FIELDS = (*_RECIPIENTS, "reply_to")
AT_A_TIME = "at"  # value of the button below the time field, which never sends at once
ERRORS_SHOWN = 5  # of one field
_TEXTS = (*ADDRESS_FIELDS, "subject", "text")


def _address_errors(entries: Iterable[str]) -> dict[str, str]:
    problems = {}
    for entry in entries:
        try:
            parse_entry(entry)
        except AddressError as error:
            problems[entry] = in_words(error)
    return problems


def _initial_of_draft(draft: Message) -> dict[str, Any]:
    content = draft.draft
    return {
        "account": draft.account_id,
        "to": content.to,
        "cc": content.cc,
        "bcc": content.bcc,
        "reply_to": content.reply_to,
        "subject": draft.subject,
        "importance": draft.importance,
        "text": content.text,
        "html": content_ids_to_urls(content.html, draft),
        "send_at": draft.send_at,
        "wants_report": draft.wants_report,
    }


def _initial_of_prepared(prepared: api.PreparedReply) -> dict[str, Any]:
    fields = prepared.fields
    names = [field.name for field in dataclasses.fields(fields)]
    values = {name: getattr(fields, name) for name in names}
    return values | {"html": html_with_original_urls(prepared)}

"""The form of a template. Each part has to compile; its field shows why it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox import api
from outbox.api.quotas import check_templates
from outbox.api.reasons import in_words
from outbox.api.templates import TemplatePartError, check_template_part
from outbox.exceptions import InvalidMessageError, QuotaExceededError, TranslatableError
from outbox.mail.html import HtmlTooLongError, clean_template
from outbox.models import Template
from outbox.web.message_templates.preview import PARTS

if TYPE_CHECKING:
    TemplateModelForm = forms.ModelForm[Template]
else:
    TemplateModelForm = forms.ModelForm  # generic in its stubs only

# Django treats a placeholder that is not closed on its line as text, and the message would show it.
_CLOSED = re.compile(r"\{\{(?:(?!\{\{|\}\}).)*+\}\}|\{#(?:(?!\{#|#\}).)*+#\}")
_DATA_PICTURE = re.compile(r"""\bsrc\s*+=\s*+["']?\s*+data:""", re.IGNORECASE)
_OPEN = re.compile(r"\{\{|\}\}")


class TemplateForm(TemplateModelForm):
    """Name, subject, text and formatted text."""

    class Meta:
        model = Template
        fields = ("name", *PARTS)
        widgets: ClassVar = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "subject": forms.TextInput(attrs={"autocomplete": "off"}),
            "text": forms.Textarea(attrs={"rows": 10, "class": "grows tall"}),
            "html": forms.Textarea(attrs={"rows": 6, "class": "grows tall", "spellcheck": "false"}),
        }
        labels: ClassVar = {"html": gettext_lazy("HTML")}
        help_texts: ClassVar = {
            "name": gettext_lazy("Shown only in your list of templates."),
            "html": gettext_lazy(
                "HTML such as <p>Dear <b>{{ name }}</b></p>. Leave empty to send plain text."
            ),
        }

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = Template.objects.owned_by(self.user).exclude(pk=self.instance.pk)
        if others.filter(name=name).exists():
            raise forms.ValidationError(_("You already have a template with this name."))
        return name

    def clean_html(self) -> str:
        typed: str = self.cleaned_data["html"]
        try:
            check_template_part("html", typed)
        except TemplatePartError as error:
            raise forms.ValidationError(in_words(error)) from error
        if _DATA_PICTURE.search(typed):
            raise forms.ValidationError(
                _("A template cannot contain pictures. Use the address of a picture on the web.")
            )
        try:
            cleaned, lost = clean_template(typed)
        except HtmlTooLongError as error:
            raise forms.ValidationError(in_words(error)) from error
        if lost:
            raise forms.ValidationError(
                _(
                    "%(placeholder)s cannot be used there. Use placeholders in text, in the"
                    " address of a link or picture, and in the values of a style."
                )
                % {"placeholder": lost[0]}
            )
        return cleaned

    def clean(self) -> dict[str, Any] | None:
        for part, why in template_errors(self.cleaned_data, owner=self.user):
            self.add_error(part, why)
        if self.instance._state.adding:
            try:
                check_templates(self.user.pk)
            except QuotaExceededError as error:
                self.add_error(None, in_words(error))
        return super().clean()


def _part_error(error: InvalidMessageError) -> TranslatableError:
    """Return the error of a part alone: the form names the part already."""
    return error.__cause__ if isinstance(error.__cause__, TranslatableError) else error


def template_errors(values: Mapping[str, Any], *, owner: User | None) -> Iterator[tuple[str, str]]:
    """Yield each part that does not compile, with the reason."""
    for part in PARTS:
        text = values.get(part, "")
        try:
            check_template_part(part, text)
        except TemplatePartError as error:
            yield part, in_words(error)
            continue
        if _OPEN.search(_CLOSED.sub("", text)):
            yield part, _("Close each placeholder on the line where it starts.")
            continue
        try:
            api.compile_template(Template(owner=owner, name=part, **{part: text}))
        except InvalidMessageError as error:
            yield part, in_words(_part_error(error))

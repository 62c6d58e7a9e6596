"""A template as a person writes it: each part has to compile, and says at its field why not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from outbox import api
from outbox.api.phrases import translate
from outbox.exceptions import InvalidMailError
from outbox.mail.html import HtmlTooLongError, clean_template
from outbox.models import Template

if TYPE_CHECKING:
    TemplateModelForm = forms.ModelForm[Template]
else:
    TemplateModelForm = forms.ModelForm  # generic in its stubs only

PARTS = ("subject", "text", "html")
# Django takes a placeholder that is not closed on its line for text, and the mail would show it.
_CLOSED = re.compile(r"\{\{.*?\}\}|\{#.*?#\}")
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
            "name": gettext_lazy("Shown in the list of templates."),
            "html": gettext_lazy(
                "HTML such as <p>Dear <b>{{ name }}</b></p>. Leave it empty to send plain text."
            ),
        }

    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = Template.objects.owned_by(self.person).exclude(pk=self.instance.pk)
        if others.filter(name=name).exists():
            raise forms.ValidationError(_("You have a template of this name already."))
        return name

    def clean_html(self) -> str:
        typed: str = self.cleaned_data["html"]
        if _DATA_PICTURE.search(typed):
            raise forms.ValidationError(
                _("A template cannot hold pictures. Give the address of a picture on the web.")
            )
        try:
            cleaned, lost = clean_template(typed)
        except HtmlTooLongError as error:
            raise forms.ValidationError(translate(str(error))) from error
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
        for part, why in mistakes(self.cleaned_data, owner=self.person):
            self.add_error(part, why)
        return super().clean()


def mistakes(words: Mapping[str, Any], *, owner: User | None) -> Iterator[tuple[str, str]]:
    """Compile each part by itself, so that a mistake is told where it stands."""
    for part in PARTS:
        text = words.get(part, "")
        if _OPEN.search(_CLOSED.sub("", text)):
            yield part, _("A placeholder in it is not closed on the same line.")
            continue
        try:
            api.mould(Template(owner=owner, name=part, **{part: text}))
        except InvalidMailError as error:
            yield part, translate(str(error.__cause__ or error))

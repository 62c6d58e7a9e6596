"""A template filled in with values, and what a message written with it would say.

A required placeholder without a value stays in the text as it is, so that the user need not know
every value at once. The composer warns about those that are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import nh3
from django.contrib.auth.models import User

from outbox import api
from outbox.api import Wording
from outbox.api.reasons import in_words
from outbox.exceptions import InvalidMessageError
from outbox.mail.data_pictures import Cleaned, clean_with_pictures
from outbox.mail.html import clean_for_preview, html_to_text
from outbox.models import Template

PARTS = ("subject", "text", "html")
VALUE_PREFIX = "value-"  # before a placeholder's name: the input for its value
_SPANS = {"colspan", "rowspan"}


@dataclass(frozen=True)
class FilledTemplate:
    """A template with the values typed so far."""

    template: Template
    values: Mapping[str, str]  # by placeholder, in the order of the template
    wording: Wording
    optional: frozenset[str] = frozenset()  # placeholders that need no value
    template_error: str = ""  # why the template cannot be used
    value_error: str = ""  # why one of the values cannot be used

    @property
    def text(self) -> str:
        """Return the text as it will be sent."""
        return self.wording.text or html_to_text(self.wording.html)

    @property
    def html(self) -> str:
        """Return the formatted text for the editor, with its `data:` pictures."""
        cleaned = self.cleaned
        html = cleaned.html
        for picture in cleaned.pictures:
            html = html.replace(f"cid:{picture.content_id}", picture.data_url)
        return html

    @cached_property
    def cleaned(self) -> Cleaned:
        """The formatted text and its pictures."""
        return clean_with_pictures(self.wording.html)


def fill(template: Template, data: Mapping[str, str]) -> FilledTemplate:
    """Fill the template with the values in `data`, which are named `value-…`."""
    nothing = Wording("", "", "")
    try:
        compiled = api.compile_template(template)
    except InvalidMessageError as error:
        return FilledTemplate(template, {}, nothing, template_error=in_words(error))
    names = (*compiled.placeholders, *compiled.optional)
    values = {name: data.get(VALUE_PREFIX + name, "") for name in names}
    context = {name: values[name] or f"{{{{ {name} }}}}" for name in compiled.placeholders}
    context |= {name: values[name] for name in compiled.optional if values[name]}
    optional = frozenset(compiled.optional)
    try:
        return FilledTemplate(template, values, compiled.fill(context), optional)
    except InvalidMessageError as error:
        problem = in_words(error)
        return FilledTemplate(template, values, nothing, optional, value_error=problem)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder and the value typed for it."""

    name: str
    value: str
    is_optional: bool

    @property
    def field(self) -> str:
        """Return the name of the input for its value."""
        return VALUE_PREFIX + self.name


@dataclass(frozen=True, slots=True)
class TemplatePreview:
    """A filled template, which may be unsaved, as its page displays it."""

    filled: FilledTemplate

    @property
    def placeholders(self) -> list[Placeholder]:
        """Return the placeholders in order of appearance."""
        filled = self.filled
        return [
            Placeholder(name, value, name in filled.optional)
            for name, value in filled.values.items()
        ]

    @property
    def html(self) -> str:
        """Return the formatted text for the frame, where the page's policy allows no styles."""
        return nh3.clean(
            clean_for_preview(self.filled.wording.html, {})[0],
            attributes={"td": _SPANS, "th": _SPANS, "img": {"alt"}},
        )

    @property
    def is_blank(self) -> bool:
        """Return whether the template is still empty."""
        wording = self.filled.wording
        return not any((wording.subject, wording.text, wording.html))

    def has_same_fields(self, names: Iterable[str]) -> bool:
        """Return whether the page already has exactly the inputs that this preview needs."""
        present = {name for name in names if name.startswith(VALUE_PREFIX)}
        return present == {placeholder.field for placeholder in self.placeholders}


def preview(
    user: User, parts: Mapping[str, str], values: Mapping[str, str]
) -> TemplatePreview | None:
    """Return the preview of a template with these parts; None while it does not compile."""
    template = Template(owner=user, **{part: parts.get(part, "") for part in PARTS})
    filled = fill(template, values)
    return None if filled.template_error else TemplatePreview(filled)

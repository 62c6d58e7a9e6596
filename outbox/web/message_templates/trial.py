"""A template tried out: what a mail made with it would say, with values the person makes up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import nh3
from django.contrib.auth.models import User

from outbox import api
from outbox.api import Wording
from outbox.exceptions import InvalidMailError
from outbox.mail.html import clean_for_preview, html_to_text
from outbox.models import Template

_SPANS = {"colspan", "rowspan"}
VALUE = "value-"  # in front of a placeholder's name: the field of its made-up value


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One name that stands for a value, and the value it is tried with."""

    name: str
    value: str
    is_optional: bool

    @property
    def field(self) -> str:
        """The name of the input for its value."""
        return VALUE + self.name


@dataclass(frozen=True, slots=True)
class Trial:
    """The words of the mail, and what they were made of."""

    placeholders: list[Placeholder]
    wording: Wording

    @property
    def text(self) -> str:
        """The text part as it would be sent."""
        return self.wording.text or html_to_text(self.wording.html)

    @property
    def html(self) -> str:
        """The formatted text for the frame, whose policy is the page's: it allows no styles."""
        return nh3.clean(
            clean_for_preview(self.wording.html, {})[0],
            attributes={"td": _SPANS, "th": _SPANS, "img": {"alt"}},
        )

    @property
    def is_blank(self) -> bool:
        """Tell whether nothing was written yet."""
        return not any((self.wording.subject, self.wording.text, self.wording.html))

    def asks_for(self, fields: Iterable[str]) -> bool:
        """Tell whether these are the fields of its values, so that they can stay as they are."""
        asked = {field for field in fields if field.startswith(VALUE)}
        return asked == {placeholder.field for placeholder in self.placeholders}


def attempt(person: User, words: Mapping[str, str], values: Mapping[str, str]) -> Trial | None:
    """Fill a template that may not be saved; None while it does not compile.

    A placeholder without a value stands for itself: `{{ name }}`.
    """
    template = Template(owner=person, **{part: words.get(part, "") for part in _PARTS})
    try:
        mould = api.mould(template)
        names = [(name, False) for name in mould.placeholders]
        names += [(name, True) for name in mould.optional]
        found = [Placeholder(name, values.get(VALUE + name, ""), last) for name, last in names]
        given = {one.name: one.value or _itself(one) for one in found}
        return Trial(found, mould.fill(given))
    except InvalidMailError:
        return None


_PARTS = ("subject", "text", "html")


def _itself(placeholder: Placeholder) -> str | None:
    return None if placeholder.is_optional else f"{{{{ {placeholder.name} }}}}"

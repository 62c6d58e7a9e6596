"""A template tried out: what a mail made with it would say, with values the person makes up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import nh3
from django.contrib.auth.models import User

from outbox.mail.html import clean_for_preview
from outbox.models import Template
from outbox.web.compose.inserting import VALUE, Filled, fill

_PARTS = ("subject", "text", "html")
_SPANS = {"colspan", "rowspan"}


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
    """A template that may not be saved, filled in; its mail as the page shows it."""

    filled: Filled

    @property
    def placeholders(self) -> list[Placeholder]:
        """What wants a value, in order of appearance."""
        filled = self.filled
        return [
            Placeholder(name, value, name in filled.optional)
            for name, value in filled.values.items()
        ]

    @property
    def html(self) -> str:
        """The formatted text for the frame, whose policy is the page's: it allows no styles."""
        return nh3.clean(
            clean_for_preview(self.filled.wording.html, {})[0],
            attributes={"td": _SPANS, "th": _SPANS, "img": {"alt"}},
        )

    @property
    def is_blank(self) -> bool:
        """Tell whether nothing was written yet."""
        wording = self.filled.wording
        return not any((wording.subject, wording.text, wording.html))

    def asks_for(self, fields: Iterable[str]) -> bool:
        """Tell whether these are the fields of its values, so that they can stay as they are."""
        asked = {field for field in fields if field.startswith(VALUE)}
        return asked == {placeholder.field for placeholder in self.placeholders}


def attempt(person: User, words: Mapping[str, str], values: Mapping[str, str]) -> Trial | None:
    """Fill a template that may not be saved; None while it does not compile."""
    template = Template(owner=person, **{part: words.get(part, "") for part in _PARTS})
    filled = fill(template, values)
    return None if filled.problem else Trial(filled)

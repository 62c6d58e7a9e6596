"""Texts that are made without a reader: an English template and its values.

Workers, and code that knows no Django, make these. They are translated when they are displayed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

Translate = Callable[[str], str]
UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL refuses NUL, UTF-8 half a surrogate pair


class Translatable(Protocol):
    """What can be put in words, in English or through a translation."""

    def in_words(self, translate: Translate = str) -> str:
        """Return the sentence; `translate` maps an English template to the reader's language."""


Value = str | int | float | Translatable


def gettext_noop(text: str) -> str:
    """Mark a template for the message catalog."""
    return text


def fill(template: str, values: Mapping[str, Value], translate: Translate = str) -> str:
    """Return the translated template with its values; without values it is a plain text."""
    if not template:
        return ""
    translated = translate(template)
    return translated % shown_values(values, translate) if values else translated


def shown_values(values: Mapping[str, Value], translate: Translate = str) -> dict[str, str]:
    """Return each value as people read it."""
    return {name: _shown(value, translate) for name, value in values.items()}


def _shown(value: Value, translate: Translate) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return value.in_words(translate)


def storable(text: str) -> str:
    """Return the text as every database can store it: U+FFFD replaces what none can."""
    if text.isascii() and "\0" not in text:
        return text
    return UNSTORABLE.sub("\ufffd", text)


def cause_of(error: BaseException) -> str:
    """Return what an exception says, with its class and without an operating system's number."""
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.strerror}: {error.filename!r}" if error.filename else error.strerror
    else:
        said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__

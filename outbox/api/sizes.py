"""Sizes and counts as people read them."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.formats import localize, number_format
from django.utils.translation import gettext

from outbox.texts import Translate, gettext_noop

_MULTIPLES = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))
_BYTES = gettext_noop("%(count)d bytes")
_ONE_BYTE = gettext_noop("1 byte")


def format_size(count: int, translate: Translate = gettext) -> str:
    """Return a size in decimal multiples of a byte: 25 MB, 2.1 kB, 512 bytes."""
    for bytes_each, name in _MULTIPLES:
        if count >= bytes_each:
            amount = count / bytes_each
            shown = round(amount, 1) if count < 10 * bytes_each else round(amount)
            return f"{localize(shown)} {name}"
    if count == 1:
        return translate(_ONE_BYTE)
    return translate(_BYTES) % {"count": count}


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes in the text of an error."""

    count: int

    def in_words(self, translate: Translate = str) -> str:
        """Return the size in the reader's language."""
        return format_size(self.count, translate)


class CappedCount(int):
    """The number of rows that were counted, of more."""

    @classmethod
    def of(cls, count: int, limit: int) -> int:
        """Return a count; above the limit, the limit with the words that there are more."""
        return cls(limit) if count > limit else count

    def __str__(self) -> str:
        count = number_format(int(self), force_grouping=True)
        return gettext("more than %(count)s") % {"count": count}

"""Parts of HTML that a cleaner would drop or damage, replaced by marks while it works.

A mark is a word of letters and digits. It survives in text, in an address and in a style alike, and
no mark occurs in the HTML before.
"""

from __future__ import annotations

import re


class Shield:
    """The replaced parts of one HTML text."""

    def __init__(self, html: str) -> None:
        self._parts: list[str] = []
        self._start = "outboxmark"
        lowered = html.lower()
        while self._start in lowered:
            self._start += "x"
        self._mark = re.compile(rf"{self._start}([0-9]{{1,7}})z")

    def replace(self, pattern: re.Pattern[str], html: str, before: str = "") -> str:
        """Return the HTML with a mark in place of each match; `before` is put in front of it."""
        return pattern.sub(lambda match: before + self._hide(match[0]), html)

    def restore(self, html: str) -> str:
        """Return the HTML with the parts in the place of their marks."""
        return self._mark.sub(lambda match: self._parts[int(match[1])], html)

    def missing_from(self, html: str) -> list[str]:
        """Return the parts whose mark is not in the HTML any more, each once."""
        found = {int(number) for number in self._mark.findall(html)}
        lost = (part for number, part in enumerate(self._parts) if number not in found)
        return list(dict.fromkeys(lost))

    @property
    def mark(self) -> str:
        """Return what every mark begins with."""
        return self._start

    def _hide(self, part: str) -> str:
        self._parts.append(part)
        return f"{self._start}{len(self._parts) - 1}z"

"""Replace parts of HTML that a cleaner would damage with markers, and restore them afterwards.

A marker is a word of letters and digits. It survives in text, in a URL and in a style, and does not
occur in the original HTML.
"""

from __future__ import annotations

import re
import secrets


def _new_start() -> str:
    """Return the start of a marker that no author of HTML can guess, and make long by that."""
    return f"outboxmark{secrets.token_hex(8)}n"


class Markers:
    """The replaced parts of one HTML document."""

    def __init__(self, html: str) -> None:
        self._parts: list[str] = []
        self._start = _new_start()
        lowered = html.lower()
        while self._start in lowered:
            self._start = _new_start()
        self._mark = re.compile(rf"{self._start}([0-9]{{1,7}})z")

    def replace(self, pattern: re.Pattern[str], html: str, before: str = "") -> str:
        """Return the HTML with `before` and a marker in place of each match."""
        return pattern.sub(lambda match: before + self._hide(match[0]), html)

    def restore(self, html: str) -> str:
        """Return the HTML with the original parts in place of their markers."""
        return self._mark.sub(lambda match: self._parts[int(match[1])], html)

    def missing_from(self, html: str) -> list[str]:
        """Return the parts whose marker is missing in the HTML, each once."""
        found = {int(number) for number in self._mark.findall(html)}
        lost = (part for number, part in enumerate(self._parts) if number not in found)
        return list(dict.fromkeys(lost))

    @property
    def prefix(self) -> str:
        """The start of every marker."""
        return self._start

    def _hide(self, part: str) -> str:
        self._parts.append(part)
        return f"{self._start}{len(self._parts) - 1}z"

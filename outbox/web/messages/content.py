"""What a message consists of: its text, headers, exact bytes and parts, each bounded for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.mail.displayed import Displayed, read_displayed
from outbox.mail.html import clean_for_preview
from outbox.mail.parts import Part, decoded_headers, is_file, outline
from outbox.models import Message, Source

TABS: dict[str, str | Promise] = {
    "preview": gettext_lazy("Preview"),
    "text": gettext_lazy("Text"),
    "html": gettext_lazy("HTML"),
    "headers": gettext_lazy("Headers"),
    "raw": gettext_lazy("Source"),
    "parts": pgettext_lazy("of a mail", "Attachments"),
    "checks": gettext_lazy("Checks"),
    "changes": gettext_lazy("Changes"),
}
HTML_TABS = frozenset({"preview", "html"})  # of no use where there is none
TEXT_SHOWN = 100_000  # characters
RAW_SHOWN = 64_000  # bytes


@dataclass(frozen=True, slots=True)
class Field:
    """A header field beside what it means; raw is empty where it says the same."""

    name: str
    value: str
    raw: str


def is_in_text(part: Part) -> bool:
    """Return whether the HTML shows the part, as it does pictures."""
    return bool(part.content_id) and part.disposition != "attachment"


class Content:
    """One tab of a message. The source is read once, and only if something of it is shown."""

    def __init__(self, message: Message, tab: str) -> None:
        self.message = message
        self._asked = tab

    @cached_property
    def tab(self) -> str:
        """The tab asked for; else the mail as its reader sees it."""
        if self._asked in self.tabs:
            return self._asked
        return next(iter(self.tabs))

    @cached_property
    def tabs(self) -> dict[str, str | Promise]:
        """Name the tabs that have something to show."""
        return {tab: label for tab, label in TABS.items() if self.html or tab not in HTML_TABS}

    @cached_property
    def source(self) -> bytes | None:
        """The exact bytes; None before the mail is queued, or when its stored file is gone."""
        try:
            return self.message.source.read()
        except (Source.DoesNotExist, OSError):
            return None

    @property
    def text(self) -> str:
        """The readable text."""
        return self._displayed.text

    @property
    def documents(self) -> Sequence[str]:
        """The HTML documents in their order, as they came: hostile until cleaned."""
        return self._displayed.documents

    @cached_property
    def html(self) -> str:
        """All HTML as one text, hostile too."""
        return self._displayed.html

    @property
    def text_shown(self) -> str:
        """What the tab shows of the text, or of the source of the HTML."""
        return (self.html if self.tab == "html" else self.text)[:TEXT_SHOWN]

    @property
    def text_is_cut(self) -> bool:
        """Tell whether there is more than shown."""
        return len(self.html if self.tab == "html" else self.text) > TEXT_SHOWN

    @property
    def blocked_hosts(self) -> list[str]:
        """Name the hosts that the HTML would have fetched from."""
        return clean_for_preview(self.documents, {})[1]

    @cached_property
    def _displayed(self) -> Displayed:
        return read_displayed(self.source or b"")

    @property
    def headers(self) -> list[Field]:
        """The header fields in their order."""
        return [
            Field(name, decoded, raw if raw != decoded else "")
            for name, raw, decoded in decoded_headers(self.source or b"")
        ]

    @cached_property
    def raw(self) -> str:
        """The beginning of the exact bytes; what is no UTF-8 is shown as its number."""
        shown = (self.source or b"")[:RAW_SHOWN]
        return shown.decode("utf-8", "backslashreplace")

    @property
    def raw_is_cut(self) -> bool:
        """Tell whether the source is longer than shown."""
        return len(self.source or b"") > RAW_SHOWN

    @property
    def raw_shown(self) -> int:
        """How many bytes of the source a page shows."""
        return RAW_SHOWN

    @cached_property
    def parts(self) -> list[Part]:
        """Every part that is not the readable text itself."""
        if self.source is None:
            return []
        found = [part for part in outline(self.source).walk() if is_file(part)]
        return sorted(found, key=is_in_text)  # those first that a reader would miss

    @property
    def reading_tabs(self) -> tuple[str, ...]:
        """The tabs that show what was written; attachments are listed below it."""
        return ("preview", "text")

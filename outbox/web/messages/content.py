"""The content of a message in tabs: text, headers, source and parts, each limited in length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from outbox.api.reasons import in_words
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
    "parts": pgettext_lazy("of a message", "Attachments"),
    "checks": gettext_lazy("Checks"),
    "changes": gettext_lazy("Changes"),
}
HTML_TABS = frozenset({"preview", "html"})  # shown only if the message has HTML
TEXT_SHOWN = 100_000  # characters
RAW_SHOWN = 64_000  # bytes


@dataclass(frozen=True, slots=True)
class Field:
    """A decoded header field; `raw` is empty if it is the same."""

    name: str
    value: str
    raw: str


def is_in_text(part: Part) -> bool:
    """Return whether the HTML shows the part, such as a picture."""
    return bool(part.content_id) and part.disposition != "attachment"


class Content:
    """One tab of a message. The source is read once, and only if the tab shows a part of it."""

    def __init__(self, message: Message, tab: str) -> None:
        self.message = message
        self._asked = tab

    @cached_property
    def tab(self) -> str:
        """Return the requested tab, else the first one."""
        if self._asked in self.tabs:
            return self._asked
        return next(iter(self.tabs))

    @cached_property
    def tabs(self) -> dict[str, str | Promise]:
        """Return the labels of the tabs that are not empty."""
        return {tab: label for tab, label in TABS.items() if self.html or tab not in HTML_TABS}

    @cached_property
    def source(self) -> bytes | None:
        """Return the source; None before the message is queued, or if its file is missing."""
        try:
            return self.message.source.read()
        except (Source.DoesNotExist, OSError):
            return None

    @property
    def loss(self) -> str:
        """Return why there is no source."""
        why = in_words(self.message.content_loss)
        return why or _("The stored source of this message is missing.")

    @property
    def text(self) -> str:
        """Return the readable text."""
        return self._displayed.text

    @property
    def documents(self) -> Sequence[str]:
        """Return the HTML documents in their order. They are not cleaned."""
        return self._displayed.documents

    @cached_property
    def html(self) -> str:
        """Return all HTML as one text. It is not cleaned."""
        return self._displayed.html

    @property
    def text_shown(self) -> str:
        """Return the beginning of the text, or of the HTML on its tab."""
        return (self.html if self.tab == "html" else self.text)[:TEXT_SHOWN]

    @property
    def text_is_cut(self) -> bool:
        """Return whether there is more text than shown."""
        return len(self.html if self.tab == "html" else self.text) > TEXT_SHOWN

    @property
    def blocked_hosts(self) -> list[str]:
        """Return the hosts from which the HTML would load remote content."""
        return clean_for_preview(self.documents, {})[1]

    @cached_property
    def _displayed(self) -> Displayed:
        return read_displayed(self.source or b"")

    @property
    def headers(self) -> list[Field]:
        """Return the header fields in their order."""
        return [
            Field(name, decoded, raw if raw != decoded else "")
            for name, raw, decoded in decoded_headers(self.source or b"")
        ]

    @cached_property
    def raw(self) -> str:
        """Return the beginning of the source; bytes that are not UTF-8 are shown as numbers."""
        shown = (self.source or b"")[:RAW_SHOWN]
        return shown.decode("utf-8", "backslashreplace")

    @property
    def raw_is_cut(self) -> bool:
        """Return whether the source is longer than shown."""
        return len(self.source or b"") > RAW_SHOWN

    @property
    def raw_shown(self) -> int:
        """Return the number of bytes of the source that a page shows."""
        return RAW_SHOWN

    @cached_property
    def parts(self) -> list[Part]:
        """Return every part that is not the readable text itself."""
        if self.source is None:
            return []
        found = [part for part in outline(self.source).walk() if is_file(part)]
        return sorted(found, key=is_in_text)  # attachments first

    @property
    def reading_tabs(self) -> tuple[str, ...]:
        """Return the tabs with a list of the attachments below."""
        return ("preview", "text")

"""The content of a received message in tabs, as that of a sent one."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

from django.core.exceptions import ObjectDoesNotExist
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from outbox.mail.html import remote_content
from outbox.models import InboundMessage
from outbox.web.messages.content import HTML_TABS, TABS, Content

_PEOPLE = ("from", "reply-to", "to", "cc")
_HEADER_SHOWN = 2_000  # characters
# Checks and changes are about what is sent.
RECEIVED_TABS = {name: TABS[name] for name in TABS if name not in {"checks", "changes"}}


class ReceivedContent(Content):
    """One tab of a received message. The source is read once."""

    message: InboundMessage  # type: ignore[assignment]  # with the same `source`

    def __init__(self, message: InboundMessage, tab: str) -> None:
        super().__init__(message, tab)  # type: ignore[arg-type]  # it has the same `source`

    @cached_property
    def tabs(self) -> dict[str, str | Promise]:
        """Return the labels of the tabs that are not empty."""
        return {
            name: label
            for name, label in RECEIVED_TABS.items()
            if self.html or name not in HTML_TABS
        }

    @cached_property
    def source(self) -> bytes | None:
        """Return the source; None if its row or its file is missing."""
        try:
            return self.message.source.read()
        except (ObjectDoesNotExist, OSError):
            return None

    @property
    def loss(self) -> str:
        """Return why there is no source."""
        return _("The stored source of this message is missing.")

    @cached_property
    def people(self) -> dict[str, str]:
        """Return the beginning of the header fields that name people, by their lower-case names."""
        found = {field.name.lower(): field.value for field in reversed(self.headers)}
        return {
            name.replace("-", "_"): found[name][:_HEADER_SHOWN] for name in _PEOPLE if name in found
        }

    @cached_property
    def remote(self) -> Counter[str]:
        """Return how many remote files the HTML would load from each host."""
        return remote_content(self.documents)

    @property
    def remote_count(self) -> int:
        """Return how many remote files the HTML would load."""
        return self.remote.total()

"""What a check found, and the DNS record that would repair it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from outbox.net.dns_lookup import LookupFailedError
from outbox.texts import Translate, Value, fill, gettext_noop


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # some servers may reject messages or mistrust them
    ERROR = "error"
    UNKNOWN = "unknown"  # the DNS did not respond


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record to publish."""

    name: str
    type: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one check: an English template and its values."""

    check: str  # SPF, DKIM, DMARC, ALIGN, MX, PTR, HELO, DNSBL or PORT25
    level: Level
    template: str
    values: dict[str, Value] = field(default_factory=dict)
    publish: Record | None = None

    def in_words(self, translate: Translate = str) -> str:
        """Return the sentence; `translate` maps the English template to the reader's language."""
        return fill(self.template, self.values, translate)

    def dump(self) -> dict[str, Any]:
        """Return the finding as JSON stores it."""
        return asdict(self)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Self:
        """Return a stored finding."""
        publish = stored["publish"] and Record(**stored["publish"])
        return cls(**stored | {"level": Level(stored["level"]), "publish": publish})


def unknown_if_failed(check: str, findings: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Return the findings of a check. A lookup that fails ends it with a finding of its own."""
    found: list[Finding] = []
    try:
        found.extend(findings())
    except LookupFailedError as error:
        template = gettext_noop("The DNS did not respond about %(name)s: %(cause)s")
        values: dict[str, Value] = {"name": error.name, "cause": error.cause}
        found.append(Finding(check, Level.UNKNOWN, template, values))
    return found

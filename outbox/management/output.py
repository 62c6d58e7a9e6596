"""Output of commands: text with any characters, on terminals with any encoding."""

from __future__ import annotations

import re
from typing import Any

from django.core.management.base import BaseCommand

# C0 and C1 except tab and line ends, bidirectional controls, and line separators. A message or a
# DNS record could otherwise change the title of the terminal, hide lines or reorder them.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)"
)


class OutboxCommand(BaseCommand):
    """A command that escapes control characters, and what the terminal cannot display."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command with escaping output streams."""
        for name in ("stdout", "stderr"):
            stream = options.get(name) or getattr(self, name)._out
            options[name] = EscapingStream(stream)
        return super().execute(*args, **options)


class EscapingStream:
    """A text stream that escapes control characters and characters outside its encoding."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> None:
        """Write the text. JSON in it remains JSON, with the same values."""
        text = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"  # io.StringIO has none
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

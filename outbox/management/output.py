"""Output of commands: text of other people on whatever terminal there is."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand


class OutboxCommand(BaseCommand):
    """A command that fails on no character its terminal cannot show, but shows an escape."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run with output that escapes what its encoding lacks."""
        for name in ("stdout", "stderr"):
            stream = options.get(name) or getattr(self, name)._out
            options[name] = EscapingStream(stream)
        return super().execute(*args, **options)


class EscapingStream:
    """A text stream that writes what its encoding lacks as a backslash escape."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> None:
        """Write the text."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"  # io.StringIO has none
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

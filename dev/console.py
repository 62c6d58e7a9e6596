"""The output of the parts of `make run`: to a log file each, and to the terminal.

A slow terminal, or a pipe without a reader, must never block a part. Lines that it does not accept
in time are dropped there; the log file is always complete.
"""

import queue
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

# Lines that appear every few seconds or at every start, for the log file only.
ROUTINE = re.compile(
    r"outbox\.sweep"
    r"|GET /(?:healthz|readyz|metrics)"
    r"|GET \S*/(?:live|rows)/ 204 "  # an open page that checks for changes
    r"|Memory overcommit must be enabled"  # Redis's recommendation for production
)
WAITING_MAX = 10_000
COLORS = (36, 32, 33, 35, 34, 31)


class Console:
    """The terminal, written to by one thread."""

    def __init__(self) -> None:
        """Start the writing thread."""
        self._lines: queue.Queue[str] = queue.Queue(WAITING_MAX)
        self._colors: dict[str, int] = {}
        threading.Thread(target=self._write, name="console", daemon=True).start()

    def say(self, line: str, *, part: str = "") -> None:
        """Print a line after the name of its part."""
        prefix = f"{part:>8} | " if part else ""
        if prefix and sys.stdout.isatty():
            color = self._colors.setdefault(part, COLORS[len(self._colors) % len(COLORS)])
            prefix = f"\x1b[{color}m{prefix}\x1b[0m"
        try:
            self._lines.put_nowait(f"{prefix}{line}\n")
        except queue.Full:
            return

    def flush(self, within: float) -> None:
        """Wait a moment until the terminal has accepted the remaining lines."""
        done = threading.Thread(target=self._lines.join, daemon=True)
        done.start()
        done.join(within)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                sys.stdout.write(line)
                if self._lines.empty():
                    sys.stdout.flush()
            except (OSError, ValueError):
                pass  # the terminal was closed; the log files remain
            self._lines.task_done()


def follow(output: IO[bytes], log: Path, show: Callable[[str], None]) -> threading.Thread:
    """Copy a part's output to its log, and pass each line that is not routine to `show`."""

    def copy() -> None:
        with log.open("ab", buffering=0) as file, output:
            for raw in output:
                file.write(raw)
                line = raw.decode(errors="replace").rstrip()
                if line and not ROUTINE.search(line):
                    show(line)

    thread = threading.Thread(target=copy, name=f"log {log.name}", daemon=True)
    thread.start()
    return thread

"""What the parts of `make run` print, line by line: to a log file each, and to the terminal.

A terminal, or a pipe nobody reads, must never hold the parts up: lines that it does not take in
time are left out there and stand in the log file all the same.
"""

import queue
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

# Comes every few seconds, or at every start, and asks for nothing: it stands in the log file alone.
ROUTINE = re.compile(
    r"outbox\.sweep"
    r"|GET /healthz"
    r"|GET \S*/(?:live|rows)/ 204 "  # an open page that asks whether anything changed
    r"|Memory overcommit must be enabled"  # Redis's advice for production
)
WAITING_MAX = 10_000
COLOURS = (36, 32, 33, 35, 34, 31)


class Console:
    """The terminal, written to by one thread."""

    def __init__(self) -> None:
        """Start the writing thread."""
        self._lines: queue.Queue[str] = queue.Queue(WAITING_MAX)
        self._colours: dict[str, int] = {}
        threading.Thread(target=self._write, name="console", daemon=True).start()

    def say(self, line: str, *, part: str = "") -> None:
        """Print a line, behind the name of the part it comes from."""
        prefix = f"{part:>8} | " if part else ""
        if prefix and sys.stdout.isatty():
            colour = self._colours.setdefault(part, COLOURS[len(self._colours) % len(COLOURS)])
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        try:
            self._lines.put_nowait(f"{prefix}{line}\n")
        except queue.Full:
            return

    def flush(self, within: float) -> None:
        """Give the terminal a moment to take what is left."""
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
                pass  # the terminal is gone; the log files are not
            self._lines.task_done()


def follow(output: IO[bytes], log: Path, heard: Callable[[str], None]) -> threading.Thread:
    """Copy a part's output to its log, and hand each line that is worth a look to `heard`."""

    def copy() -> None:
        with log.open("ab", buffering=0) as file, output:
            for raw in output:
                file.write(raw)
                line = raw.decode(errors="replace").rstrip()
                if line and not ROUTINE.search(line):
                    heard(line)

    thread = threading.Thread(target=copy, name=f"log {log.name}", daemon=True)
    thread.start()
    return thread

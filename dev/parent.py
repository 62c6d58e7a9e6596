"""Detect that `make`, which is waiting for this process, was interrupted or has ended.

GNU make forwards SIGTERM to the commands that it runs, but not SIGINT, which the terminal usually
sends to the whole process group. After `kill -INT` of make alone, both would wait for each other.
"""

import os
import signal
from pathlib import Path


class Parent:
    """The `make` that started this process, if there is one."""

    def __init__(self) -> None:
        """Store the id of the parent process."""
        self._pid = os.getppid()
        self._is_make = "MAKELEVEL" in os.environ

    def has_stopped(self) -> bool:
        """Return whether make was interrupted or has ended; False without make."""
        return self._is_make and (os.getppid() != self._pid or self._interrupted())

    def _interrupted(self) -> bool:
        # Make blocks a signal while it handles it, until its commands have ended.
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except OSError:
            return False
        blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
        return bool(int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1)

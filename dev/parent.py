"""Notices that `make`, which waits for us, was told to stop or is gone.

GNU make hands SIGTERM on to the commands it runs, but not SIGINT, which it expects the terminal to
send to everybody: `kill -INT` of make alone would leave both waiting for each other.
"""

import os
import signal
from pathlib import Path


class Parent:
    """The `make` that started this process, if one did."""

    def __init__(self) -> None:
        """Remember who started us."""
        self._pid = os.getppid()
        self._is_make = "MAKELEVEL" in os.environ

    def gave_up(self) -> bool:
        """Tell whether make was interrupted or ended; always False without make."""
        return self._is_make and (os.getppid() != self._pid or self._interrupted())

    def _interrupted(self) -> bool:
        # While make handles a signal, until its commands have ended, that signal is blocked.
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except OSError:
            return False
        blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
        return bool(int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1)

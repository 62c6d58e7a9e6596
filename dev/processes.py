"""Processes that leave no orphans: each in a group of its own, ended whole, and guarded.

The one way dev and tests start a server, a worker or a browser's backend. Does not restart
anything and does not read what a process prints: dev.run does.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from dev import guard


class StartError(Exception):
    """A process did not come up; the message says which, and what it printed last."""


class Process:
    """A running command and all that it starts."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        output: IO[bytes] | int | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        group: int | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        """Start it; `output` takes standard output and error, `user` and `group` need root."""
        self.command = [str(word) for word in command]
        self.stop_signal = stop_signal
        self._over = False
        self._popen = subprocess.Popen(
            self.command,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            user=user,
            group=group,
            extra_groups=[] if user is not None else None,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        _guard.watch(self.pid, stop_signal)

    @property
    def stdout(self) -> IO[bytes]:
        """What it prints; whoever reads it closes it. Only with output=PIPE."""
        if self._popen.stdout is None:
            raise ValueError("This process was not started with output=PIPE.")
        return self._popen.stdout

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """Signal the process alone, not those it started."""
        self._popen.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Signal the process and those it started."""
        if not self._over:
            guard.send(self.pid, number)

    def ask(self) -> None:
        """Ask it to stop, without waiting."""
        if self.returncode is None:
            self.signal(self.stop_signal)

    def stop(self, *, grace_for: float = 10) -> None:
        """Ask it to stop; whatever is left of its group after the grace is killed."""
        self.ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace_for)
        self.kill()

    def kill(self) -> None:
        """End the whole group at once, as a crash would."""
        if self._over:
            return  # its number may be somebody else's by now
        guard.send(self.pid, signal.SIGKILL)
        self._popen.wait()
        _guard.forget(self.pid)
        self._over = True


class _Guard:
    """The guard of this process, started with the first process it has to watch."""

    def __init__(self) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def watch(self, group: int, number: int) -> None:
        self._tell(f"+ {group} {number}\n")

    def forget(self, group: int) -> None:
        self._tell(f"- {group}\n")

    def _tell(self, order: str) -> None:
        if self._popen is None or self._owner != os.getpid():
            self._start()
        assert self._popen is not None
        assert self._popen.stdin is not None
        self._popen.stdin.write(order.encode())
        self._popen.stdin.flush()

    def _start(self) -> None:
        if self._popen is None:
            atexit.register(self._end)
        self._owner = os.getpid()
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _end(self) -> None:
        if self._popen is not None and self._owner == os.getpid():
            assert self._popen.stdin is not None
            self._popen.stdin.close()
            self._popen.wait()


_guard = _Guard()


def wait_until(
    condition: Callable[[], bool], *, within: float, what: str, process: Process | None = None
) -> None:
    """Wait on a condition. Raises StartError when time is up or the process has ended first."""
    deadline = time.monotonic() + within
    while not condition():
        if process is not None and process.returncode is not None:
            raise StartError(f"{what}: it ended with {process.returncode}.")
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not within {within:g} s.")
        time.sleep(0.02)

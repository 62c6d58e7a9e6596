"""Processes without orphans: each has a process group, which is terminated as a whole.

Targets and tests start every server and worker with this module. It does not restart processes and
does not read their output: dev.run does.
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
    """A process did not start; the error names it, and contains its last output."""


class Process:
    """A running command and all processes that it starts."""

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
        """Start the command; `output` receives both streams, `user` and `group` need root."""
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
        """The output, which the caller must close. Only with output=PIPE."""
        if self._popen.stdout is None:
            raise ValueError("This process was not started with output=PIPE.")
        return self._popen.stdout

    @property
    def returncode(self) -> int | None:
        """The exit code: None while it runs, the negative signal number after a signal."""
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the process only."""
        self._popen.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and those that it started."""
        if not self._over:
            guard.send(self.pid, number)

    def ask(self) -> None:
        """Send the stop signal, without waiting."""
        if self.returncode is None:
            self.signal(self.stop_signal)

    def stop(self, *, grace_for: float = 10) -> None:
        """Stop the process, and kill its group after the grace period."""
        self.ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace_for)
        self.kill()

    def kill(self) -> None:
        """Kill the whole group, like a crash."""
        if self._over:
            return  # its number may belong to another process now
        guard.send(self.pid, signal.SIGKILL)
        self._popen.wait()
        _guard.forget(self.pid)
        self._over = True


class _Guard:
    """The guard of this process, started together with the first process that it watches."""

    def __init__(self) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def watch(self, group: int, number: int) -> None:
        self._send(f"+ {group} {number}\n")

    def forget(self, group: int) -> None:
        self._send(f"- {group}\n")

    def _send(self, order: str) -> None:
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
    """Wait for a condition. Raise StartError after a time-out, or if the process has ended."""
    deadline = time.monotonic() + within
    while not condition():
        if process is not None and process.returncode is not None:
            raise StartError(f"{what}: it ended with {process.returncode}.")
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not within {within:g} s.")
        time.sleep(0.02)

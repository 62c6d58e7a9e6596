"""One part of the running site: a process that is restarted if it dies."""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev.console import Console, follow
from dev.processes import Process

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STABLE_AFTER = 60.0  # seconds; a death after that does not extend the pause


@dataclass(slots=True)
class Part:
    """The command of a part, and a function that returns whether it responds."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    console: Console
    logs: Path
    responds: Callable[[], bool]
    process: Process | None = None
    _started_at: float = 0
    _pause: float = FIRST_PAUSE
    _due_at: float | None = field(default=None)  # time of the next start

    def start(self) -> None:
        """Start the process, with its output on the console and in a log file."""
        self.process = Process(self.command, environment=self.environment, output=subprocess.PIPE)
        follow(
            self.process.stdout,
            self.logs / f"{self.name}.log",
            lambda line: self.console.say(line, part=self.name),
        )
        self._started_at = time.monotonic()
        self._due_at = None

    def ended(self) -> int | None:
        """Return the exit code, or None while the process is running."""
        return self.process.returncode if self.process else None

    def care(self) -> None:
        """Restart the process if it has died, after a pause that doubles with each death."""
        now = time.monotonic()
        if self._due_at is not None:
            if now >= self._due_at:
                self.start()
        elif (code := self.ended()) is not None:
            self.kill()
            self._pause = (
                FIRST_PAUSE
                if now - self._started_at > STABLE_AFTER
                else min(self._pause * 2, LONGEST_PAUSE)
            )
            self._due_at = now + self._pause
            self.console.say(f"ended with {code}; restarts in {self._pause:g} s", part=self.name)

    def ask(self) -> None:
        """Send the stop signal, without waiting."""
        if self.process is not None:
            self.process.ask()

    def stop(self, grace_for: float) -> None:
        """Stop the process and everything that it started."""
        if self.process is not None:
            self.process.stop(grace_for=grace_for)

    def kill(self) -> None:
        """Kill the process and everything that it started."""
        if self.process is not None:
            self.process.kill()

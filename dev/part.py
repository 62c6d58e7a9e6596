"""One part of the running site: a process that is started again when it dies by itself."""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev.console import Console, follow
from dev.processes import Process

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
SETTLED_AFTER = 60.0  # having lived so long, its next death is not one in a row


@dataclass(slots=True)
class Part:
    """Its command, and how to tell that it answers."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    console: Console
    logs: Path
    answers: Callable[[], bool]
    process: Process | None = None
    _started_at: float = 0
    _pause: float = FIRST_PAUSE
    _due_at: float | None = field(default=None)  # when it is started again

    def start(self) -> None:
        """Start it, with its output going to the console and to its own log."""
        self.process = Process(self.command, environment=self.environment, output=subprocess.PIPE)
        follow(
            self.process.stdout,
            self.logs / f"{self.name}.log",
            lambda line: self.console.say(line, part=self.name),
        )
        self._started_at = time.monotonic()
        self._due_at = None

    def ended(self) -> int | None:
        """Return the code it ended with, or None while it runs."""
        return self.process.returncode if self.process else None

    def care(self) -> None:
        """Start it again when it has died, after a pause that doubles with each death in a row."""
        now = time.monotonic()
        if self._due_at is not None:
            if now >= self._due_at:
                self.start()
        elif (code := self.ended()) is not None:
            self.kill()
            self._pause = (
                FIRST_PAUSE
                if now - self._started_at > SETTLED_AFTER
                else min(self._pause * 2, LONGEST_PAUSE)
            )
            self._due_at = now + self._pause
            self.console.say(
                f"ended with {code}; starts again in {self._pause:g} s", part=self.name
            )

    def ask(self) -> None:
        """Ask it to stop, without waiting."""
        if self.process is not None:
            self.process.ask()

    def stop(self, grace_for: float) -> None:
        """Stop it and everything it started."""
        if self.process is not None:
            self.process.stop(grace_for=grace_for)

    def kill(self) -> None:
        """End it, and what a dead one may have left behind, at once."""
        if self.process is not None:
            self.process.kill()

"""A real Celery worker process, for tests and benchmarks: started, killed, and waited for."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.processes import Process, StartError, wait_until

ROOT = Path(__file__).resolve().parent.parent


class CeleryWorker:
    """One worker with one prefork child, as production runs it."""

    def __init__(self, name: str, *, environment: Mapping[str, str], log: Path) -> None:
        """Start it at once; `environment` is the whole of its environment."""
        self.name = f"{name}@test"
        self.log = log
        command = [sys.executable, "-m", "celery", "--app", "mailsite", "worker"]
        options = ["--concurrency", "1", "--hostname", self.name, "--without-gossip"]
        options += ["--loglevel", "info"]  # "ready" is said at this level
        with log.open("ab") as output:
            self.process = Process(
                [*command, *options], environment=environment, output=output, cwd=ROOT
            )

    def wait_ready(self) -> None:
        """Wait until it takes tasks."""
        try:
            wait_until(self.is_ready, within=60, what=self.name, process=self.process)
        except StartError as error:
            raise StartError(f"{error}\n{self.log.read_text(errors='replace')[-4000:]}") from None

    def is_ready(self) -> bool:
        """Tell whether it has said that it takes tasks."""
        return f"{self.name} ready." in self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Stop it in order: it takes nothing new and ends what it holds."""
        self.process.stop(grace_for=30)

    def kill(self) -> None:
        """End it and its child as a crash would."""
        self.process.kill()

    def freeze(self) -> None:
        """Let it hang: everything stays open and nothing answers."""
        self.process.signal_group(signal.SIGSTOP)

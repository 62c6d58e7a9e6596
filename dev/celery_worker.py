"""A real Celery worker process, for tests and benchmarks."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.processes import Process, StartError, wait_until

ROOT = Path(__file__).resolve().parent.parent


class CeleryWorker:
    """One worker with one prefork child, as in production."""

    def __init__(self, name: str, *, environment: Mapping[str, str], log: Path) -> None:
        """Start the worker; `environment` is its complete environment."""
        self.name = f"{name}@test"
        self.log = log
        command = [sys.executable, "-m", "celery", "--app", "mailsite", "worker"]
        options = ["--concurrency", "1", "--hostname", self.name, "--without-gossip"]
        options += ["--loglevel", "info"]  # "ready" is logged at this level
        with log.open("ab") as output:
            self.process = Process(
                [*command, *options], environment=environment, output=output, cwd=ROOT
            )

    def wait_ready(self) -> None:
        """Wait until the worker accepts tasks."""
        try:
            wait_until(self.is_ready, within=60, what=self.name, process=self.process)
        except StartError as error:
            raise StartError(f"{error}\n{self.log.read_text(errors='replace')[-4000:]}") from None

    def is_ready(self) -> bool:
        """Return whether the worker has logged that it accepts tasks."""
        return f"{self.name} ready." in self.log.read_text(errors="replace")

    def stop(self) -> None:
        """Stop the worker after its present task."""
        self.process.stop(grace_for=30)

    def kill(self) -> None:
        """Kill the worker and its child, like a crash."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop the processes without closing anything, so that the worker hangs."""
        self.process.signal_group(signal.SIGSTOP)

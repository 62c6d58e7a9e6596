"""The separate process of the engine is restarted when it ends, and ends with a stop."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.processes import wait_until
from outbox.delivery import separate

Processes = list["subprocess.Popen[bytes]"]


class Delayed(separate.SeparateProcess):
    """Its restart waits for the test."""

    def __init__(self, started: Processes) -> None:
        self.started = started
        self.is_restarting = threading.Event()
        self.may_restart = threading.Event()
        super().__init__()

    def _start(self) -> "subprocess.Popen[bytes]":
        if self.started:
            self.is_restarting.set()
            assert self.may_restart.wait(30)
        process = super()._start()
        self.started.append(process)
        return process


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """The processes that were started. Each ends when its standard input does."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec cat > /dev/null\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    processes: Processes = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_process_that_ended_is_restarted(started: Processes) -> None:
    kept = Delayed(started)
    kept.may_restart.set()

    os.kill(started[0].pid, 9)
    wait_until(lambda: len(started) > 1, within=30, what="the restart")
    kept.stop(finish_within=0)

    assert [process.poll() for process in started] == [-9, 0]


def test_a_stop_during_a_restart_ends_the_new_process(started: Processes) -> None:
    kept = Delayed(started)
    started[0].kill()
    assert kept.is_restarting.wait(30)

    stopping = threading.Thread(target=kept.stop, kwargs={"finish_within": 0})
    stopping.start()
    stopping.join(0.2)  # it either returns at once, or waits for the restart
    kept.may_restart.set()
    stopping.join(30)
    kept._thread.join(30)

    assert [process.poll() for process in started] == [-9, 0]

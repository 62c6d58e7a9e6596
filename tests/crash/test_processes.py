"""What the crash tests know of processes that have ended, and of the plan that these leave."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.processes import wait_until
from tests.crash.cluster import has_running_process, is_running
from tests.crash.points import KillSwitch, Point


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process with a group of its own, which ends with the test."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, process_group=0) as process:
        yield process
        process.kill()


def test_a_process_that_was_not_reaped_does_not_run(child: subprocess.Popen[bytes]) -> None:
    assert is_running(child.pid)
    assert has_running_process(child.pid)

    os.kill(child.pid, signal.SIGKILL)

    wait_until(lambda: not is_running(child.pid), within=10, what="the end of the process")
    assert not has_running_process(child.pid)
    os.kill(child.pid, 0)  # it has its id until it is reaped


def test_a_process_takes_an_entry_that_returns_to_the_plan_later(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path, tmp_path / "log")
    switch.arm()
    entry = tmp_path / f"0001-{Point.CONNECTED.name}-2"
    entry.touch()

    switch.reach(Point.CONNECTED)

    assert not entry.exists()
    assert switch.kills_at(Point.CONNECTED)


def test_a_process_that_was_not_armed_takes_no_entry(tmp_path: Path) -> None:
    entry = tmp_path / f"0001-{Point.CONNECTED.name}-2"
    entry.touch()

    KillSwitch(tmp_path, tmp_path / "log").reach(Point.CONNECTED)

    assert entry.exists()

"""Processes started for tests and `make run` end with their starter, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dev.processes import Process, StartError, wait_until

ROOT = Path(__file__).resolve().parents[3]

# Starts a shell that starts two sleeps, says the three process ids, and waits.
STARTER = """
import subprocess, sys, time
from dev.processes import Process
family = Process(["sh", "-c", "sleep 600 & one=$!; sleep 600 & echo $$ $one $!; wait"],
                 output=subprocess.PIPE, **OPTIONS)
print(family.stdout.readline().decode(), flush=True)
time.sleep(600)  # lives until it is killed
"""


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pids: list[int], within: float) -> None:
    wait_until(lambda: not any(map(lives, pids)), within=within, what="the end of all processes")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_starter_that_is_ended(number: signal.Signals) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER.replace("OPTIONS", "{}")],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(lives, pids))
        starter.send_signal(number)
    wait_until_gone(pids, within=10)


def test_stop_ends_the_whole_family_even_one_that_ignores_the_signal() -> None:
    script = "trap '' TERM; sleep 600 & echo $$ $!; wait; wait"
    family = Process(["sh", "-c", script], output=subprocess.PIPE)
    with family.stdout as said:
        pids = [int(word) for word in said.readline().split()]
        family.stop(grace_for=0.3)
    wait_until_gone(pids, within=5)
    assert family.returncode == -signal.SIGKILL


def test_waiting_ends_when_the_process_has(tmp_path: Path) -> None:
    process = Process(["sh", "-c", "exit 3"])
    with pytest.raises(StartError, match="the server: it ended with 3"):
        wait_until(lambda: False, within=30, what="the server", process=process)
    process.kill()


def test_waiting_has_an_end() -> None:
    with pytest.raises(StartError, match=r"the server: not within 0\.1 s"):
        wait_until(lambda: False, within=0.1, what="the server")


def test_a_process_that_is_stopped_twice_signals_no_other() -> None:
    process = Process(["sleep", "600"])
    process.kill()
    process.stop()
    assert process.returncode == -signal.SIGKILL
    assert os.getpid() != process.pid

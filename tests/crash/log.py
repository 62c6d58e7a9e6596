"""The log of kills: each is written just before it, while the victim is stopped."""

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill."""

    kind: str
    at: float  # seconds since 1970
    pids: list[int]  # empty: the victim is shared by all workers
    connections: int  # to sinks, open at that moment
    entry: str = ""  # of the plan, where it follows one


def log_kill(log: Path, *, kind: str, pids: list[int], connections: int, entry: str = "") -> None:
    """Append a kill to the log."""
    line = {"kind": kind, "at": time.time(), "pids": pids, "connections": connections}
    with log.open("ab") as output:
        output.write(json.dumps(line | {"entry": entry}).encode() + b"\n")


def read_kills(log: Path) -> list[Kill]:
    """Return all kills so far, in order of time."""
    lines = log.read_bytes().split(b"\n")[:-1]
    return sorted((Kill(**json.loads(line)) for line in lines), key=lambda kill: kill.at)


def open_connections(pid: int) -> int:
    """Count a process's TCP connections; all else it has_connection to is on socket files."""
    return sum(
        bool(found.raddr) and found.status != psutil.CONN_SYN_SENT
        for found in psutil.Process(pid).net_connections("tcp")
    )


def wait_until_stopped(pid: int) -> None:
    """Wait until no thread of a process runs any more after SIGSTOP, at most a second."""
    deadline = time.monotonic() + 1
    tasks = Path(f"/proc/{pid}/task")
    while time.monotonic() < deadline and tasks.exists():  # without /proc, the state is not known
        with contextlib.suppress(OSError):  # a thread has ended
            stats = [task.read_text() for task in tasks.glob("*/stat")]
            if all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats):
                return
        time.sleep(0.001)  # no event reports that a thread has stopped

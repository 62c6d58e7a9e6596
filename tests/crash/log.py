"""The log of kills: each is written down just before it happens, by whoever carries it out."""

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
    pids: list[int]  # empty: what all workers share was killed
    connections: int  # to receivers, open at that moment
    entry: str = ""  # of the plan, where it follows one


def note_kill(log: Path, *, kind: str, pids: list[int], connections: int, entry: str = "") -> None:
    """Append a kill to the log."""
    line = {"kind": kind, "at": time.time(), "pids": pids, "connections": connections}
    with log.open("ab") as output:
        output.write(json.dumps(line | {"entry": entry}).encode() + b"\n")


def read_kills(log: Path) -> list[Kill]:
    """Return all kills so far, in order of time."""
    lines = log.read_bytes().split(b"\n")[:-1]
    return sorted((Kill(**json.loads(line)) for line in lines), key=lambda kill: kill.at)


def open_connections(pid: int) -> int:
    """Count a process's TCP connections; all else it talks to is on socket files."""
    return sum(
        bool(found.raddr) and found.status != psutil.CONN_SYN_SENT
        for found in psutil.Process(pid).net_connections("tcp")
    )

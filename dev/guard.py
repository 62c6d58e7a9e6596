"""Ends process groups when the process that started them is gone, however it ended.

A program of its own, run by dev.processes: it learns over its standard input which groups are alive
(`+ group signal`, `- group`), and the end of that input, which the kernel guarantees even after
SIGKILL, is its order to end those that are left.
"""

import os
import signal
import sys
import time

GRACE_FOR = 10.0


def main() -> None:
    """Follow the orders on standard input until it ends, then end what is left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it has to outlive the one it watches
    groups: dict[int, int] = {}
    for order in sys.stdin:
        match order.split():
            case ["+", group, number]:
                groups[int(group)] = int(number)
            case ["-", group]:
                groups.pop(int(group), None)
    end(groups)


def end(groups: dict[int, int]) -> None:
    """Ask each group to stop, by its own signal, and kill those that do not within the grace."""
    for group, number in groups.items():
        send(group, number)
    deadline = time.monotonic() + GRACE_FOR
    left = list(groups)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [group for group in left if send(group, 0)]
    for group in left:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Signal a group; False when nobody is in it any more."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # macOS says so of a group of zombies
    return True


if __name__ == "__main__":
    main()

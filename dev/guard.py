"""Terminate process groups after the process that started them has ended, in whatever way.

A separate program, run by dev.processes. It reads from standard input which groups are alive
(`+ group signal`, `- group`). At the end of that input, which the kernel guarantees even after
SIGKILL, it terminates the remaining groups.
"""

import os
import signal
import sys
import time

GRACE_FOR = 10.0


def main() -> None:
    """Read standard input until it ends, then terminate the remaining groups."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it must outlive the process that it watches
    groups: dict[int, int] = {}
    for order in sys.stdin:
        match order.split():
            case ["+", group, number]:
                groups[int(group)] = int(number)
            case ["-", group]:
                groups.pop(int(group), None)
    end(groups)


def end(groups: dict[int, int]) -> None:
    """Send each group its signal, and kill those that do not stop in time."""
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
    """Send a signal to a group; return False if it has no processes."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # on macOS, a group of zombies
    return True


if __name__ == "__main__":
    main()

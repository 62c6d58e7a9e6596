"""The two words between a contender's process and the one that measures it."""

import json
import sys
import time


def wait_for_signal() -> float:
    """Say "ready", wait for the signal; return the time of day it came."""
    print("ready", flush=True)
    sys.stdin.readline()
    return time.time()


def report(**figures: float) -> None:
    """Print the figures as the last line."""
    print(json.dumps(figures), flush=True)


def body() -> str:
    """The text of a 2 KB mail."""
    return ("The quick brown fox jumps over the lazy dog, and 0123456789 more of it.\n" * 27)[:1900]

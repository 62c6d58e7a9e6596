"""The signals between a contender's process and the one that measures it."""

import json
import random
import sys
import textwrap
import time

_SYLLABLES = (
    *("an", "be", "con", "de", "er", "for", "ing", "is", "le", "men", "ne"),
    *("of", "pro", "ra", "re", "ser", "sta", "the", "ti", "to", "un", "ver"),
)


def wait_for_signal() -> float:
    """Print "ready" and wait for the signal. Return the time at which it came."""
    print("ready", flush=True)
    sys.stdin.readline()
    return time.time()


def report(**figures: float) -> None:
    """Print the figures as the last line."""
    print(json.dumps(figures), flush=True)


def body() -> str:
    """Return the text of a 2 KB message: words, which a database compresses to about half."""
    chance = random.Random(1)  # noqa: S311  # the same text for every contender
    lengths = (1, 1, 2, 2, 3)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.choice(lengths))) for _ in range(170)]
    return textwrap.fill(" ".join(chance.choices(words, k=450)), 72)[:2000]

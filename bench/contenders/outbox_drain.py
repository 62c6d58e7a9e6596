"""Drain with one engine: one of the two worker processes."""

import sys

import django

django.setup()

from bench.contenders._stage import report, wait_for_signal  # noqa: E402  # needs the settings
from outbox.delivery.engine import Engine  # noqa: E402


def main() -> None:
    engine = Engine()
    wait_for_signal()
    engine.drain()
    report(done=1)
    sys.stdin.readline()  # the benchmark may read the memory of the process until then


if __name__ == "__main__":
    main()

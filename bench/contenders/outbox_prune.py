"""Remove expired messages: `outbox_prune`; prints the number removed and the seconds."""

import time

import django

django.setup()

from bench.contenders._stage import report, wait_for_signal  # noqa: E402  # needs the settings
from outbox.delivery.retention import Pass, totals  # noqa: E402


def main() -> None:
    wait_for_signal()
    began = time.perf_counter()
    removed = totals(Pass("default").run())
    report(messages=removed.get("messages", 0), seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()

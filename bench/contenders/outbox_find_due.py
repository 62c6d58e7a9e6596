"""Find and claim what is due, without sending it: `outbox_find_due ROUNDS`.

Prints the median milliseconds of a look for due destinations, and of a claim at one of them.
"""

import statistics
import sys
import time

import django

django.setup()

from bench.contenders._stage import report, wait_for_signal  # noqa: E402  # needs the settings
from outbox.delivery import lease  # noqa: E402
from outbox.delivery.claim import claim  # noqa: E402
from outbox.delivery.limits import Wanted, due_destinations  # noqa: E402
from outbox.delivery.runners import RUNNERS_MAX  # noqa: E402


def main() -> None:
    rounds = int(sys.argv[1])
    wait_for_signal()
    worker = lease.register("bench", "default")  # its lease is not renewed
    looks, claims = [], []
    for number in range(rounds):
        began = time.perf_counter()
        due = due_destinations("default", Wanted(frozenset(), RUNNERS_MAX))
        found = time.perf_counter()
        jobs, _ = claim(
            destination_id=due[number % len(due)].pk,
            worker_id=worker.worker_id,
            limit=1,
            after_sender=0,
            using="default",
        )
        looks.append((found - began) * 1000)
        claims.append((time.perf_counter() - found) * 1000)
        assert len(jobs) == 1
    report(look=statistics.median(looks), claim=statistics.median(claims))


if __name__ == "__main__":
    main()

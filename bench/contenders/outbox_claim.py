"""Claim recipients again and again: `outbox_claim ROUNDS [LIMIT PAUSE]`; prints milliseconds."""

import sys
import time

import django

django.setup()

from bench.contenders._stage import wait_for_signal  # noqa: E402  # needs the settings
from outbox.delivery import lease  # noqa: E402
from outbox.delivery.claim import claim  # noqa: E402
from outbox.models import Destination  # noqa: E402


def main() -> None:
    rounds, limit, pause = (int(word) for word in (*sys.argv[1:], *(100, 0)[len(sys.argv) - 2 :]))
    destination = Destination.objects.get()
    wait_for_signal()
    worker = lease.register("bench", "default")  # its lease is not renewed
    took = []
    sender = 0
    for _ in range(rounds):
        began = time.perf_counter()
        jobs, _is_cut_short = claim(
            destination_id=destination.pk,
            worker_id=worker.worker_id,
            limit=limit,
            after_sender=sender,
            using="default",
        )
        took.append((time.perf_counter() - began) * 1000)
        assert len(jobs) == limit  # what was asked for
        sender = jobs[-1].sender_key
        time.sleep(pause / 1000)
    print(" ".join(f"{milliseconds:.3f}" for milliseconds in took), flush=True)


if __name__ == "__main__":
    main()

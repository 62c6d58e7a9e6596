"""Queue personalized messages in one call, reading memory on progress: `outbox_merge COUNT`."""

import resource
import sys
import time
from collections.abc import Iterator

import django

django.setup()

from bench.contenders._stage import body, report, wait_for_signal  # noqa: E402  # needs the settings
from outbox import api  # noqa: E402  # likewise

TEMPLATE = api.Template(subject="News for {{ name }}", text="Dear {{ name }},\n\n" + body())


def merges(count: int) -> Iterator[api.MergeRow]:
    """Yield one row at a time, as rows come from a database."""
    for number in range(count):
        yield api.MergeRow(f"to{number}@example.com", {"name": f"Reader {number}"})


def main() -> None:
    count = int(sys.argv[1])
    peaks: list[float] = []
    began = wait_for_signal()
    many = api.send_many(
        merges(count), template=TEMPLATE, progress=lambda progress: peaks.append(peak_mb())
    )
    seconds = time.time() - began
    report(queued=many.queued, seconds=seconds, reports=len(peaks), first=peaks[0], peak=peaks[-1])


def peak_mb() -> float:
    """Return the largest size that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

"""`make bench`: the outbox and its competitors in one run, interleaved, as ratios of medians.

    python -m bench [--rounds 3] [--count 6000] [--only drain|queue|start|wal|claim|memory …]

Prints the table of docs/performance.md as Markdown, and the details to the standard error. Claims
and memory are measured only on request. Quote the ratios: absolute rates depend on the machine.
"""

import argparse
import sys
import time

from bench import claims, memory, speed, wal
from bench.speed import Row
from bench.world import world

_TABLE = ("drain", "queue", "start", "wal")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=6_000, help="messages; for WAL, 2,000 at most")
    parser.add_argument("--only", nargs="+", default=_TABLE, choices=[*_TABLE, "claim", "memory"])
    parser.add_argument("--details", action="store_true", help="the kinds of WAL records, too")
    options = parser.parse_args()
    began = time.monotonic()
    rows: list[Row] = []
    for is_postgresql in (True, False):
        rows += _speed(options, is_postgresql=is_postgresql)
    if rows:
        print("| | against | measured | target | |\n|---|---|---|---|---|")
        print("\n".join(map(str, rows)), flush=True)
    if "wal" in options.only:
        with world(wal.OPTIONS) as servers:
            wal.show(servers, min(options.count, 2_000), details=options.details)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr)


def _speed(options: argparse.Namespace, *, is_postgresql: bool) -> list[Row]:
    """Measure times and memory with one database."""
    only = {*options.only} - ({"wal"} if is_postgresql else {"wal", "start", "claim", "memory"})
    if not only:
        return []
    rows: list[Row] = []
    drained = queued = None
    with world(is_postgresql=is_postgresql) as servers:
        if "drain" in only:
            more, drained = speed.drains(servers, options.rounds, options.count)
            rows += more
        if "queue" in only:
            more, queued = speed.queues(servers, options.rounds, options.count)
            rows += more
        if drained and queued and is_postgresql:
            rows.append(speed.cpu_row(drained, queued))
        if "start" in only:
            rows += speed.starts(servers, options.rounds)
        if "claim" in only:
            claims.show(servers)
        if "memory" in only:
            memory.show(servers)
    return rows


if __name__ == "__main__":
    main()

"""Measure the growth of memory.

The memory of a worker while it drains 100,000 small messages or one message of 25 MB, and of a
caller that queues 100,000 personalized messages in one call.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from bench.world import OURS, Contender, World, sink

MANY = 100_000


def show(world: World, many: int = MANY) -> None:
    """Print the table."""
    idle = _peak(world, "idle", 0)
    rows = {
        f"draining {many:,} messages of 2 KB": _peak(world, "many", many),
        "one message of 25 MB": _peak(world, "large", 1),
    }
    print("\n| worker | peak MB | more than idle |\n|---|---|---|")
    print(f"| idle | {idle:.0f} | |")
    for name, peak in rows.items():
        print(f"| {name} | {peak:.0f} | + {peak - idle:.0f} MB |", flush=True)
    _show_merge(world, many)


def _show_merge(world: World, count: int) -> None:
    world.fresh("memory", "ours_empty")
    environment = world.environment("memory", OURS)
    caller = Contender("outbox_merge", count, environment=environment)
    figures = json.loads(caller.run())
    rate, more = figures["queued"] / figures["seconds"], figures["peak"] - figures["first"]
    print(f"\nsend_many of {count:,} personalized messages: {rate:,.0f} per second;")
    print(f"{figures['peak']:.0f} MB at most, + {more:.0f} MB after its first batch;")
    print(f"its progress was reported {figures['reports']:.0f} times.", flush=True)


def _peak(world: World, way: str, count: int) -> float:
    """Return the largest resident size of one engine, in MB."""
    world.fresh("memory", "ours_empty")
    environment = world.environment("memory", OURS)
    with sink(world.scratch) as receiver:
        if count:
            Contender("outbox_queue", receiver.port, 10, count, way, environment=environment).run()
            world.vacuum("memory")
        return peak_of_drain(environment)


def peak_of_drain(environment: Mapping[str, str]) -> float:
    """Return the largest resident size of an engine that drains the queue, in MB."""
    worker = Contender("outbox_drain", environment=environment)
    worker.wait_ready()
    worker.go()
    worker.popen.stdout.readline()  # type: ignore[union-attr]  # a pipe; "done" is one line
    status = Path(f"/proc/{worker.popen.pid}/status").read_text()
    worker.go()
    worker.end()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

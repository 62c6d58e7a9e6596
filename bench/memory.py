"""What a worker's memory grows by: draining 100,000 small mails, and one mail of 25 MB."""

from pathlib import Path

from bench.world import Contender, World, sink

MANY = 100_000


def show(world: World, many: int = MANY) -> None:
    """Print the table."""
    idle = _peak(world, "idle", 0)
    rows = {
        f"draining {many:,} mails of 2 KB": _peak(world, "many", many),
        "one mail of 25 MB": _peak(world, "large", 1),
    }
    print("\n| worker | peak MB | more than idle |\n|---|---|---|")
    print(f"| idle | {idle:.0f} | |")
    for name, peak in rows.items():
        print(f"| {name} | {peak:.0f} | + {peak - idle:.0f} MB |", flush=True)


def _peak(world: World, way: str, count: int) -> float:
    """Return the largest resident size of one engine, in MB."""
    world.fresh("memory", "ours_empty")
    environment = world.environment("memory", "mailsite.settings")
    with sink(world.scratch) as receiver:
        if count:
            queue = Contender(
                "outbox_queue", receiver.port, 10, count, way, environment=environment
            )
            queue.wait_ready()
            queue.go()
            queue.end()
            world.settle("memory")
        worker = Contender("outbox_drain", environment=environment)
        worker.wait_ready()
        worker.go()
        worker.popen.stdout.readline()  # type: ignore[union-attr]  # a pipe; "done" is one line
        status = Path(f"/proc/{worker.popen.pid}/status").read_text()
        worker.go()
        worker.end()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

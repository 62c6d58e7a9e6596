"""`make isolation`: what one hostile or slow account costs the others, and the worker's memory.

    python -m bench.isolation [--only NAME …] [--messages 100] [--details]

Each case begins with a new database and a new Celery worker. One account has the load of the case,
and another one, of another person, gets a message every 40 ms to a fast server. A delay is the time
from queueing a message to its recorded reply, by the database's clock.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import astuple, dataclass

from bench.world import ROOT, Contender, World, sink, world
from dev.processes import Process
from outbox.testing.scenario import catalog

_LAB = "fault lab: "
_LONG_REPLY = r"\n".join(["a" * 2_040] * 100)  # 200 KB
_WORKER = "-m celery --quiet --app mailsite worker --concurrency 1 --loglevel ERROR"
_OPTIONS = "--without-gossip --without-mingle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The load of the other account, and how its server behaves."""

    scenario: str = ""  # the fault lab's, as a name or a text
    connections: int = 20
    messages: int = 100
    recipients: int = 1  # of each message
    size: int = 0  # bytes of an attachment
    hangs: bool = False  # its stored messages cannot be read


CASES = {
    "nothing": Case(messages=0),
    "500 connections to a server that never replies to the dot": Case(
        scenario="at dot: black-hole", connections=500, messages=600
    ),
    "1,000 messages to a fast server": Case(messages=1_000),
    "1,000 messages, a reply of 200 KB to each dot": Case(
        scenario=f"at dot: 250 2.0.0 {_LONG_REPLY}", messages=1_000
    ),
    "20 replies of 200 KB at once": Case(
        scenario=f"at dot: late 3 250 2.0.0 {_LONG_REPLY}", messages=200
    ),
    "10 messages with 100 recipients, a reply of 200 KB to each": Case(
        scenario=f"at rcpt: 451 4.3.0 {_LONG_REPLY}", messages=10, recipients=100
    ),
    "20 messages of 24 MB to a server that reads 100 KB": Case(
        scenario="at body 100000: black-hole", messages=20, size=17_500_000
    ),
    "100 stored messages whose storage hangs": Case(size=300_000, hangs=True),
    **{f"{_LAB}{one.name}": Case(scenario=one.name) for one in catalog()},
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured in one case: seconds, messages and MB."""

    p50: float
    p99: float
    longest: float
    unsent: int
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.isolation", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of cases")
    parser.add_argument("--messages", type=int, default=100, help="of the other account")
    parser.add_argument("--details", action="store_true", help="each scenario of the fault lab")
    options = parser.parse_args()
    print(
        "| beside | p50 | p99 | longest | not sent | worker's memory |\n|---|--:|--:|--:|--:|--:|"
    )
    of_lab: list[Figures] = []
    with world() as servers:
        for name in CASES:
            if not any(part in name for part in options.only):
                continue
            found = _measured(servers, name, options.messages)
            if name.startswith(_LAB):
                of_lab.append(found)
            if options.details or not name.startswith(_LAB):
                _show(name, found)
    if of_lab:
        largest = Figures(*map(max, zip(*map(astuple, of_lab), strict=True)))
        _show(f"the {len(of_lab)} scenarios of the fault lab, the largest of each figure", largest)


def _show(name: str, found: Figures) -> None:
    delays = (found.p50, found.p99, found.longest)
    shown = " | ".join(f"{delay * 1000:,.0f} ms" for delay in delays)
    print(f"| {name} | {shown} | {found.unsent} | {found.memory:.0f} MB |", flush=True)


def _measured(servers: World, name: str, messages: int) -> Figures:
    servers.fresh("isolation", "ours_empty")
    environment = servers.environment("isolation", "mailsite.settings")
    environment["OUTBOX_MAX_CONNECTIONS_PER_ACCOUNT"] = "500"
    with sink(servers.scratch) as receiver:
        driver = Contender("outbox_beside", receiver.port, messages, name, environment=environment)
        driver.wait_ready()
        worker = Process(
            [sys.executable, *_WORKER.split(), *_OPTIONS.split()],
            environment=environment,
            output=subprocess.DEVNULL,
            cwd=ROOT,
        )
        try:
            driver.go()
            return Figures(**json.loads(driver.end()))
        finally:
            worker.kill()


if __name__ == "__main__":
    main()

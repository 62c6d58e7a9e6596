"""`make bench-beside`: the rate of delivery with and without a bulk operation, as Markdown.

    python -m bench.beside [--count 6000] [--rounds 5] [--others 100000]

Two workers drain so many messages. In every other run, one of them also cancels scheduled messages.
The runs alternate, so that other work on the machine slows down both kinds. Quote the ratio.
"""

import argparse
import json
import statistics
from typing import Any

import psycopg

from bench.claims import DESTINATIONS, MESSAGES, OF_MESSAGES, OF_RECIPIENTS, RECIPIENTS, insert
from bench.rivals import Case, Outbox
from bench.world import Contender, World, sink, world

LATER = "now() + interval '1 day'"
SCHEDULED = {"folder": "'scheduled'", "send_at": LATER}


class OutboxBesideScheduled(Outbox):
    """The outbox with many scheduled messages that no worker sends yet."""

    name, others = "alone", 0

    def fresh(self) -> None:
        super().fresh()
        facts = {"state": "scheduled", "count": self.others, "senders": 200}
        of_recipients = {"state": "'queued'", "next_attempt_at": LATER}
        with psycopg.connect(self.world.url(self.database), autocommit=True) as connection:
            insert(connection, "outbox_destination", DESTINATIONS, "outbox_account")
            insert(connection, "outbox_message", MESSAGES | SCHEDULED, OF_MESSAGES, facts)
            insert(connection, "outbox_recipient", RECIPIENTS | of_recipients, OF_RECIPIENTS, facts)


class OutboxBesideBulk(OutboxBesideScheduled):
    """The same while one of the workers cancels them."""

    name = "beside a bulk operation"

    def draining(self) -> list[Contender]:
        names = ("outbox_drain_bulk", "outbox_drain")
        return [Contender(name, environment=self.environment) for name in names]

    def sent(self, began: float, outputs: Any) -> tuple[float, int]:
        figures = json.loads(outputs[0])
        self.changed_rate = figures["changed"] / figures["seconds"]
        return super().sent(began, outputs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.add_argument("--count", type=int, default=6_000, help="messages to deliver")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--others", type=int, default=100_000, help="messages to cancel")
    parser.add_argument("--delay", type=float, default=0, help="milliseconds of the server")
    options = parser.parse_args()
    with world() as servers:
        _measure(servers, options)


def _measure(servers: World, options: argparse.Namespace) -> None:
    case = Case(options.count, delay_ms=options.delay)
    rates: dict[str, list[float]] = {}
    changed: list[float] = []
    with sink(servers.scratch, delay_ms=options.delay) as receiver:
        for _ in range(options.rounds):
            for kind in (OutboxBesideScheduled, OutboxBesideBulk):
                peer = kind(servers, receiver.port, case.connections)
                peer.others = options.others
                rates.setdefault(peer.name, []).append(peer.measure_draining(case).rate)
                if isinstance(peer, OutboxBesideBulk):
                    changed.append(peer.changed_rate)
    print("| delivery | messages per second, median | lowest and highest |\n|---|---|---|")
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f} {max(found):,.0f} |")
    alone, beside = (statistics.median(found) for found in rates.values())
    rate = statistics.median(changed)
    print(f"\nDelivery keeps {beside / alone:.0%} of its rate.")
    print(f"The operation cancels {rate:,.0f} messages per second beside it.")


if __name__ == "__main__":
    main()

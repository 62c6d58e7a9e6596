"""`python -m bench.prune`: how long claims take while 500,000 expired messages are removed."""

import argparse
import json
import statistics
import sys
import threading
import time

import psycopg

from bench.claims import DESTINATIONS, MESSAGES, OF_MESSAGES, OF_RECIPIENTS, RECIPIENTS, insert
from bench.world import OURS, Contender, World, world

SENDERS = 200
AT_ONCE, PAUSE = 20, 30  # recipients in a claim, and milliseconds between two claims
ROUNDS = 100  # claims of one process, whose lease of 30 seconds is not renewed
OLD = "now() - interval '100 days'"
SOURCES = {"message_id": "m.id", "data": "decode(repeat('00ff', 700), 'hex')", "sha256": "''"}
ATTEMPTS = {
    "message_id": "m.id",
    "started_at": OLD,
    "ended_at": OLD,
    "outcome": "'sent'",
    "transfer": "repeat('x', 300)",
}
OF_SENT = "outbox_message m WHERE m.status = 'sent'"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.prune", description=__doc__)
    parser.add_argument("--count", type=int, default=500_000, help="expired messages")
    parser.add_argument("--queued", type=int, default=100_000, help="messages to claim")
    options = parser.parse_args()
    with world() as servers:
        began = time.monotonic()
        _fill(servers, options.count, options.queued)
        print(f"filled in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        alone = _claim(servers, ROUNDS)
        _measure(servers, options.queued // AT_ONCE - 500, alone)


def _fill(servers: World, count: int, queued: int) -> None:
    servers.fresh("prune", "ours_empty")
    with psycopg.connect(servers.url("prune"), autocommit=True) as connection:
        insert(connection, "outbox_destination", DESTINATIONS, "outbox_account")
        for state, number in (("sent", count), ("queued", queued)):
            facts = {"state": state, "count": number, "senders": SENDERS}
            insert(connection, "outbox_message", MESSAGES, OF_MESSAGES, facts)
            insert(connection, "outbox_recipient", RECIPIENTS, OF_RECIPIENTS, facts)
        insert(connection, "outbox_source", SOURCES, OF_SENT)
        insert(connection, "outbox_attempt", ATTEMPTS, OF_SENT)
        of_recipients = f"UPDATE outbox_recipient SET final_at = {OLD} WHERE state = 'sent'"  # noqa: S608  # constants
        of_messages = f"UPDATE outbox_message SET created_at = {OLD} WHERE status = 'sent'"  # noqa: S608  # constants
        connection.execute(of_recipients)
        connection.execute(of_messages)
        connection.execute("UPDATE outbox_account SET message_days = 90")
    servers.vacuum("prune")


def _claim(servers: World, rounds: int) -> list[float]:
    words = (rounds, AT_ONCE, PAUSE)
    claims = Contender("outbox_claim", *words, environment=servers.environment("prune", OURS))
    return [float(word) for word in claims.run().split()]


def _measure(servers: World, rounds: int, alone: list[float]) -> None:
    prune = Contender("outbox_prune", environment=servers.environment("prune", OURS))
    prune.wait_ready()
    last: list[str] = []
    thread = threading.Thread(target=lambda: last.append(prune.end()))
    prune.go()
    thread.start()
    took: list[float] = []
    while thread.is_alive() and len(took) < rounds:
        took += _claim(servers, ROUNDS)
    thread.join()
    removed = json.loads(last[0])
    print("\n| claim of 20 | median ms | 95 % | longest |\n|---|---|---|---|")
    for name, times in (("alone", alone), ("beside the removal", took)):
        high = statistics.quantiles(times, n=20)[-1]
        print(f"| {name} | {statistics.median(times):.1f} | {high:.1f} | {max(times):.1f} |")
    rate = removed["messages"] / removed["seconds"]
    print(f"\n{removed['messages']:,} messages in {removed['seconds']:.0f} s, {rate:,.0f} a second")


if __name__ == "__main__":
    main()

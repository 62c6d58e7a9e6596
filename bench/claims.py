"""What a claim costs on a nearly empty table, and with 500,000 queued and 1,000,000 sent."""

import statistics
import time

import psycopg

from bench.world import OURS, Contender, World

SENDERS = 200
# What each row has; columns that are not named get a neutral value.
MESSAGES = {
    "account_id": "a.id",
    "origin": "'api'",
    "status": "%(state)s",
    "folder": "CASE %(state)s WHEN 'sent' THEN 'sent' ELSE 'outbox' END",
    "subject": "'Subject ' || n",
    "envelope_sender": "'shop@example.org'",
    "to_summary": "'to@example.com'",
    "message_id": "n || '@bench'",
    "importance": "'normal'",
    "size": "2000",
    "recipient_count": "1",
    "created_at": "now()",
}
RECIPIENTS = {
    "message_id": "m.id",
    "role": "'to'",
    "address": "'to@example.com'",
    "destination_id": "d.id",
    "sender_key": "m.id %% %(senders)s",
    "priority": "3",
    "state": "m.status",
    "next_attempt_at": "CASE m.status WHEN 'sent' THEN NULL ELSE now() END",
    "expires_at": "now() + interval '5 days'",
}
OF_MESSAGES = "generate_series(1, %(count)s) AS n, outbox_account a"
OF_RECIPIENTS = """outbox_message m, outbox_destination d
WHERE m.status = %(state)s
    AND NOT EXISTS (SELECT 1 FROM outbox_recipient r WHERE r.message_id = m.id)"""
DESTINATIONS = {"account_id": "id", "key": "'smarthost'", "circuit": "'closed'"}
_REQUIRED = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_name = %s AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"""
_NEUTRAL = {"boolean": "false", "jsonb": "'{}'", "text": "''", "character varying": "''"}


def insert(
    connection: psycopg.Connection,
    table: str,
    values: dict[str, str],
    source: str,
    parameters: dict[str, object] | None = None,
) -> None:
    """Insert rows of SQL expressions, and neutral values for the other columns without default."""
    required = connection.execute(_REQUIRED, [table])
    values = {name: _NEUTRAL.get(kind, "0") for name, kind in required} | values
    statement = (
        f"INSERT INTO {table} ({', '.join(values)}) "  # noqa: S608  # constants
        f"SELECT {', '.join(values.values())} FROM {source}"
    )
    psycopg.ClientCursor(connection).execute(statement, parameters)


def compare(world: World, rounds: int = 30) -> tuple[float, float]:
    """Return the median milliseconds of a claim of 100: few rows, many rows."""
    few = _measure(world, {"queued": rounds * 120}, rounds)
    many = _measure(world, {"sent": 1_000_000, "queued": 500_000}, rounds)
    return few, many


def _measure(world: World, counts: dict[str, int], rounds: int) -> float:
    world.fresh("claims", "ours_empty")
    with psycopg.connect(world.url("claims"), autocommit=True) as connection:
        insert(connection, "outbox_destination", DESTINATIONS, "outbox_account")
        for state, count in counts.items():
            facts = {"state": state, "count": count, "senders": SENDERS}
            insert(connection, "outbox_message", MESSAGES, OF_MESSAGES, facts)
            insert(connection, "outbox_recipient", RECIPIENTS, OF_RECIPIENTS, facts)
    world.vacuum("claims")
    run = Contender("outbox_claim", rounds, environment=world.environment("claims", OURS))
    return statistics.median(float(word) for word in run.run().split())


def show(world: World) -> None:
    """Print the table."""
    began = time.monotonic()
    few, many = compare(world)
    print("\n| claim of 100 | median ms | ratio |\n|---|---|---|")
    print(f"| 3,600 queued | {few:.1f} | |")
    print(f"| 500,000 queued, 1,000,000 sent | {many:.1f} | {many / few:.2f} x |")
    print(f"\n(filled and measured in {time.monotonic() - began:.0f} s)", flush=True)

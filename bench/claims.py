"""What a claim costs on a nearly empty table, and with 500,000 queued and 1,000,000 sent."""

import statistics
import time

import psycopg

from bench.world import Contender, World

SENDERS = 200
FILL = """
INSERT INTO outbox_message (owner_id, account_id, origin, status, folder, subject, from_header,
    envelope_sender, to_summary, snippet, message_id, in_reply_to, priority, tags, metadata, size,
    recipient_count, attachment_count, needs_8bit, needs_smtputf8, on_uncertain, created_at)
SELECT NULL, a.id, 'api', %(state)s, CASE %(state)s WHEN 'sent' THEN 'sent' ELSE 'outbox' END,
    'Subject ' || n, 'shop@example.org', 'shop@example.org', 'to@example.com', '', n || '@bench',
    '', 3, '[]', '{}', 2000, 1, 0, false, false, '', now()
FROM generate_series(1, %(count)s) AS n, outbox_account a;
INSERT INTO outbox_recipient (message_id, role, name, address, destination_id, sender_key, priority,
    state, next_attempt_at, expires_at, attempts, reply_enhanced, reply_text, reply_command,
    remote_host, remote_queue_id, reason)
SELECT m.id, 'to', '', 'to@example.com', d.id, m.id %% %(senders)s, 3, m.status,
    CASE m.status WHEN 'sent' THEN NULL ELSE now() END, now() + interval '5 days', 0,
    '', '', '', '', '', ''
FROM outbox_message m, outbox_destination d
WHERE m.status = %(state)s
    AND NOT EXISTS (SELECT 1 FROM outbox_recipient r WHERE r.message_id = m.id)"""


def compare(world: World, rounds: int = 30) -> tuple[float, float]:
    """Return the median milliseconds of a claim of 100: few rows, many rows."""
    few = _measure(world, {"queued": rounds * 120}, rounds)
    many = _measure(world, {"sent": 1_000_000, "queued": 500_000}, rounds)
    return few, many


def _measure(world: World, counts: dict[str, int], rounds: int) -> float:
    world.fresh("claims", "ours_empty")
    with psycopg.connect(world.url("claims"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO outbox_destination (account_id, key, circuit, circuit_faults, "
            "circuit_trips, circuit_reason, circuit_needs_person, minute_count, day_count, "
            "paused_reason) SELECT id, 'smarthost', 'closed', 0, 0, '', false, 0, 0, '' "
            "FROM outbox_account"
        )
        for state, count in counts.items():
            values = {"state": state, "count": count, "senders": SENDERS}
            psycopg.ClientCursor(connection).execute(FILL, values)
    world.settle("claims")
    run = Contender(
        "outbox_claim", rounds, environment=world.environment("claims", "mailsite.settings")
    )
    run.wait_ready()
    run.go()
    return statistics.median(float(word) for word in run.end().split())


def show(world: World) -> None:
    """Print the table."""
    began = time.monotonic()
    few, many = compare(world)
    print("\n| claim of 100 | median ms | ratio |\n|---|---|---|")
    print(f"| 3,600 queued | {few:.1f} | |")
    print(f"| 500,000 queued, 1,000,000 sent | {many:.1f} | {many / few:.2f} x |")
    print(f"\n(filled and measured in {time.monotonic() - began:.0f} s)", flush=True)

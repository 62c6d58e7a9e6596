"""Housekeeping that some process does every few seconds.

A worker does it when Celery's beat says so, or by itself if beat is silent. `outbox_deliver` always
does it by itself. How often it is done decides only how soon something is found.
"""

from outbox.delivery import (
    connection_tests,
    discarded_files,
    idle_tokens,
    orphaned_files,
    process,
    retention,
)
from outbox.delivery.sweep import sweep
from outbox.webhooks.calls import call_in_background


def run(using: str) -> None:
    """Sweep, start or wake the engine, start due webhook calls, deletions and pruning."""
    process.record_sweep()
    sweep(using)
    process.feed()
    call_in_background(using)
    discarded_files.delete_in_background(using)
    orphaned_files.discard_in_background(using)
    retention.prune_in_background(using)
    idle_tokens.renew_in_background(using)
    if not process.is_apart():
        connection_tests.run_in_background(using)

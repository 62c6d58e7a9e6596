"""What has to be done every few seconds, by whichever process happens to do it."""

from outbox.api import bulk_actions
from outbox.api.failures import report_failures
from outbox.delivery.beat import beat


def run_periodic_work(using: str) -> None:
    """Find due and orphaned work, keep an engine running, and go on with work for people."""
    beat(using)
    report_failures(using)
    bulk_actions.run_beside(using)

"""Beat: what has to be done every few seconds, by the process that happens to do it.

Celery's beat has a worker do it; `outbox_deliver` does it itself. How often, and by whom, changes
nothing but how soon something is found.
"""

from outbox.delivery import process, webhooks
from outbox.delivery.sweep import sweep


def beat(using: str) -> None:
    """Find what no bell told, see that an engine runs here, have webhooks called; wait for none."""
    sweep(using)
    process.feed()
    webhooks.call_beside(using)

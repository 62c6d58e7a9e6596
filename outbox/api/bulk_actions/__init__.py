"""Actions on many messages: counted first, confirmed by a person, performed in the background.

`propose` fixes the set: the messages that match a filter and that the action can change. A worker
processes it in batches under a lease. Each batch and its record are one database transaction, so
that nothing is done twice or counted twice when a worker dies.
"""

from outbox.api.bulk_actions.batch import BatchResult, perform_now
from outbox.api.bulk_actions.operations import cancel, confirm, examples, preview_of, propose
from outbox.api.bulk_actions.preview import Preview, count_in_state, preview
from outbox.api.bulk_actions.selection import changeable
from outbox.api.bulk_actions.worker import run_beside, run_bulk_operations

__all__ = [
    "BatchResult",
    "Preview",
    "cancel",
    "changeable",
    "confirm",
    "count_in_state",
    "examples",
    "perform_now",
    "preview",
    "preview_of",
    "propose",
    "run_beside",
    "run_bulk_operations",
]

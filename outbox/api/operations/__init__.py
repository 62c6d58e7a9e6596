"""What operators see of the whole outbox: outcomes over time, failures, the queue, the workers.

Every function takes a fixed number of queries, over roll-up rows only: counts of outcomes, reply
groups and the snapshot of the queue; of bounces without a rule, the latest thousand are read. None
of them counts recipients or attempts.
"""

from outbox.api.operations.destinations import DestinationState, destinations
from outbox.api.operations.outcomes import (
    FailureRate,
    Interval,
    ReplyFailures,
    failure_rate,
    failures_by_reply,
    throughput,
)
from outbox.api.operations.present import Present
from outbox.api.operations.queue import AgeRow, Forecast, Queue, drain_forecast, queue
from outbox.api.operations.reply_search import recipients_of_reply, replies_with_words
from outbox.api.operations.times import Times, delivery_times
from outbox.api.operations.unexplained import UnexplainedBounces, unexplained_bounces
from outbox.api.operations.workers import Workers, WorkerState, workers

__all__ = [
    "AgeRow",
    "DestinationState",
    "FailureRate",
    "Forecast",
    "Interval",
    "Present",
    "Queue",
    "ReplyFailures",
    "Times",
    "UnexplainedBounces",
    "WorkerState",
    "Workers",
    "delivery_times",
    "destinations",
    "drain_forecast",
    "failure_rate",
    "failures_by_reply",
    "queue",
    "recipients_of_reply",
    "replies_with_words",
    "throughput",
    "unexplained_bounces",
    "workers",
]

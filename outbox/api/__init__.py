"""The verbs everybody calls: views, admin, commands, the mail backend and other apps."""

from outbox.api.acts import (
    CancelResult,
    cancel,
    hold,
    release,
    retry,
    settle_as_sent,
    settle_as_unsent,
)
from outbox.api.answers import Answer, answer
from outbox.api.drafts import (
    DraftFields,
    begun_on,
    discard_draft,
    save_draft,
    send,
    send_draft,
)
from outbox.api.drafts import attach_file as attach
from outbox.api.drafts import detach_file as detach
from outbox.api.explain import Explanation, explain
from outbox.api.outgoing import Lane, Outgoing, OutgoingRecipient
from outbox.api.queueing import queue_ids, queue_sources
from outbox.api.routes import close_circuit, default_account
from outbox.api.status import RouteHeld, StatusReport, WorkerSeen, status
from outbox.api.undo import take_back
from outbox.delivery.probe import ProbeReport, ProbeStep, probe

__all__ = [
    "Answer",
    "CancelResult",
    "DraftFields",
    "Explanation",
    "Lane",
    "Outgoing",
    "OutgoingRecipient",
    "ProbeReport",
    "ProbeStep",
    "RouteHeld",
    "StatusReport",
    "WorkerSeen",
    "answer",
    "attach",
    "begun_on",
    "cancel",
    "close_circuit",
    "default_account",
    "detach",
    "discard_draft",
    "explain",
    "hold",
    "probe",
    "queue_ids",
    "queue_sources",
    "release",
    "retry",
    "save_draft",
    "send",
    "send_draft",
    "settle_as_sent",
    "settle_as_unsent",
    "status",
    "take_back",
]

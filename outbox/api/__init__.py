"""The verbs everybody calls: views, admin, commands, the mail backend and other apps."""

from outbox.api.acts import (
    CancelResult,
    acancel,
    ahold,
    arelease,
    aretry,
    asettle,
    cancel,
    hold,
    release,
    retry,
    settle,
    settle_as_sent,
    settle_as_unsent,
)
from outbox.api.answers import (
    PreparedAnswer,
    answer,
    files_of,
    link_answer,
    prepare_answer,
)
from outbox.api.drafts import (
    DraftFields,
    begun_on,
    discard_draft,
    save_draft,
    send_draft,
)
from outbox.api.drafts import attach_file as attach
from outbox.api.drafts import detach_file as detach
from outbox.api.explain import Explanation, explain
from outbox.api.handle import Handle, RecipientStatus
from outbox.api.many import Many, Progress, Refused, asend_many, send_many
from outbox.api.merges import Merge
from outbox.api.merging import Mould, Wording, mould
from outbox.api.options import Lane
from outbox.api.outgoing import Outgoing, OutgoingRecipient
from outbox.api.queueing import queue_ids, queue_sources
from outbox.api.routes import account_named, close_circuit, default_account
from outbox.api.scheduling import (
    areschedule,
    areturn_to_drafts,
    asend_now,
    reschedule,
    return_to_drafts,
    send_now,
)
from outbox.api.sending import asend, send
from outbox.api.status import BlockedDestination, StatusReport, WorkerSeen, status
from outbox.api.undo import take_back
from outbox.api.webhooks import call_again
from outbox.delivery.probe import ProbeReport, ProbeStep, probe
from outbox.mail.mime import AttachmentPart
from outbox.models import Answer, Template

__all__ = [
    "Answer",
    "AttachmentPart",
    "BlockedDestination",
    "CancelResult",
    "DraftFields",
    "Explanation",
    "Handle",
    "Lane",
    "Many",
    "Merge",
    "Mould",
    "Outgoing",
    "OutgoingRecipient",
    "PreparedAnswer",
    "ProbeReport",
    "ProbeStep",
    "Progress",
    "RecipientStatus",
    "Refused",
    "StatusReport",
    "Template",
    "Wording",
    "WorkerSeen",
    "acancel",
    "account_named",
    "ahold",
    "answer",
    "arelease",
    "areschedule",
    "aretry",
    "areturn_to_drafts",
    "asend",
    "asend_many",
    "asend_now",
    "asettle",
    "attach",
    "begun_on",
    "call_again",
    "cancel",
    "close_circuit",
    "default_account",
    "detach",
    "discard_draft",
    "explain",
    "files_of",
    "hold",
    "link_answer",
    "mould",
    "prepare_answer",
    "probe",
    "queue_ids",
    "queue_sources",
    "release",
    "reschedule",
    "retry",
    "return_to_drafts",
    "save_draft",
    "send",
    "send_draft",
    "send_many",
    "send_now",
    "settle",
    "settle_as_sent",
    "settle_as_unsent",
    "status",
    "take_back",
]

"""The states of recipients and messages, and the lawful changes. Every page uses these terms."""

from collections.abc import Container

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """The state of a recipient."""

    QUEUED = "queued", _("queued")  # waits for the first attempt
    SENDING = "sending", _("sending")  # a worker has claimed it
    SENT = "sent", _("sent")  # accepted by the server
    DEFERRED = "deferred", _("deferred")  # waits for another attempt
    FAILED = "failed", _("failed")  # permanently rejected
    UNCERTAIN = "uncertain", _("uncertain")  # the reply after the final dot was lost
    CANCELLED = "cancelled", _("cancelled")  # stopped by a person
    EXPIRED = "expired", _("expired")  # its lifetime ended
    HELD = "held", _("held")  # waits until a person releases it
    BOUNCED = "bounced", _("bounced")  # accepted, then reported as undeliverable


class Status(models.TextChoices):
    """The status of a message, a roll-up of its recipients' states."""

    DRAFT = "draft", _("draft")  # can still be edited
    SCHEDULED = "scheduled", _("scheduled")  # no attempt yet, and its time is in the future
    QUEUED = "queued", _("queued")  # a recipient waits for its first attempt
    SENDING = "sending", _("sending")  # never stored: a worker has claimed a recipient
    DEFERRED = "deferred", _("deferred")  # all open recipients wait for another attempt
    HELD = "held", _("held")  # all open recipients are held
    UNCERTAIN = "uncertain", _("uncertain")  # a recipient is uncertain; precedes all others
    SENT = "sent", _("sent")  # all were accepted
    PARTIAL = "partial", _("partially sent")  # some were accepted, the others were not
    FAILED = "failed", _("failed")  # none was accepted, and none is open
    CANCELLED = "cancelled", _("cancelled")  # all were cancelled


class Folder(models.TextChoices):
    """The list of a message. Coarser than the status, so that its index changes rarely."""

    DRAFTS = "drafts", _("Drafts")
    SCHEDULED = "scheduled", _("Scheduled")
    OUTBOX = "outbox", _("Outbox")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


FOLDER_OF = {
    Status.DRAFT: Folder.DRAFTS,
    Status.SCHEDULED: Folder.SCHEDULED,
    Status.QUEUED: Folder.OUTBOX,
    Status.SENDING: Folder.OUTBOX,
    Status.DEFERRED: Folder.OUTBOX,
    Status.HELD: Folder.OUTBOX,
    Status.UNCERTAIN: Folder.OUTBOX,
    Status.SENT: Folder.SENT,
    Status.PARTIAL: Folder.FAILED,  # but see folder_of
    Status.FAILED: Folder.FAILED,
    Status.CANCELLED: Folder.CANCELLED,
}

# The statuses of queued messages, as stored, except sent.
NOT_SENT = (
    Status.SCHEDULED, Status.QUEUED, Status.DEFERRED, Status.HELD, Status.UNCERTAIN,
    Status.PARTIAL, Status.FAILED, Status.CANCELLED,
)  # fmt: skip
RARE = (Status.UNCERTAIN, Status.HELD, Status.PARTIAL)  # rare in their folders

DUE = (State.QUEUED, State.DEFERRED)  # a claim takes these
OPEN = (State.QUEUED, State.DEFERRED, State.SENDING, State.UNCERTAIN, State.HELD)
FINAL = (State.SENT, State.FAILED, State.CANCELLED, State.EXPIRED, State.BOUNCED)
CANCELLABLE = (State.QUEUED, State.DEFERRED, State.HELD)
FAILURES = (State.FAILED, State.EXPIRED, State.BOUNCED)  # ended without delivery, not by request
RETRYABLE = FAILURES  # a retry queues these again; cancelled recipients only if they are named
ENDS = (State.EXPIRED, State.BOUNCED)  # states of recipients that no message status has

# From → to. `transitions` makes no other change, and in tests a database trigger refuses others.
CHANGES: dict[State, tuple[State, ...]] = {
    State.QUEUED: (State.SENDING, State.CANCELLED, State.EXPIRED, State.HELD),
    State.SENDING: (
        State.SENT,
        State.DEFERRED,
        State.FAILED,
        State.UNCERTAIN,
        State.QUEUED,  # given back untried
        State.CANCELLED,  # stopped before the dot
        State.EXPIRED,
        State.HELD,  # quarantined
    ),
    State.DEFERRED: (State.SENDING, State.QUEUED, State.CANCELLED, State.EXPIRED, State.HELD),
    State.UNCERTAIN: (State.SENT, State.DEFERRED, State.FAILED, State.BOUNCED),
    State.HELD: (State.QUEUED, State.CANCELLED, State.EXPIRED),
    State.SENT: (State.BOUNCED,),
    State.FAILED: (State.QUEUED,),
    State.EXPIRED: (State.QUEUED,),
    State.CANCELLED: (State.QUEUED,),
    # A person corrects a report that was not about this delivery: it is as it was before.
    State.BOUNCED: (State.QUEUED, State.SENT, State.UNCERTAIN),
}


def folder_of(status: Status, *, has_failure: bool) -> Folder:
    """Return the folder of a message. One whose other recipients were cancelled has not failed."""
    if status == Status.PARTIAL and not has_failure:
        return Folder.SENT
    return FOLDER_OF[status]


def status_of(state: State) -> Status:
    """Return the status of a message whose only recipient, attempted before, has this state.

    The SQL in `rollup` computes the same for any number of recipients; a test compares them.
    """
    return _STATUS_OF_ONE[state]


def shown_status(stored: str, states: Container[str]) -> Status:
    """Return the status to display for a stored status and the states of the recipients.

    A delivery takes milliseconds, so *sending* is stored for recipients only.
    """
    if State.SENDING in states and stored != Status.UNCERTAIN:
        return Status.SENDING
    return Status(stored)


_STATUS_OF_ONE = {
    State.QUEUED: Status.QUEUED,
    State.SENDING: Status.DEFERRED,  # as stored; see `shown_status`
    State.SENT: Status.SENT,
    State.DEFERRED: Status.DEFERRED,
    State.FAILED: Status.FAILED,
    State.UNCERTAIN: Status.UNCERTAIN,
    State.CANCELLED: Status.CANCELLED,
    State.EXPIRED: Status.FAILED,
    State.HELD: Status.HELD,
    State.BOUNCED: Status.FAILED,
}

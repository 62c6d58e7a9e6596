"""The closed lists of states, and which change is lawful. Every screen uses these words."""

from collections.abc import Container

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """State of one recipient."""

    QUEUED = "queued", _("queued")  # waits for its first attempt
    SENDING = "sending", _("sending")  # a worker holds it
    SENT = "sent", _("sent")  # the server took it
    DEFERRED = "deferred", _("deferred")  # will be tried again
    FAILED = "failed", _("failed")  # refused for good
    UNCERTAIN = "uncertain", _("uncertain")  # the dot left and the answer was lost
    CANCELLED = "cancelled", _("cancelled")  # stopped by a person
    EXPIRED = "expired", _("expired")  # given up: too old
    HELD = "held", _("held")  # kept back until a person releases it
    BOUNCED = "bounced", _("bounced")  # taken, then reported undeliverable


class Status(models.TextChoices):
    """Roll-up over the recipients of a message."""

    DRAFT = "draft", _("draft")  # not sent yet; can be edited
    SCHEDULED = "scheduled", _("scheduled")  # nothing was tried, and its time is ahead
    QUEUED = "queued", _("queued")  # somebody waits for a first attempt
    SENDING = "sending", _("sending")  # never stored: a worker holds a recipient
    DEFERRED = "deferred", _("deferred")  # of those that are open, all will be tried again
    HELD = "held", _("held")  # of those that are open, all are kept back
    UNCERTAIN = "uncertain", _("uncertain")  # of somebody nobody knows; before all else
    SENT = "sent", _("sent")  # all were taken
    PARTIAL = "partial", _("partly sent")  # some were taken, all others ended otherwise
    FAILED = "failed", _("failed")  # none was taken, and nothing is open any more
    CANCELLED = "cancelled", _("cancelled")  # all were stopped by a person


class Folder(models.TextChoices):
    """Where a message is listed. Coarser than the status, so that its index changes rarely."""

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

RARE = (Status.UNCERTAIN, Status.HELD, Status.PARTIAL)  # in a folder of far more mail, as a rule

DUE = (State.QUEUED, State.DEFERRED)  # what a claim may take
OPEN = (State.QUEUED, State.DEFERRED, State.SENDING, State.UNCERTAIN, State.HELD)
FINAL = (State.SENT, State.FAILED, State.CANCELLED, State.EXPIRED, State.BOUNCED)
CANCELLABLE = (State.QUEUED, State.DEFERRED, State.HELD)
FAILURES = (State.FAILED, State.EXPIRED, State.BOUNCED)  # ended without delivery, unasked
RETRYABLE = FAILURES  # what a retry queues again; a cancelled recipient has to be named for it
ENDS = (State.EXPIRED, State.BOUNCED)  # of a recipient; a message's status says "failed"

# from → to; whoever changes a state names both, and the database checks the first.
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
    State.UNCERTAIN: (State.SENT, State.DEFERRED, State.FAILED),
    State.HELD: (State.QUEUED, State.CANCELLED, State.EXPIRED),
    State.SENT: (State.BOUNCED,),
    State.FAILED: (State.QUEUED,),
    State.EXPIRED: (State.QUEUED,),
    State.CANCELLED: (State.QUEUED,),
    State.BOUNCED: (State.QUEUED,),
}


def folder_of(status: Status, *, has_failure: bool) -> Folder:
    """Return the folder of a message; where the others were only cancelled, nothing failed."""
    if status == Status.PARTIAL and not has_failure:
        return Folder.SENT
    return FOLDER_OF[status]


def status_of(state: State) -> Status:
    """Return the status of a message whose only recipient, tried before, is in this state.

    The SQL in `rollup` says the same for any number of recipients; a test holds them together.
    """
    return _STATUS_OF_ONE[state]


def shown_status(stored: str, states: Container[str]) -> Status:
    """Return the status to show, given the stored one and the states of the recipients.

    A delivery takes milliseconds, so that "sending" is stored for recipients only.
    """
    if State.SENDING in states and stored != Status.UNCERTAIN:
        return Status.SENDING
    return Status(stored)


def ended_as(state: str) -> str | None:
    """Return what the column of that name holds for a recipient in this state."""
    return state if state in ENDS else None


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

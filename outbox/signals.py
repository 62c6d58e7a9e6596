"""Signals for other apps: a recipient changed its state. Their arguments are part of the API.

A signal is sent once for each recipient, after the commit that changed the state, with
`sender=Recipient` and `change`, a `Change`. A receiver that raises is logged and has no further
effect. A slow receiver delays the process that it runs in, so start a task instead.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from django.db import transaction
from django.dispatch import Signal

from outbox.models import Recipient, State
from outbox.models.anymail import event_type
from outbox.models.webhook import note_calls, wanted_states
from outbox.reasons import Reason

logger = logging.getLogger(__name__)

queued = Signal()  # waits for its first attempt, or for another one after a retry
sent = Signal()  # the server accepted it, which does not mean that it was read
deferred = Signal()  # the attempt failed for now; another one follows
failed = Signal()  # rejected permanently
uncertain = Signal()  # the message was sent and the server's reply was lost
bounced = Signal()  # accepted, then reported as undeliverable
cancelled = Signal()  # stopped by a person
expired = Signal()  # its lifetime ended before it was delivered
held = Signal()  # stopped until a person releases it

SIGNAL_OF: dict[str, Signal] = {
    State.QUEUED: queued,
    State.SENT: sent,
    State.DEFERRED: deferred,
    State.FAILED: failed,
    State.UNCERTAIN: uncertain,
    State.BOUNCED: bounced,
    State.CANCELLED: cancelled,
    State.EXPIRED: expired,
    State.HELD: held,
}  # "sending" has no signal: it is over before a receiver could use it


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of state. Fields may be added; none is removed or changes its meaning."""

    message_id: int  # of the row `Message`
    recipient_id: int  # of the row `Recipient`
    address: str  # the recipient's
    state: str  # the new one, a `State`
    reply_code: int | None = None  # of the last reply; None where no server said anything
    reply_enhanced: str = ""  # its enhanced status code, "5.1.1"
    reply_text: str = ""  # its text, as the server wrote it
    reply_command: str = ""  # the command of that reply: MAIL, RCPT, DATA or DOT
    reason: str = ""  # why it is in this state, in English
    reason_code: str = ""  # the same, as a `ReasonCode`

    @property
    def event_type(self) -> str:
        """The state as the name of an Anymail tracking event."""
        return event_type(State(self.state), self.reply_command)

    @classmethod
    def of(cls, row: Recipient, state: State, reason: Reason) -> "Change":
        """Return the change of a recipient whose state changed without a new server reply."""
        return cls(
            message_id=row.message_id,
            recipient_id=row.pk,
            address=row.address,
            state=state,
            reply_code=row.reply_code,
            reply_enhanced=row.reply_enhanced,
            reply_text=row.reply_text,
            reply_command=row.reply_command,
            reason=str(reason),
            reason_code=reason.code,
        )


def has_receivers(state: str) -> bool:
    """Return whether the signal of a state has receivers."""
    signal = SIGNAL_OF.get(state)
    return signal is not None and signal.has_listeners(Recipient)


def send_signals(changes: Iterable[Change]) -> None:
    """Send the signal of each change. Never raise what a receiver raises."""
    for change in changes:
        if has_receivers(change.state):
            try:
                SIGNAL_OF[change.state].send_robust(sender=Recipient, change=change)
            except Exception:  # Django cannot report a partial or an object that raises: no name
                logger.exception("A receiver of %r raised.", change.state)


def is_observed(state: str, using: str) -> bool:
    """Return whether a receiver or a webhook is notified of this state."""
    return has_receivers(state) or state in wanted_states(using)


def record_webhook_calls(changes: Iterable[Change], using: str) -> None:
    """Record the calls to webhooks in the present transaction."""
    if wanted_states(using):
        note_calls(
            [asdict(change) | {"event_type": change.event_type} for change in changes], using
        )


def announce_on_commit(changes: Iterable[Change], using: str) -> None:
    """Send signals and call webhooks once the present transaction has committed."""
    kept = tuple(changes)
    if kept:
        record_webhook_calls(kept, using)
        transaction.on_commit(lambda: send_signals(kept), using=using, robust=True)

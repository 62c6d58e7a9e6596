"""What other apps may hear: a recipient came into a state. The arguments are a promise.

Every signal is sent after the commit that made it true, once for each recipient, with
`sender=Recipient` and `change`, a `Change`. A receiver that raises is logged by Django and stops
nothing; one that is slow delays the process it runs in, so let it start a task instead.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from django.db import transaction
from django.dispatch import Signal

from outbox.models import Recipient, State
from outbox.models.anymail import event_type
from outbox.models.webhook import note_calls, wanted_states

logger = logging.getLogger(__name__)

queued = Signal()  # waits for its first attempt, or for one more after a person's retry
sent = Signal()  # the server took it, which does not mean that it was read
deferred = Signal()  # will be tried again
failed = Signal()  # refused for good
uncertain = Signal()  # the mail left and the answer was lost
bounced = Signal()  # taken, then reported undeliverable
cancelled = Signal()  # stopped by a person
expired = Signal()  # given up: too old
held = Signal()  # kept back until a person releases it

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
}  # "sending" is no news: it is over before a receiver could use it


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a receiver is told. Fields may be added, never taken away or given another meaning."""

    message_id: int  # of the row `Message`
    recipient_id: int  # of the row `Recipient`
    address: str  # the recipient's
    state: str  # the new one, a `State`
    reply_code: int | None = None  # of the last reply; None where no server said anything
    reply_enhanced: str = ""  # its enhanced status code, "5.1.1"
    reply_text: str = ""  # its text, as the server wrote it
    reply_command: str = ""  # what that reply answered: MAIL, RCPT, DATA or DOT
    reason: str = ""  # why it is in this state, in one sentence

    @property
    def event_type(self) -> str:
        """The state as a tracking event of Anymail's says it."""
        return event_type(State(self.state), self.reply_command)

    @classmethod
    def of(cls, row: Recipient, state: State, reason: str) -> "Change":
        """Tell of a recipient that came into this state without another word of a server."""
        return cls(
            message_id=row.message_id,
            recipient_id=row.pk,
            address=row.address,
            state=state,
            reply_code=row.reply_code,
            reply_enhanced=row.reply_enhanced,
            reply_text=row.reply_text,
            reply_command=row.reply_command,
            reason=reason,
        )


def is_heard(state: str) -> bool:
    """Tell whether anybody listens, so that a busy caller need not build what nobody reads."""
    signal = SIGNAL_OF.get(state)
    return signal is not None and signal.has_listeners(Recipient)


def tell(changes: Iterable[Change]) -> None:
    """Send each change to who listens. Never raises what a receiver raises."""
    for change in changes:
        if is_heard(change.state):
            try:
                SIGNAL_OF[change.state].send_robust(sender=Recipient, change=change)
            except Exception:  # Django cannot report a partial or an object that raises: no name
                logger.exception("A receiver of %r raised.", change.state)


def is_awaited(state: str, using: str) -> bool:
    """Tell whether a receiver or a webhook is told of this state."""
    return is_heard(state) or state in wanted_states(using)


def note(changes: Iterable[Change], using: str) -> None:
    """Write down, in the present transaction, what webhooks have to be told."""
    if wanted_states(using):
        note_calls(
            [asdict(change) | {"event_type": change.event_type} for change in changes], using
        )


def tell_on_commit(changes: Iterable[Change], using: str) -> None:
    """Tell once the present transaction has committed; webhooks, too."""
    told = tuple(changes)
    if told:
        note(told, using)
        transaction.on_commit(lambda: tell(told), using=using, robust=True)

"""`Handle`: a reference to a queued message, and its present state.

A handle is only an id. It costs no query, and can be stored anywhere and created from the id.
"""

import datetime as dt
from dataclasses import dataclass, field

from outbox.api.async_variants import as_async
from outbox.conf import get_conf
from outbox.exceptions import MessageNotFoundError
from outbox.models import Message, Recipient, State, Status
from outbox.models.anymail import event_type, send_status
from outbox.models.recipient import is_being_sent
from outbox.models.states import shown_status


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientStatus:
    """The state of one recipient."""

    address: str
    role: str
    state: State
    status: str  # the state in Anymail's terms: queued, sent, rejected, failed or unknown
    event_type: str  # Anymail's tracking event: here deferred and bounced differ
    message_id: str  # the header, as in Anymail's status
    attempts: int
    next_attempt_at: dt.datetime | None  # uncertain: when the policy sends it again
    reply_code: int | None  # of the last reply; None before any
    reply_enhanced: str
    reply_text: str
    reason: str  # why it is in this state, in English
    reason_code: str  # the same, as a `ReasonCode`


@dataclass(frozen=True, slots=True)
class Handle:
    """A queued message, by its id. Each method is one query for the present state.

    `created` is False where an idempotency key returned the message that was queued first, and
    None in a handle that was made from an id. `suppressed` has the recipients of `send` whose
    delivery will be held. Both do not count when handles are compared.
    """

    pk: int
    created: bool | None = field(default=None, kw_only=True, compare=False)
    suppressed: tuple[str, ...] = field(default=(), kw_only=True, compare=False)

    def message(self) -> Message:
        """Return the row. Raise MessageNotFoundError when it was deleted."""
        found = Message.objects.using(get_conf().database).filter(pk=self.pk).first()
        if found is None:
            raise self._not_found()
        return found

    def status(self) -> Status:
        """Return the roll-up over all recipients. Raise MessageNotFoundError."""
        messages = Message.objects.using(get_conf().database).filter(pk=self.pk)
        found = messages.values_list("status", is_being_sent()).first()
        if found is None:
            raise self._not_found()
        status, is_sending = found
        return shown_status(status, {State.SENDING} if is_sending else ())

    def recipients(self) -> dict[str, RecipientStatus]:
        """Return the state of each recipient by address. Raise MessageNotFoundError."""
        rows = Recipient.objects.using(get_conf().database).filter(message=self.pk)
        found = {row.address: _status_of(row) for row in rows.select_related("message")}
        if not found:
            self.status()
        return found

    def _not_found(self) -> MessageNotFoundError:
        return MessageNotFoundError(f"The message {self.pk} does not exist: it was deleted.")

    amessage = as_async(message)
    astatus = as_async(status)
    arecipients = as_async(recipients)


def _status_of(row: Recipient) -> RecipientStatus:
    state = State(row.state)
    return RecipientStatus(
        address=row.address,
        role=row.role,
        state=state,
        status=send_status(state, row.reply_command),
        event_type=event_type(state, row.reply_command),
        message_id=row.message.message_id,
        attempts=row.attempts,
        next_attempt_at=row.next_at,
        reply_code=row.reply_code,
        reply_enhanced=row.reply_enhanced,
        reply_text=row.reply_text,
        reason=str(row.reason),
        reason_code=row.reason.code,
    )

"""Handle: what an app holds of a mail it queued, and what the mail says when it is asked.

It is an id and nothing else: it costs no query, can be kept anywhere and made again from the id.
"""

import datetime as dt
from dataclasses import dataclass, field

from outbox.api.twins import twin
from outbox.conf import get_conf
from outbox.exceptions import MessageNotFoundError
from outbox.models import Message, Recipient, State, Status
from outbox.models.anymail import event_type, send_status
from outbox.models.recipient import is_being_sent
from outbox.models.states import shown_status


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientStatus:
    """What is known of one recipient."""

    address: str
    role: str
    state: State
    status: str  # the same in Anymail's words: queued, sent, rejected, failed or unknown
    event_type: str  # likewise, as Anymail's tracking says it: deferred and bounced are told apart
    message_id: str  # the header, as Anymail's status has it
    attempts: int
    next_attempt_at: dt.datetime | None  # uncertain: when the policy sends it again
    reply_code: int | None  # of the last reply; None before any
    reply_enhanced: str
    reply_text: str
    reason: str  # why it is in this state, in one sentence


@dataclass(frozen=True, slots=True)
class Handle:
    """A queued message, by its id. Each question is one query about the present.

    `created` is False where an idempotency key returned the message that was queued first, and
    None in a handle that was made from an id. It does not count when handles are compared.
    """

    pk: int
    created: bool | None = field(default=None, kw_only=True, compare=False)

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
        """Return what is known of each recipient, by address. Raise MessageNotFoundError."""
        rows = Recipient.objects.using(get_conf().database).filter(message=self.pk)
        found = {row.address: _status_of(row) for row in rows.select_related("message")}
        if not found:
            self.status()
        return found

    def _not_found(self) -> MessageNotFoundError:
        return MessageNotFoundError(f"The message {self.pk} does not exist: it was deleted.")

    amessage = twin(message)
    astatus = twin(status)
    arecipients = twin(recipients)


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
        reason=row.reason,
    )

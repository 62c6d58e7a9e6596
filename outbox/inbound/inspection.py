"""What the inspection of a message finds."""

from dataclasses import dataclass, replace
from enum import StrEnum

from outbox.mail.server_replies import Effect
from outbox.texts import storable


class MessageKind(StrEnum):
    """What a message from another system is."""

    MESSAGE = "message"
    BOUNCE = "bounce"  # delivery to at least one recipient has failed
    DELAY = "delay"  # delivery is being tried again
    AUTO_REPLY = "auto-reply"
    COMPLAINT = "complaint"  # ARF (RFC 5965): a recipient or provider reports the message as spam
    RECEIPT = "receipt"  # of reading (MDN, RFC 8098) or of delivery (a DSN without a failure)


class Action(StrEnum):
    """What happened to a recipient, in the words of RFC 3464 2.3.3 and of RFC 8098 3.2.6."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What a message says about one recipient."""

    address: str  # as the sender wrote it, where the report has both forms
    action: str = ""  # an `Action`; of a receipt "displayed", of a complaint "abuse" and others
    status: str = ""  # enhanced status code (RFC 3463)
    effect: Effect | None = None  # of a bounce or delay
    reason: str = ""  # the text of the remote server or of the report, in one line
    rule: str = ""  # id of the rule that decided the effect; "" if none matched
    final_recipient: str = ""  # the address that the server tried, if it is another one

    def storable(self) -> "RecipientReport":
        """Return the report as every database can store it, and compare with what it stores."""
        return replace(
            self,
            address=storable(self.address),
            action=storable(self.action),
            status=storable(self.status),
            reason=storable(self.reason),
            final_recipient=storable(self.final_recipient),
        )

    @property
    def bounce_type(self) -> str:
        """Return `hard` or `soft`, or "" if nothing bounced."""
        if self.effect is None:
            return ""
        return "hard" if self.effect == Effect.HARD else "soft"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a message is, and what it says about an earlier one."""

    kind: MessageKind
    sign: str  # the property of the message that decided its kind
    recipients: tuple[RecipientReport, ...] = ()
    message_id: str = ""
    original_message_id: str = ""  # of the message that it reports on or replies to
    envelope_id: str = ""  # ENVID of the original message (RFC 3461)
    return_tokens: tuple[str, ...] = ()  # after a "+" in addresses that it was delivered to
    queue_ids: tuple[str, ...] = ()  # with which servers accepted the original message
    references: tuple[str, ...] = ()  # In-Reply-To and References, the nearest one first

    def storable(self) -> "Inspection":
        """Return the inspection as every database can store it. The ids are then those of none."""
        return replace(
            self,
            recipients=tuple(one.storable() for one in self.recipients),
            message_id=storable(self.message_id),
            original_message_id=storable(self.original_message_id),
            envelope_id=storable(self.envelope_id),
            return_tokens=tuple(map(storable, self.return_tokens)),
            queue_ids=tuple(map(storable, self.queue_ids)),
            references=tuple(map(storable, self.references)),
        )

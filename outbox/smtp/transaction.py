"""The outcome of one transaction for each recipient. Values only."""

from dataclasses import dataclass, field
from enum import StrEnum

from outbox.reasons import NO_REASON, Reason
from outbox.smtp.extensions import Restrictions
from outbox.smtp.faults import SmtpFault
from outbox.smtp.reply import Reply
from outbox.smtp.transcript import Part, Transcript


class Disposition(StrEnum):
    """What is certain about one recipient after the transaction."""

    ACCEPTED = "accepted"  # the server accepted the message for this recipient
    TRANSIENT = "transient"  # a 4yz: it may be accepted later
    PERMANENT = "permanent"  # a 5yz, or a message that cannot be sent to this server (`reason`)
    UNCERTAIN = "uncertain"  # the final dot was sent, no reply came
    NOT_TRIED = "not_tried"  # certainly not accepted, and not because of the recipient
    OVERFLOW = "overflow"  # needs another transaction: too many recipients, or done differently


@dataclass(slots=True)
class RecipientOutcome:
    address: str
    command: str = ""  # that `reply` belongs to: MAIL, RCPT, DATA or DOT
    reply: Reply | None = None  # None: no reply about this recipient
    disposition: Disposition = Disposition.NOT_TRIED
    reason: Reason = NO_REASON  # of the client, where no server was asked


@dataclass(slots=True)
class Transaction:
    recipients: list[RecipientOutcome]  # in the envelope's order
    transcript: Transcript = field(default_factory=lambda: Transcript(Part.TRANSFER))
    dot_sent: bool = False
    fault: SmtpFault | None = None  # set when the session failed; it is not usable then
    phases_ms: dict[str, float] = field(default_factory=dict)
    queue_id: str = ""  # the server's id of the message, if its reply to the dot has one
    sent_form: str = "8bit"  # unchanged; "7bit" if re-encoded for this server
    sent_sha256: str = ""  # of the data sent without signatures, if it differs from the source
    signature: str = ""  # DKIM-Signature fields that were sent before these data
    learned: Restrictions = field(
        default_factory=Restrictions
    )  # that the next transaction has to observe

    def reject_all(self, reason: Reason) -> None:
        """Set the outcome of a message that cannot be sent to this server."""
        for outcome in self.recipients:
            outcome.disposition, outcome.reason = Disposition.PERMANENT, reason

    def restart(self) -> None:
        """Discard the outcomes: the server certainly accepted nothing."""
        self.recipients = [RecipientOutcome(outcome.address) for outcome in self.recipients]
        self.dot_sent, self.queue_id = False, ""
        self.sent_form, self.sent_sha256, self.signature = "8bit", "", ""

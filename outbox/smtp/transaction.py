"""What became of one transaction, recipient by recipient. Values only."""

from dataclasses import dataclass, field
from enum import StrEnum

from outbox.smtp.faults import SmtpFault
from outbox.smtp.reply import Reply
from outbox.smtp.transcript import Part, Transcript


class Disposition(StrEnum):
    """What is certain about one recipient when the transaction is over."""

    ACCEPTED = "accepted"  # the server took the mail for this recipient
    TRANSIENT = "transient"  # a 4yz: it may take it later
    PERMANENT = "permanent"  # a 5yz, or a mail this server cannot be given (`reason`)
    UNCERTAIN = "uncertain"  # the dot left, no final reply came
    NOT_TRIED = "not_tried"  # certainly not accepted, and no fault of the recipient
    OVERFLOW = "overflow"  # too many recipients for one transaction: belongs in a further one


@dataclass(slots=True)
class RecipientOutcome:
    address: str
    command: str = ""  # what `reply` answered: MAIL, RCPT, DATA or DOT
    reply: Reply | None = None  # None: nothing was said of this recipient
    disposition: Disposition = Disposition.NOT_TRIED
    reason: str = ""  # ours, in words, where no server was asked


@dataclass(slots=True)
class Transaction:
    recipients: list[RecipientOutcome]  # in the envelope's order
    transcript: Transcript = field(default_factory=lambda: Transcript(Part.TRANSFER))
    dot_sent: bool = False
    fault: SmtpFault | None = None  # set when the session broke off; it is not usable then
    phases_ms: dict[str, float] = field(default_factory=dict)
    queue_id: str = ""  # the server's name for the mail, where its reply to the dot shows one
    sent_form: str = "8bit"  # as given; "7bit" when re-encoded for this server
    sent_sha256: str = ""  # of what was sent, where that is not what was given

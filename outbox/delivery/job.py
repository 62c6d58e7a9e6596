"""Job: what one claim hands to one transaction."""

import datetime as dt
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class JobRecipient:
    """A claimed recipient, as it stood at the claim."""

    id: int
    address: str
    attempts: int
    expires_at: dt.datetime | None
    attempts_at_retry: int = 0  # attempts before the last retry by a person


@dataclass(slots=True, kw_only=True)
class Job:
    """One message for some of its recipients, held under the fencing token `attempt_id`."""

    attempt_id: int
    message_id: int
    destination_id: int
    sender_key: int  # whose turn this is
    envelope_sender: str
    sha256: str
    is_whole: bool  # no other recipient of the message exists
    source: bytes | None  # as it is stored; None: large, read when its turn comes
    resend_after: dt.timedelta | None  # None: an uncertain recipient waits for a person
    wants_report: bool = False  # of delivery, from servers that give one (RFC 3461)
    recipients: list[JobRecipient] = field(default_factory=list)
    is_marked: bool = False  # "the dot is about to leave" was committed

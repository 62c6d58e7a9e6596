"""Jobs, which a claim hands to a transaction, and the items that the recorder writes about them.

Values only. `record` says how each item is written. `destination_id` is whose items it stays in
order with, and `size` about how many bytes of text it has.
"""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from outbox.delivery.circuit import Probe
from outbox.delivery.limits import HeldSlot
from outbox.delivery.verdict import Verdict
from outbox.mail.mailbox import domain_of
from outbox.models import Outcome, SmtpSession, TlsRequirement
from outbox.models.return_path import token_of, with_token
from outbox.models.transport_policy import TlsCountKey
from outbox.reasons import NO_REASON, Reason
from outbox.signals import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What a message requests from servers with DSN, as the commands name it (RFC 3461)."""

    notify: tuple[str, ...] = ()
    ret: str = ""
    envid: str = ""  # "": the token


@dataclass(slots=True, kw_only=True)
class JobRecipient:
    """A claimed recipient, as it was at the claim."""

    id: int
    address: str
    attempts: int
    expires_at: dt.datetime | None
    attempts_at_retry: int = 0  # attempts before the last retry by a person
    waited_ms: int = 0  # since its attempt was due, at the claim


@dataclass(slots=True, kw_only=True)
class Job:
    """One message for some of its recipients, under the fencing token `attempt_id`."""

    attempt_id: int
    message_id: int
    destination_id: int
    worker_id: int = 0
    account_id: int | None = None
    since: dt.datetime | None = None  # when the message could be sent first
    sender_key: int
    envelope_sender: str
    # Of the account: where bounces are wanted, with a token; "" if the caller gave the sender.
    return_path: str = ""
    from_address: str = ""  # of the account, where the caller did not give the sender
    sha256: str
    is_whole: bool  # the message has no other recipient
    source: bytes | None  # as it is stored; None: too large to be read with the claim
    size: int = 0  # of the source, in bytes
    resend_after: dt.timedelta | None  # None: an uncertain recipient waits for a person
    tls_requirement: str = ""  # a `TlsRequirement`
    report: ReportOptions | None = None  # what was requested; None: nothing
    is_sensitive: bool = False  # nothing of the content may be recorded
    signature: str = ""  # DKIM-Signature fields that an earlier attempt has sent
    is_reserved: bool = False  # the rate limits of the destination have counted its recipients
    probe: Probe | None = None  # it tests a destination whose circuit is half open
    # All of them were last retried by a person after as many attempts: they share the token.
    recipients: list[JobRecipient] = field(default_factory=list)

    @property
    def is_first_attempt(self) -> bool:
        """Whether no other job has attempted anything of the message, nor will at the same time."""
        return self.is_whole and not any(recipient.attempts for recipient in self.recipients)

    @property
    def requires_tls(self) -> bool:
        """Whether it is sent only over verified TLS (RFC 8689)."""
        return self.tls_requirement == TlsRequirement.REQUIRED

    @property
    def domain(self) -> str:
        """The domain of its recipients, which they share where delivery is by MX."""
        return domain_of(self.recipients[0].address)

    @property
    def token(self) -> str:
        """The signed token of the delivery, which bounces repeat."""
        return token_of(self.message_id, self.recipients[0].attempts_at_retry)

    @property
    def sender(self) -> str:
        """The envelope sender of the attempt: the return path with a token, if there is one.

        The null sender stays: a bounce of a notification must not come back (RFC 5321 4.5.5).
        """
        return self._own_sender if self.envelope_sender else ""

    @property
    def sender_instead(self) -> str:
        """The envelope sender where the server rejects the null sender, which our emails have."""
        return "" if self.envelope_sender else self._own_sender

    @property
    def _own_sender(self) -> str:
        if self.return_path:
            return with_token(self.return_path, self.token)
        return self.envelope_sender or self.from_address

    def without_source(self) -> "Job":
        """Return the job without the message's body, which a waiting result must not hold."""
        return replace(self, source=None)


class InHand:
    """How many recipients of each destination this worker has claimed and not yet recorded.

    Claims add to it in the event loop, and the recorder subtracts from it in its own thread.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __getitem__(self, destination_id: int) -> int:
        return self._counts[destination_id]

    def add(self, jobs: Iterable[Job]) -> None:
        """Count the recipients of claimed jobs."""
        with self._lock:
            for job in jobs:
                self._counts[job.destination_id] += len(job.recipients)

    def remove(self, jobs: Iterable[Job]) -> None:
        """Subtract the recipients of recorded or returned jobs."""
        with self._lock:
            for job in jobs:
                self._counts[job.destination_id] -= len(job.recipients)


@dataclass(slots=True, kw_only=True)
class Mark:
    """A request to commit `dot_marked_at` for this attempt."""

    attempt_id: int
    destination_id: int = 0
    granted: bool = False
    size: ClassVar[int] = 0


@dataclass(slots=True, kw_only=True)
class SessionOpened:
    """The row of a session that was opened, or that could not be opened."""

    session: SmtpSession

    @property
    def destination_id(self) -> int:
        return self.session.destination_id or 0

    @property
    def size(self) -> int:
        return len(self.session.opening) + len(self.session.greeting)


@dataclass(slots=True, kw_only=True)
class SessionClosed:
    """The end of a session, with the conversation that closed it."""

    session: SmtpSession
    closing: str

    @property
    def destination_id(self) -> int:
        return self.session.destination_id or 0

    @property
    def size(self) -> int:
        return len(self.closing)


@dataclass(slots=True, kw_only=True)
class Result:
    """The result of one attempt."""

    job: Job
    verdicts: list[Verdict]  # one per recipient of the job, in order
    outcome: Outcome
    session: SmtpSession | None = None
    number_in_session: int = 0
    phase: str = ""
    fault: str = ""
    reason: Reason = NO_REASON
    transfer: str = ""
    phases_ms: str = ""
    sent_sha256: str = ""
    signature: str = ""  # DKIM-Signature fields that were sent
    remote_queue_id: str = ""
    traceback: str = ""
    group_keys: list[int] = field(default_factory=list)  # set by `failure_groups`, as verdicts
    fenced: bool = False  # set by `record`: another worker had taken over

    @property
    def destination_id(self) -> int:
        return self.job.destination_id

    @property
    def size(self) -> int:
        """About how many bytes of text it writes: a reply into the attempt and the recipient."""
        replies = sum(len(verdict.reply.text) for verdict in self.verdicts if verdict.reply)
        return len(self.transfer) + len(self.traceback) + 2 * replies

    def changes(self) -> Iterable[Change]:
        """Yield each recipient's change, as the signals report it."""
        for recipient, verdict in zip(self.job.recipients, self.verdicts, strict=True):
            yield Change(
                message_id=self.job.message_id,
                recipient_id=recipient.id,
                address=recipient.address,
                state=verdict.state,
                reply_code=verdict.reply.code if verdict.reply else None,
                reply_enhanced=verdict.reply.enhanced if verdict.reply else "",
                reply_text=verdict.reply.text if verdict.reply else "",
                reply_command=verdict.command if verdict.reply else "",
                reason=str(verdict.reason),
                reason_code=verdict.reason.code,
            )


@dataclass(slots=True, kw_only=True)
class JobsReturned:
    """Jobs that were claimed and not begun. Any worker may claim them again.

    The item returns what the rate limits have counted for them, so that nothing else does.
    """

    jobs: Sequence[Job]
    worker_id: int
    moved_to: int | None = None  # another destination, to which their recipients belong
    reserved: dict[int, int] = field(init=False)  # attempt → recipients that were counted
    size: ClassVar[int] = 0

    def __post_init__(self) -> None:
        counted = [job for job in self.jobs if job.is_reserved]
        self.reserved = {job.attempt_id: len(job.recipients) for job in counted}
        for job in counted:
            job.is_reserved = False

    @property
    def destination_id(self) -> int:
        return self.jobs[0].destination_id


@dataclass(slots=True, kw_only=True)
class SlotsReleased:
    """Connection slots that are no longer needed."""

    destination_id: int
    slots: Sequence[HeldSlot]
    size: ClassVar[int] = 0


@dataclass(slots=True, kw_only=True)
class TlsCounted:
    """Sessions with servers found by MX, or attempted sessions, as reports on TLS count them."""

    destination_id: int
    keys: Sequence[TlsCountKey]
    size: ClassVar[int] = 0


@dataclass(slots=True, kw_only=True)
class Barrier:
    """An item without content: once it is recorded, so are its destination's items before it."""

    destination_id: int
    size: ClassVar[int] = 0


RecordItem = (
    Mark
    | SessionOpened
    | SessionClosed
    | Result
    | JobsReturned
    | SlotsReleased
    | TlsCounted
    | Barrier
)

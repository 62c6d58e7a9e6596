"""Unit: one thing that the recorder is asked to write, whatever it is about.

Values only; `record` says how each of them is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from outbox.delivery.job import Job
from outbox.delivery.verdict import Verdict
from outbox.models import Outcome, Session
from outbox.signals import Change


@dataclass(slots=True, kw_only=True)
class Mark:
    """Ask that "the dot is about to leave" be committed for this attempt."""

    attempt_id: int
    granted: bool = False


@dataclass(slots=True, kw_only=True)
class Opened:
    """A connection stands (or failed to): its row, saved with the next commit."""

    session: Session


@dataclass(slots=True, kw_only=True)
class Closed:
    """A connection ended."""

    session: Session
    closing: str


@dataclass(slots=True, kw_only=True)
class Result:
    """What one attempt came to."""

    job: Job
    verdicts: list[Verdict]  # one per recipient of the job, in order
    outcome: Outcome
    session: Session | None = None
    number_in_session: int = 0
    phase: str = ""
    fault: str = ""
    detail: str = ""
    transfer: str = ""
    phases_ms: str = ""
    sent_sha256: str = ""
    remote_queue_id: str = ""
    traceback: str = ""
    fenced: bool = False  # set by the record: another had taken over

    def changes(self) -> Iterable[Change]:
        """Tell what became of each recipient, in the words of the signals."""
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
                reason=verdict.reason,
            )


@dataclass(slots=True, kw_only=True)
class GivenBack:
    """Jobs that were claimed and never begun: another worker, or a later time, may serve them."""

    jobs: Sequence[Job]
    worker_id: int


@dataclass(slots=True, kw_only=True)
class Freed:
    """Connection slots that are not needed any more."""

    destination_id: int
    worker_id: int
    slots: Sequence[int]


@dataclass(slots=True, kw_only=True)
class Passed:
    """Nothing to write: whoever put it learns that all before it is written."""


Unit = Mark | Opened | Closed | Result | GivenBack | Freed | Passed


def clean(text: str) -> str:
    """Make text storable: PostgreSQL refuses NUL, UTF-8 refuses lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()

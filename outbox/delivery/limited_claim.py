"""A claim within the limits of a destination: circuit, rate limits and connection slots.

One transaction asks what they allow, claims, counts what it has claimed and reserves slots for it.
So nothing is claimed that no session may deliver, and nothing is counted in vain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from outbox.db.clock import now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery import limits
from outbox.delivery.claim import Claim, ClaimInDoubtError, claim
from outbox.delivery.job import Job
from outbox.delivery.slots import SlotRequest
from outbox.models import Destination


@dataclass(slots=True)
class LimitsOfClaim:
    """The limits of one claim."""

    destination: Destination
    worker_id: int
    using: str
    slots: SlotRequest | None = None  # None: what is claimed is not sent from here
    is_limited: bool = field(init=False)
    _allowed: limits.Allowance = field(default_factory=lambda: limits.Allowance(0))

    def __post_init__(self) -> None:
        self.is_limited = limits.has_limits(self.destination, now())

    def allow(self, wanted: int) -> int:
        """Return how many recipients are allowed: none if no session can be had for them."""
        if self.slots is not None and not self.slots.look():
            return 0
        if not self.is_limited:
            return wanted
        self._allowed = limits.allowance(self.destination, wanted, self.using)
        return self._allowed.recipients

    def count(self, jobs: Sequence[Job]) -> bool:
        """Count the jobs, and reserve slots for them. Return False if no session can be had."""
        if self.is_limited:
            recipients = sum(len(job.recipients) for job in jobs)
            probe = self._allowed.use(recipients, self.worker_id, self.using)
            for job in jobs:
                job.is_reserved, job.probe = True, probe
        if self.slots is None:
            return True
        self.slots.reserve(len(jobs))
        return self.slots.has_any or not jobs


def claim_within_limits(
    destination: Destination,
    worker_id: int,
    room: int,
    after_sender: int,
    using: str,
    slots: SlotRequest | None = None,
) -> Claim:
    """Claim as much of `room` as the circuit and the rate limits allow.

    `slots` reserves slots for the jobs. Without any, and without an open session, nothing is
    claimed.
    """
    within = LimitsOfClaim(destination, worker_id, using, slots)
    try:
        return claim(
            destination_id=destination.pk,
            worker_id=worker_id,
            limit=room,
            after_sender=after_sender,
            by_domain=destination.is_direct or destination.account.is_direct,
            # Another worker may have opened the circuit since this one read it as closed.
            needs_closed_circuit=destination.fits_account and not within.is_limited,
            limits=within,
            using=using,
        )
    except (ClaimInDoubtError, *DATABASE_UNAVAILABLE):
        raise  # the slots may be reserved; the runner releases them
    except Exception:
        if slots is not None:
            slots.reserved.clear()
        raise

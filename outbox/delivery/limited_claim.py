"""A claim within the limits of a destination: circuit, rate limits and connection slots.

One transaction reserves what they allow, claims, and returns what it does not use. So nothing is
claimed that no session may deliver, and nothing is reserved in vain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from outbox.db.clock import now
from outbox.delivery import limits
from outbox.delivery.circuit import return_probe
from outbox.delivery.claim import Claim, ClaimInDoubtError, claim
from outbox.delivery.job import Job
from outbox.delivery.slots import SlotRequest
from outbox.models import Destination


@dataclass(slots=True)
class DestinationLimits:
    """The limits of one claim."""

    destination: Destination
    worker_id: int
    using: str
    slots: SlotRequest | None = None  # None: what is claimed is not sent from here
    is_limited: bool = field(init=False)
    _reserved: limits.Reservation = field(init=False, default=limits.Reservation(0))

    def __post_init__(self) -> None:
        self.is_limited = limits.has_limits(self.destination, now())

    def reserve(self, wanted: int) -> int:
        """Reserve recipients, unless there is no session and no slot for one."""
        if self.slots is not None and not self.slots.look():
            return 0
        if not self.is_limited:
            return wanted
        self._reserved = limits.reserve(self.destination.pk, self.worker_id, wanted, self.using)
        return self._reserved.recipients

    def settle(self, jobs: Sequence[Job]) -> None:
        """Return what was not claimed, and take slots for the jobs."""
        if self.is_limited:
            self._return_unused(jobs)
        if self.slots is not None:
            self.slots.take(len(jobs))

    def _return_unused(self, jobs: Sequence[Job]) -> None:
        probe = self._reserved.probe
        for job in jobs:
            job.is_reserved, job.probe = True, probe
        if probe is not None and not jobs:
            return_probe(probe, self.using)
        unused = self._reserved.recipients - sum(len(job.recipients) for job in jobs)
        if unused:
            limits.refund(self.destination.pk, unused, self.using)


def claim_within_limits(
    destination: Destination,
    worker_id: int,
    room: int,
    after_sender: int,
    using: str,
    slots: SlotRequest | None = None,
) -> Claim:
    """Claim as much of `room` as the circuit and the rate limits allow.

    `slots` takes slots for the jobs. Without any, and without an open session, nothing is claimed.
    """
    within = DestinationLimits(destination, worker_id, using, slots)
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
    except ClaimInDoubtError:
        raise  # the slots may be taken as well
    except Exception:
        if slots is not None:
            slots.taken.clear()
        raise

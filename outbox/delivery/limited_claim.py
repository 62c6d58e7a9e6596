"""A claim within the limits of a destination: the circuit and the rate limits.

What it reserves and does not use is returned, however the claim ends.
"""

from collections.abc import Callable, Sequence

from outbox.db.clock import now
from outbox.delivery import limits
from outbox.delivery.claim import Claim, ClaimInDoubtError, claim
from outbox.delivery.job import Job, ReservationReturned
from outbox.models import Destination


def claim_within_limits(
    destination: Destination,
    worker_id: int,
    room: int,
    after_sender: int,
    using: str,
    on_unused: Callable[[ReservationReturned], object],
) -> Claim:
    """Claim as much of `room` as the circuit and the rate limits allow.

    `on_unused` gets what was reserved and not used, also when the claim fails. The database may be
    unavailable by then.
    """
    is_limited = limits.has_limits(destination, now())
    reserved = (
        limits.reserve(destination.pk, worker_id, room, using)
        if is_limited
        else limits.Reservation(room)
    )
    if reserved.recipients <= 0:
        return Claim([])
    jobs: Sequence[Job] = ()
    try:
        claimed = claim(
            destination_id=destination.pk,
            worker_id=worker_id,
            limit=reserved.recipients,
            after_sender=after_sender,
            by_domain=destination.is_direct or destination.account.is_direct,
            # Another worker may have opened the circuit since this one read it as closed.
            needs_closed_circuit=destination.fits_account and not is_limited,
            using=using,
        )
        jobs = claimed.jobs
    except ClaimInDoubtError as error:
        jobs = error.jobs
        raise
    finally:
        for job in jobs:
            job.is_reserved, job.probe = is_limited, reserved.probe
        unused = reserved.recipients - sum(len(job.recipients) for job in jobs)
        if is_limited and unused:
            probe = None if jobs else reserved.probe
            on_unused(
                ReservationReturned(destination_id=destination.pk, recipients=unused, probe=probe)
            )
    return claimed

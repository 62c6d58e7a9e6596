"""Carry: one job over one warm session. Its source is read, its dot marked, its outcome put down.

What our own code fails on is quarantined here and stops no other mail.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from outbox.delivery import converse
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.equipment import Equipment
from outbox.delivery.job import Job
from outbox.delivery.storage import StorageAwayError, read_source
from outbox.delivery.verdict import RouteEffect
from outbox.delivery.warm import Warm
from outbox.models.packing import unpack

_RECORDER_FULL = 2_000  # units; beyond it no new transaction begins


async def carry(job: Job, warm: Warm, equipment: Equipment) -> tuple[RouteEffect, str]:
    """Hand a job to the server; return what that means for the route, and why.

    Raises DATABASE_AWAY when the source could not be read: then nothing was begun.
    """
    recorder = equipment.recorder
    while recorder.backlog > _RECORDER_FULL:  # noqa: ASYNC110  # it is a thread
        await asyncio.sleep(0.01)
    try:
        source = await _source_of(job, equipment)
        result, effect = await converse.converse(
            warm.session, warm.row, job, source, _before_dot(job, equipment), equipment.lease
        )
    except DATABASE_AWAY:
        raise
    except StorageAwayError as error:  # nothing was said to the server
        recorder.put(converse.unread(job, str(error), equipment.lease.now))
        return RouteEffect.NONE, ""
    except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this mail alone
        recorder.put(converse.quarantined(job, f"{type(error).__name__}: {error}"))
        warm.session.abort()
        return RouteEffect.NONE, ""
    recorder.put(result)
    return effect, result.verdicts[0].reason


async def _source_of(job: Job, equipment: Equipment) -> bytes:
    """Take the source from the job, so that a waiting outcome need not hold the body."""
    source, job.source = job.source, None
    if source is not None:
        return unpack(source)
    return await equipment.in_claimer(partial(read_source, job.message_id, equipment.using))


def _before_dot(job: Job, equipment: Equipment) -> Callable[[], Awaitable[bool]]:
    async def allowed() -> bool:
        if equipment.lease.held:
            job.is_marked = await equipment.recorder.mark(job.attempt_id)
        return job.is_marked

    return allowed

"""What a runner reports about its destination, in the database for all workers.

A report that the database cannot accept at present is logged. The messages do not depend on it.
"""

import datetime as dt
import logging
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from outbox import smtp
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery import circuit, limits
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job
from outbox.delivery.server_memory import ServerMemory, remember
from outbox.models import Circuit, Destination
from outbox.models.destination import DestinationEffect
from outbox.models.destination_limits import limits_of
from outbox.reasons import Reason

logger = logging.getLogger(__name__)
T = TypeVar("T")


class DestinationReports:
    """The reports of one runner."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    async def report_fault(
        self,
        destination: Destination,
        effect: DestinationEffect,
        reason: Reason,
        probe: circuit.Probe | None = None,
    ) -> dt.datetime:
        """Count a fault of the destination and return when it is tried again.

        `probe` is that of the job that failed.
        """
        chance = random.random()  # noqa: S311  # jitter
        args = destination.pk, effect, reason, chance, self._context.using, probe
        change = await self._report(destination, "A fault", partial(circuit.report_fault, *args))
        if change is None:
            pause = dt.timedelta(seconds=self._context.conf.circuit_pause_initial)
            return self._context.lease.now + pause
        destination.circuit_faults += 1
        destination.circuit = change.circuit
        if change.opened:
            until = change.retry_at
            logger.warning("%s: the circuit is open until %s: %s", destination, until, reason)
        return change.retry_at

    async def report_success(self, destination: Destination) -> bool:
        """Close the circuit. Return False if the database is unavailable."""

        def close() -> bool:
            circuit.report_success(destination.pk, self._context.using)
            return True

        if not await self._report(destination, "A success", close):
            return False
        destination.circuit, destination.circuit_faults = Circuit.CLOSED, 0
        return True

    async def return_probe(
        self, destination: Destination, job: Job, pause: dt.timedelta = circuit.NO_PAUSE
    ) -> bool:
        """Open the circuit again if the job was a probe, which found out nothing.

        Return whether another delivery may test the server.
        """
        if job.probe is None:
            return False
        work = partial(circuit.return_probe, job.probe, self._context.using, pause)
        return bool(await self._report(destination, "The end of a probe", work))

    async def refund(self, destination: Destination, job: Job) -> bool:
        """Refund what was reserved for a job that led to no connection.

        That says nothing about the server. Return whether another delivery may test it.
        """
        if job.is_reserved:
            args = destination.pk, len(job.recipients), self._context.using
            await self._report(destination, "A refund", partial(limits.refund, *args))
        return await self.return_probe(destination, job)

    async def report_replies(self, destination: Destination, replies: Iterable[smtp.Reply]) -> bool:
        """Slow an MX site down or suspend it, as its shaping says about these replies.

        Return whether one of them limits it from now on.
        """
        rejections = {str(one): one for one in replies if not one.accepted}
        if not rejections:
            return False
        shaping = limits_of(destination, self._context.lease.now).shaping
        if shaping is None:
            return False
        is_limited = False
        for reply in rejections.values():
            rule = shaping.rule_for(str(reply))
            if rule is None:
                continue
            args = destination.pk, rule, reply.quoted, self._context.using
            limits_it = await self._report(
                destination, "A reply", partial(limits.report_rule, *args)
            )
            if limits_it is None:  # each further report would wait for the database as well
                break
            if limits_it:
                logger.warning("%s asked for less: %s", destination, reply)
                is_limited = True
        return is_limited

    async def remember(
        self, destination: Destination, memory: ServerMemory, connection: smtp.Connection, host: str
    ) -> None:
        """Store what a server announced and rejected; an empty host is that of the account."""
        now = self._context.lease.now
        if memory.learn(connection.facts.extensions, connection.learned, now, host):
            args = destination.pk, memory, now, self._context.using
            await self._report(destination, "A restriction", partial(remember, *args))

    async def _report(self, destination: Destination, name: str, work: Callable[[], T]) -> T | None:
        """Run database work; return None if the database is unavailable."""
        try:
            return await self._context.in_claimer(work)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("%s of %s could not be recorded: %s", name, destination, error)
            return None

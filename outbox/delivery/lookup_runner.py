"""A runner for recipients of a direct account whose domains were not looked up yet.

It connects to no server. Recipients of a domain that has servers are moved to the destination of
their MX site, untried. Also those of a destination that no longer fits the account's route are
moved from here. No lookup delays that of another domain.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery import transaction
from outbox.delivery.base_runner import Runner
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job
from outbox.delivery.mx_router import MxRouter
from outbox.models import SMARTHOST_KEY, Destination
from outbox.net.mx import RoutingError
from outbox.net.sites import MxSite, site_of

logger = logging.getLogger(__name__)
_DOMAINS_MAX = 200  # that are looked up at once; the resolver asks for fewer at a time
_ABORT_TIMEOUT = 2.0  # seconds until cancelled lookups have returned their jobs


class LookupRunner(Runner):
    """Looks up the domains of due recipients until there are none."""

    def __init__(
        self, context: DeliveryContext, destination: Destination, router: MxRouter
    ) -> None:
        super().__init__(context, destination)
        self._router = router
        self._lookups: set[asyncio.Task[None]] = set()
        self._found: list[tuple[str, MxSite, list[Job]]] = []
        self._moving: asyncio.Task[None] | None = None

    @property
    def has_jobs(self) -> bool:
        """Return whether a job waits here, or its domain is being looked up."""
        return bool(self._claimed or self._lookups or self._moving)

    async def feed_due(self, destination: Destination, _seen_at: float) -> None:
        """Look up the domains of what is due."""
        self.destination = destination
        if destination.fits_account and not destination.is_unresolved:
            await self.retire()  # the account's route was changed back
            return
        self._claimed.is_exhausted = False
        await self._feed()

    async def close(self, patience: float) -> None:
        """Begin nothing more, wait for what has begun, and end what takes too long."""
        await self._claimed.close()
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + patience
        while tasks := self._tasks:  # a lookup that ends may begin to move its recipients
            timeout = max(ends_at - loop.time(), 0)
            done, unfinished = await asyncio.wait(tasks, timeout=timeout)
            if done:
                continue
            for task in unfinished:
                task.cancel()
            await asyncio.wait(unfinished, timeout=_ABORT_TIMEOUT)
            return

    @property
    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._lookups, *([self._moving] if self._moving else [])]

    async def _feed(self) -> None:
        if self._feeding.locked():
            return
        async with self._feeding:
            while len(self._lookups) < _DOMAINS_MAX and not self._claimed.is_closed:
                size = self._context.conf.claim_size
                await self._claimed.wait_for_room(self.destination, size)
                await self._claimed.fill(self.destination, size)
                if not self._claimed:
                    if self._claimed.is_cut_short:
                        continue
                    return
                self._begin()

    def _begin(self) -> None:
        by_domain: dict[str, list[Job]] = {}
        while (job := self._claimed.take()) is not None:
            by_domain.setdefault(job.domain, []).append(job)
        for domain, jobs in by_domain.items():
            task = asyncio.create_task(self._look_up(domain, jobs))
            self._lookups.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._lookups.discard(task)
        if not self._claimed.is_exhausted and len(self._lookups) <= _DOMAINS_MAX // 2:
            self._context.spawn(self._feed())

    async def _look_up(self, domain: str, jobs: list[Job]) -> None:
        account = self.destination.account
        try:
            if not account.is_direct:
                await self._move_to_smarthost(jobs)
                return
            found = await self._router.exchangers_of(domain)
        except RoutingError as error:
            for job in jobs:
                now = self._context.lease.now
                self._context.recorder.put(transaction.unrouted(job, error, now))
        except (asyncio.CancelledError, *DATABASE_UNAVAILABLE) as error:
            self._claimed.return_all(*jobs)
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception:
            logger.exception("The lookup of %s ended with an error.", domain)
            self._claimed.return_all(*jobs)
        else:
            site = site_of(found)
            self._router.note_move(domain, site)
            self._found.append((domain, site, jobs))
            if self._moving is None:
                self._moving = asyncio.create_task(self._move())

    async def _move(self) -> None:
        """Move what was found so far, many domains with one database transaction."""
        try:
            while self._found:
                found, self._found = self._found, []
                await self._move_to_sites(found)
        finally:
            self._moving = None
        # The engine finds them due as soon as they are recorded.
        await self._context.recorder.caught_up(self.destination.pk)
        self._context.wake()

    async def _move_to_sites(self, found: Sequence[tuple[str, MxSite, list[Job]]]) -> None:
        account = self.destination.account
        try:
            sites = {domain: site for domain, site, _ in found}
            ids = await self._router.destinations_of(account, sites, waiting_at=self.destination.pk)
        except (asyncio.CancelledError, *DATABASE_UNAVAILABLE) as error:
            self._return_found(found)
            if isinstance(error, asyncio.CancelledError):
                self._return_found(self._found)  # what was found since
                raise
            return
        except Exception:
            logger.exception("The sites of %d domains could not be stored.", len(found))
            self._return_found(found)
            return
        for domain, _, jobs in found:
            for job in jobs:
                self._router.move(job, ids.get(domain))

    def _return_found(self, found: Sequence[tuple[str, MxSite, list[Job]]]) -> None:
        self._claimed.return_all(*(job for _, _, jobs in found for job in jobs))

    async def _move_to_smarthost(self, jobs: Sequence[Job]) -> None:
        work = partial(_smarthost_of, self.destination.account_id, self._context.using)
        destination_id = await self._context.in_claimer(work)
        for job in jobs:
            self._router.move(job, destination_id)
        await self._context.recorder.caught_up(self.destination.pk)
        self._context.wake()


def _smarthost_of(account_id: int, using: str) -> int:
    destinations = Destination.objects.using(using)
    found, _ = destinations.get_or_create(account_id=account_id, key=SMARTHOST_KEY)
    return found.pk

"""The runners of one engine: one for each destination that is due, and not too many at a time.

A direct account may have ten thousand MX sites with one message each. Only so many of them have a
runner at a time. Runners without work are removed. When too many are kept for their idle sessions,
these are closed for other sites. The server of an account always has a runner.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from outbox.delivery.base_runner import Runner
from outbox.delivery.context import DeliveryContext
from outbox.delivery.limits import Wanted
from outbox.delivery.lookup_runner import LookupRunner
from outbox.delivery.mx_opener import MxOpener
from outbox.delivery.mx_router import MxRouter
from outbox.delivery.openers import SmarthostOpener
from outbox.delivery.runner import DestinationRunner
from outbox.models import Destination

logger = logging.getLogger(__name__)
RUNNERS_MAX = 200  # of MX sites
_IDLE_CHECK_INTERVAL = 0.02  # seconds


class Runners:
    """The runners by destination; used by one event loop."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._max = RUNNERS_MAX
        self._makes_room = False
        self._reported: set[str] = set()
        self.unusable: set[int] = set()  # due destinations that could get no runner
        self._runners: dict[int, Runner] = {}
        self._router: MxRouter | None = None  # once there is a direct account

    def __iter__(self) -> Iterator[Runner]:
        return iter(list(self._runners.values()))

    def __len__(self) -> int:
        return len(self._runners)

    async def finish(self, seconds: float) -> None:
        """Wait for what was begun in the background, for a limited time."""
        if self._router is not None:
            await self._router.finish(seconds)

    def close(self) -> None:
        """Cancel what the runners wait for together. They begin nothing more."""
        if self._router is not None:
            self._router.close()

    @property
    def wanted(self) -> Wanted:
        """Which due destinations can be used at present."""
        lease = self._context.lease
        return Wanted(frozenset(self._runners), self._max, lease.rank, lease.workers_alive)

    def assign(self, due: Sequence[Destination]) -> list[tuple[Runner, Destination]]:
        """Return a runner for each due destination for which there is room, with it."""
        ids = {destination.pk for destination in due}
        for pk, runner in list(self._runners.items()):
            if not runner.is_busy and (pk not in ids or runner.is_closed):
                del self._runners[pk]
        fed = []
        left_out = 0
        self.unusable = set()
        sites = sum(_is_of_site(runner) for runner in self)
        for destination in due:
            if destination.pk not in self._runners:
                if destination.site_key and sites >= self._max:
                    left_out += 1
                    continue
                try:
                    self._runners[destination.pk] = self._new(destination)
                except Exception as error:  # noqa: BLE001  # the servers of accounts still work
                    self._report(error, destination)
                    self.unusable.add(destination.pk)
                    continue
                sites += bool(destination.site_key)
            runner = self._runners[destination.pk]
            if not runner.is_closed:
                fed.append((runner, destination))
        if left_out and not self._makes_room:
            self._makes_room = True
            self._context.spawn(self._make_room(left_out))
        return fed

    def _report(self, error: Exception, destination: Destination) -> None:
        """Log why there is no runner, once for each reason: it is tried again at each poll."""
        if str(error) not in self._reported:
            self._reported.add(str(error))
            logger.error("Nothing is sent to %s and others: %s", destination, error)

    async def _make_room(self, wanted: int) -> None:
        """Close runners that are kept for their idle sessions, since others have messages.

        Several at a time: each look for due messages reads them all.
        """
        try:
            least = min(wanted, max(self._max // 4, 1))
            idle: list[Runner] = []
            while len(idle) < least:
                await asyncio.sleep(_IDLE_CHECK_INTERVAL)  # no event says that a runner is idle
                if not self._context.may_claim:
                    return
                idle = [one for one in self if one.is_idle and _is_of_site(one)]
                if sum(map(_is_of_site, self)) < self._max:
                    break  # others have ended
            patience = self._context.conf.shutdown_timeout
            await asyncio.gather(*(runner.close(patience) for runner in idle[:wanted]))
        finally:
            self._makes_room = False
        self._context.wake()

    def _new(self, destination: Destination) -> Runner:
        context = self._context
        if destination.fits_account and not destination.is_direct:
            return DestinationRunner(context, destination, SmarthostOpener(context))
        if self._router is None:
            self._router = MxRouter(context)
        if destination.is_unresolved or not destination.fits_account:
            return LookupRunner(context, destination, self._router)
        return DestinationRunner(context, destination, MxOpener(self._router, context))


def _is_of_site(runner: Runner) -> bool:
    return bool(runner.destination.site_key)

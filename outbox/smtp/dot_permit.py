"""The permission to send the final dot, requested from `before_dot` while the body is sent."""

import asyncio
from collections.abc import Awaitable, Callable

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.faults import FaultKind, Phase, SmtpFault

BeforeDot = Callable[[], Awaitable[bool]]
LeaseHeld = Callable[[], bool]  # checked last: is an earlier permission still valid?


class PermitRequest:
    """One call of `before_dot`, started at most once and never left running."""

    def __init__(self, before_dot: BeforeDot, lease_held: LeaseHeld) -> None:
        self._before_dot = before_dot
        self._lease_held = lease_held
        self._task: asyncio.Future[bool] | None = None

    @property
    def is_decided(self) -> bool:
        return self._task is not None and self._task.done()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._before_dot())

    async def obtain(self) -> None:
        """Wait for the permission. Raises SmtpFault when it is denied or cannot be decided."""
        self.start()
        assert self._task is not None
        cause: Exception | None = None
        try:
            if await self._task and self._lease_held():
                return
        except Exception as error:  # noqa: BLE001 - without a decision, the dot must not be sent
            cause = error
        raise SmtpFault(Phase.BODY, FaultKind.ABANDONED, Reason(ReasonCode.WITHDRAWN)) from cause

    async def finish(self) -> None:
        """Wait for the end of a call whose result is not needed any more."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        if self._task is not None and not self._task.cancelled():
            self._task.exception()  # retrieved, so that asyncio does not report it

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

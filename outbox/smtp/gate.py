"""The moment before the dot: `before_dot` runs beside the body and decides whether it may leave."""

import asyncio
from collections.abc import Awaitable, Callable

from outbox.smtp.faults import FaultKind, Phase, SmtpFault

BeforeDot = Callable[[], Awaitable[bool]]
Still = Callable[[], bool]  # asked at the last moment: does an earlier yes hold?


class Gate:
    """Holds one call of `before_dot`, started at most once and never left running."""

    def __init__(self, before_dot: BeforeDot, still: Still) -> None:
        self._before_dot = before_dot
        self._still = still
        self._task: asyncio.Future[bool] | None = None

    @property
    def is_decided(self) -> bool:
        return self._task is not None and self._task.done()

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._before_dot())

    async def consent(self) -> None:
        """Wait for the answer. Raises SmtpFault when it is no, or none can be given."""
        self.start()
        assert self._task is not None
        cause: Exception | None = None
        try:
            if await self._task and self._still():
                return
        except Exception as error:  # noqa: BLE001 - whatever it is, the dot must not leave
            cause = error
        detail = "the mail was withdrawn before its end was sent"
        raise SmtpFault(Phase.BODY, FaultKind.ABANDONED, detail) from cause

    async def settle(self) -> None:
        """See the call to its end where nobody waited for it; its answer no longer matters."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        if self._task is not None and not self._task.cancelled():
            self._task.exception()  # seen, so that asyncio does not report it as lost

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

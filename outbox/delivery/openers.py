"""How a runner opens sessions, and which jobs a session may serve: by the account's server."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from outbox import smtp
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job
from outbox.delivery.server_memory import ServerMemory
from outbox.delivery.session import DeliverySession
from outbox.exceptions import OutboxError
from outbox.models import Destination, SmtpSession


@dataclass(frozen=True, slots=True)
class Target:
    """The servers of a job. A session serves the jobs whose target has the session's key."""

    key: Hashable = ()


class TargetRefusedError(OutboxError):
    """No server fulfills what the domain or the message requires; others may be sent there."""

    def __init__(
        self,
        fault: smtp.SmtpFault,
        row: SmtpSession,
        *,
        is_permanent: bool,
        is_remembered: bool = False,
    ) -> None:
        super().__init__(str(fault.reason))
        self.fault = fault
        self.row = row  # of the session that could not be opened; it is recorded already
        self.is_permanent = is_permanent
        self.is_remembered = is_remembered  # from a moment ago: no server was contacted


class SessionOpener(Protocol):
    """How the account's route changes what a runner does."""

    has_login: bool

    async def target_of(self, job: Job, destination: Destination) -> Target | None:
        """Return the servers of a job; None if the job does not belong here.

        Then it was recorded or returned.

        Raises what the database raises.
        """

    def prefers(self, session: DeliverySession, job: Job) -> bool:
        """Return whether a session probably serves a job, without any lookup."""

    async def open(
        self, target: Target, destination: Destination, memory: ServerMemory
    ) -> DeliverySession:
        """Open a session for a target. Raise SmtpFault or TargetRefusedError."""


class SmarthostOpener:
    """Opens sessions with the account's own server, which gets every message."""

    has_login = True
    _TARGET = Target()

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context

    async def target_of(self, _job: Job, _destination: Destination) -> Target:
        """Return the only target there is."""
        return self._TARGET

    def prefers(self, _session: DeliverySession, _job: Job) -> bool:
        """Return True: any session serves any job."""
        return True

    async def open(
        self, _target: Target, destination: Destination, memory: ServerMemory
    ) -> DeliverySession:
        """Connect and log in. Raise SmtpFault."""
        return await DeliverySession.open(destination, memory, self._context)

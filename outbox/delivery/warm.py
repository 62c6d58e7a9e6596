"""A warm session: an open connection, its row, and how long it is good for another mail."""

import asyncio
import time
from typing import Self

from django.core.exceptions import ImproperlyConfigured

from outbox import smtp
from outbox.conf import Conf
from outbox.delivery import converse
from outbox.delivery.equipment import Equipment
from outbox.delivery.recorder import Recorder
from outbox.delivery.unit import Closed, Opened
from outbox.models import Destination, Session
from outbox.models.secrets import SecretUnreadableError

_AT_ONCE = 0.2  # seconds between two mails that are no waiting


class Warm:
    """An open session, its row, and the settings it was opened with."""

    __slots__ = ("_identity", "row", "session")

    def __init__(self, session: smtp.Session, row: Session, destination: Destination) -> None:
        self.session = session
        self.row = row
        self._identity = _identity(destination)

    @classmethod
    async def open(cls, destination: Destination, equipment: Equipment) -> Self:
        """Connect. Raises SmtpFault, also for what an account's own settings are wrong for."""
        try:
            server = converse.server_for(destination.account)
        except (SecretUnreadableError, ImproperlyConfigured) as error:
            kind = smtp.FaultKind.AUTH_UNAVAILABLE
            raise smtp.SmtpFault(smtp.Phase.AUTH, kind, str(error)) from error
        session = await smtp.Session.open(server)
        row = converse.session_row(
            destination, equipment.lease.worker_id, session.facts, session.transcript
        )
        equipment.recorder.put(Opened(session=row))
        return cls(session, row, destination)

    async def is_good(self, conf: Conf, destination: Destination) -> bool:
        """While it waited the server may have left it and the account may have changed."""
        if self.is_spent(conf, destination):
            return False
        if time.monotonic() - self.session.last_used_at < _AT_ONCE:
            return self.session.usable
        return await self.session.check_idle()

    def is_spent(self, conf: Conf, destination: Destination) -> bool:
        """Tell whether it reached its limits, or is one of an account that was edited since."""
        return (
            self.session.messages >= conf.session_max_messages
            or time.monotonic() - self.session.opened_at > conf.session_max_age
            or self._identity != _identity(destination)
        )

    async def part(self, recorder: Recorder) -> None:
        """Take leave of the server, once what was carried is written."""
        try:
            # A worker that is killed leaves no more uncertain than it had connections.
            await recorder.caught_up()
            await self.session.quit()
        except asyncio.CancelledError:
            self.session.abort()  # the engine ends and has no time left for a farewell
            raise
        finally:
            closing = self.session.transcript.close
            text = converse.transcript_json(closing) if closing else ""
            recorder.put(Closed(session=self.row, closing=text))


def _identity(destination: Destination) -> tuple[object, ...]:
    account = destination.account
    return (
        account.host,
        account.port,
        account.security,
        account.username,
        account.secret_encrypted,
        account.secret_is_token,
    )

"""A warm session: an open connection, its row, and how long it is good for another mail."""

import time

from outbox import smtp
from outbox.conf import Conf
from outbox.models import Destination, Session

_AT_ONCE = 0.2  # seconds between two mails that are no waiting


class Warm:
    """An open session, its row, and the settings it was opened with."""

    __slots__ = ("_identity", "row", "session")

    def __init__(self, session: smtp.Session, row: Session, destination: Destination) -> None:
        self.session = session
        self.row = row
        self._identity = _identity(destination)

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

"""Test the connection to a mailbox: log in, list the messages, and change nothing."""

from __future__ import annotations

from outbox.conf import get_conf
from outbox.delivery.probe import SECONDS, ProbeReport, ProbeStep, unreadable_secret
from outbox.inbound.mail_server import (
    LoginRefusedError,
    LoginUnclearError,
    MailServerError,
    Timeouts,
    open_mail_server,
)
from outbox.inbound.server_login import login_for
from outbox.models import ConnectionTest
from outbox.models.secrets import SecretUnreadableError

_TIMEOUTS = Timeouts(
    connect=SECONDS, tls=SECONDS, line=SECONDS, response=SECONDS, session=SECONDS, quit=SECONDS
)


def probe_mailbox(test: ConnectionTest) -> ProbeReport:
    """Test a mailbox that a user has described. Nothing that a server does raises an error.

    The session is abandoned, since Gmail may mark messages as fetched at QUIT.
    """
    using = test._state.db or get_conf().database
    try:
        mailbox, secret = test.as_mailbox()
    except SecretUnreadableError:
        return unreadable_secret()
    try:
        server = open_mail_server(login_for(mailbox, using, secret=secret), timeouts=_TIMEOUTS)
        try:
            count = len(server.messages())
        finally:
            server.abandon()
    except MailServerError as error:
        is_login = isinstance(error, LoginRefusedError | LoginUnclearError)
        step = ProbeStep(
            "auth" if is_login else "connect", ok=False, text="", ms=None, reason=error.reason
        )
        return ProbeReport(ok=False, steps=[step], reason=error.reason)
    return ProbeReport(
        ok=True, steps=[], greeting=server.facts.software, extensions={"messages": str(count)}
    )

"""Make the connection tests that users requested, each in a thread of a worker.

A test waits for a foreign server, which must not keep a thread of the web server.
"""

import datetime as dt
import logging
import threading

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery.probe import (
    SECONDS,
    ProbeReport,
    login_failed,
    probe,
    unreadable_secret,
)
from outbox.delivery.tokens import WAIT_MAX, wait_for_access
from outbox.models import Account, ConnectionTest
from outbox.models.account import SERVER_FIELDS
from outbox.models.secrets import SecretUnreadableError
from outbox.smtp import SmtpFault

logger = logging.getLogger(__name__)
AT_ONCE = 8  # tests in one process
WAITS_FOR = dt.timedelta(minutes=1)  # a request that is older has no reader any more
LOST_AFTER = dt.timedelta(seconds=SECONDS + WAIT_MAX + 10)  # the process of the test has ended
_slots = threading.BoundedSemaphore(AT_ONCE)


def run_in_background(using: str) -> None:
    """Start a thread for each test that waits, as far as this process may have more."""
    _forget_abandoned(using)
    while _slots.acquire(blocking=False):
        claimed = _claim(using)
        if claimed is None:
            _slots.release()
            return
        name = f"outbox-connection-test-{claimed.pk}"
        threading.Thread(target=_run, args=[claimed, using], name=name, daemon=True).start()


def _forget_abandoned(using: str) -> None:
    """Erase the passwords of requests that no worker has served in time."""
    late = database_now(using) - WAITS_FOR - LOST_AFTER
    abandoned = ConnectionTest.objects.using(using).filter(requested_at__lte=late)
    abandoned.exclude(secret_encrypted="").update(secret_encrypted="")


def run_due(using: str) -> int:
    """Make the tests that wait, one after the other; return how many there were."""
    count = 0
    while claimed := _claim(using):
        _make(claimed, using)
        count += 1
    return count


def _run(test: ConnectionTest, using: str) -> None:
    try:
        _make(test, using)
    except DATABASE_UNAVAILABLE as error:
        logger.warning("The result of a connection test was not stored: %s", error)
    except Exception:
        logger.exception("A connection test failed.")
    finally:
        try:
            connections.close_all()
        finally:
            _slots.release()


def _claim(using: str) -> ConnectionTest | None:
    with transaction.atomic(using=using):
        now = database_now(using)
        waiting = ConnectionTest.objects.using(using).filter(
            started_at=None, finished_at=None, requested_at__gt=now - WAITS_FOR
        )
        locked = waiting.order_by("requested_at").select_for_update(skip_locked=True)
        test = locked.first()
        if test is not None:
            test.started_at = now
            test.save(using=using, update_fields=["started_at"])
        return test


def _make(test: ConnectionTest, using: str) -> None:
    report = _report(test)
    # The user may have requested another test in the meantime.
    same = ConnectionTest.objects.using(using).filter(pk=test.pk, token=test.token)
    same.update(finished_at=database_now(using), report=report.dump(), secret_encrypted="")


def _report(test: ConnectionTest) -> ProbeReport:
    if test.is_of_mailbox:
        from outbox.inbound.probe import probe_mailbox  # rarely needed

        return probe_mailbox(test)
    try:
        account, secret = test.as_account()
        if not secret and account.secret_is_token:
            secret = _stored_token(test, account)
    except (SecretUnreadableError, ImproperlyConfigured):
        return unreadable_secret()
    except SmtpFault as fault:
        return login_failed(fault.reason)
    return probe(account, secret=secret)


def _stored_token(test: ConnectionTest, tested: Account) -> str:
    """Return the token of the stored account, but only for the server that it belongs to.

    Raise SmtpFault.
    """
    using = test._state.db or get_conf().database
    stored = Account.objects.using(using).filter(pk=test.account_id or 0).first()
    if stored is None or any(
        getattr(stored, name) != getattr(tested, name) for name in SERVER_FIELDS
    ):
        return ""
    return wait_for_access(stored, using).token

"""Requests for a connection test. A worker makes it; one user has one test at a time."""

import datetime as dt
from collections.abc import Callable

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare

from outbox import wakeup
from outbox.api import audit
from outbox.api.mailboxes import SERVER_FIELDS, changed_server_fields, mailbox_of
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.delivery.connection_tests import LOST_AFTER, WAITS_FOR
from outbox.delivery.probe import ProbeReport, unreadable_secret
from outbox.models import Account, AuditAction, ConnectionTest, Mailbox, Worker
from outbox.models.connection_test import new_token
from outbox.models.secrets import SecretUnreadableError

NOT_STARTED_AFTER = dt.timedelta(seconds=8)  # a worker usually starts it within a second
_TASK = "outbox.test_connections"


class TestRunningError(Exception):
    """The user's last test has not ended yet."""

    __test__ = False  # for pytest


def request_test(
    user: AbstractBaseUser, account: Account, secret: str | None, *, fingerprint: str
) -> ConnectionTest:
    """Request a test of an account, saved or not. Raise TestRunningError.

    `secret` replaces the stored password. If that cannot be read, the test has already failed.
    """

    def describe(test: ConnectionTest) -> None:
        test.account_id = account.pk
        test.fingerprint = fingerprint
        test.describe(account, "")  # in case the password cannot be read
        test.describe(account, account.secret if secret is None else secret)

    target = account if account.pk else account.host
    return _request(user, describe, target=target, host=account.host, port=account.port)


def request_mailbox_test(
    user: AbstractBaseUser, mailbox: Mailbox, secret: str | None
) -> ConnectionTest:
    """Request a test of the mailbox of a stored account. Raise TestRunningError.

    `secret` replaces the stored password, which is used for its own server only.
    """

    def describe(test: ConnectionTest) -> None:
        test.account_id = mailbox.account_id
        test.fingerprint = ""
        test.describe_mailbox(mailbox, secret or "")
        if secret is None and not is_void:
            test.describe_mailbox(mailbox, mailbox.secret)

    values = {name: getattr(mailbox, name) for name in SERVER_FIELDS}
    is_void = bool(changed_server_fields(mailbox_of(mailbox.account), values))
    target = mailbox.account
    return _request(user, describe, target=target, host=mailbox.host, port=mailbox.port)


def _request(
    user: AbstractBaseUser,
    describe: Callable[[ConnectionTest], None],
    *,
    target: Account | str,
    host: str,
    port: int,
) -> ConnectionTest:
    using = get_conf().database
    tests = ConnectionTest.objects.using(using)
    with transaction.atomic(using=using):
        now = database_now(using)
        test = tests.select_for_update().filter(pk=user.pk).first()
        if test is not None and not _is_over(test, now):
            raise TestRunningError
        is_first = test is None
        test = test or ConnectionTest(user_id=user.pk)
        test.token = new_token()
        test.requested_at, test.started_at, test.finished_at, test.report = now, None, None, None
        try:
            describe(test)
        except (SecretUnreadableError, ImproperlyConfigured):
            test.secret_encrypted = ""
            test.finished_at, test.report = now, unreadable_secret().dump()
        try:
            with transaction.atomic(using=using):
                test.save(using=using, force_insert=is_first)
        except IntegrityError:  # another first request was committed in the meantime
            raise TestRunningError from None
        audit.record(AuditAction.CONNECTION_TESTED, actor=user, target=target, host=host, port=port)
        if test.finished_at is None:
            wakeup.request_task(_TASK, using)  # if it is lost, the sweep finds the test
    return test


def find_test(user: AbstractBaseUser, token: str) -> ConnectionTest | None:
    """Return the user's test with this token."""
    using = get_conf().database
    test = ConnectionTest.objects.using(using).filter(pk=user.pk).first()
    # Compared here, since PostgreSQL raises an error for a text that it cannot store.
    return test if test is not None and constant_time_compare(test.token, token) else None


def report_of(test: ConnectionTest) -> ProbeReport | None:
    """Return the result; None while there is none."""
    return ProbeReport.load(test.report) if test.report is not None else None


def why_waiting(test: ConnectionTest) -> str:
    """Return why a test has no result: "" (it runs), "no worker", "not started" or "lost"."""
    using = get_conf().database
    now = database_now(using)
    if test.started_at is not None:
        return "lost" if test.started_at < now - LOST_AFTER else ""
    workers = Worker.objects.using(using).filter(ended_at=None, lease_until__gt=now)
    if not workers.exists():
        return "no worker"
    return "not started" if test.requested_at < now - NOT_STARTED_AFTER else ""


def _is_over(test: ConnectionTest, now: dt.datetime) -> bool:
    if test.finished_at is not None:
        return True
    if test.started_at is not None:
        return test.started_at < now - LOST_AFTER
    return test.requested_at < now - WAITS_FOR

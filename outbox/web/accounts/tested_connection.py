"""Whether an account's connection was tested with its present settings.

A test may come before the account is saved, so the browser's session keeps a fingerprint of the
settings of the last successful test. The fingerprint does not reveal the password.
"""

import json

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac

from outbox.db import clock
from outbox.models import Account, ConnectionTest
from outbox.models.connection_test import TESTED_FIELDS
from outbox.models.secrets import SecretUnreadableError

_SESSION_KEY = "outbox_tested_connection"


def fingerprint(account: Account, secret: str | None = None) -> str:
    """Return a digest of the account's server and login; empty when the password is unreadable."""
    try:
        plain = account.secret if secret is None else secret
    except SecretUnreadableError:
        return ""
    settings = [*(getattr(account, name) for name in TESTED_FIELDS), plain]
    return salted_hmac(
        "outbox.accounts.tested", json.dumps(settings), algorithm="sha256"
    ).hexdigest()


def record_success(request: HttpRequest, test: ConnectionTest) -> None:
    """Record a successful test; its settings need not be stored."""
    tested = test.fingerprint
    request.session[_SESSION_KEY] = tested
    stored = test.account
    if stored is not None and tested and constant_time_compare(fingerprint(stored), tested):
        Account.objects.filter(pk=stored.pk).update(tested_at=clock.now())


def update_tested_at(request: HttpRequest, account: Account, *, before: str) -> None:
    """Set or clear `tested_at` of an account about to be saved; `before` is its old fingerprint."""
    now = fingerprint(account)
    if now and now == request.session.get(_SESSION_KEY):
        account.tested_at = clock.now()
    elif now != before:
        account.tested_at = None

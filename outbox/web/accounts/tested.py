"""Whether an account's connection was tested with what is stored of it now.

A test may come before the account is saved, so the browser's session keeps a fingerprint of what
the last passed test reached; it tells nothing about the password to who reads the session.
"""

import json

from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from outbox.models import Account
from outbox.models.secrets import SecretUnreadableError

_SESSION_KEY = "outbox_tested_connection"


def fingerprint(account: Account, secret: str | None = None) -> str:
    """Name the server and login of an account; empty when its password cannot be read."""
    try:
        plain = account.secret if secret is None else secret
    except SecretUnreadableError:
        return ""
    reached = (
        account.host,
        account.port,
        account.security,
        account.username,
        account.secret_is_token,
        plain,
    )
    return salted_hmac(
        "outbox.accounts.tested", json.dumps(reached), algorithm="sha256"
    ).hexdigest()


def note_passed(request: HttpRequest, account: Account, secret: str | None) -> None:
    """Remember that a test passed; `account` may differ from what is stored of it."""
    passed = fingerprint(account, secret)
    request.session[_SESSION_KEY] = passed
    stored = Account.objects.filter(pk=account.pk).first()
    if stored is not None and passed and constant_time_compare(fingerprint(stored), passed):
        Account.objects.filter(pk=account.pk).update(tested_at=timezone.now())


def judge_saved(request: HttpRequest, account: Account, *, before: str) -> None:
    """Set what is known of an account about to be saved, whose fingerprint was `before`."""
    now = fingerprint(account)
    if now and now == request.session.get(_SESSION_KEY):
        account.tested_at = timezone.now()
    elif now != before:
        account.tested_at = None

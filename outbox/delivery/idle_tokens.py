"""Renew the tokens of accounts that are not used, in a thread: a token service may be slow."""

import datetime as dt
import logging

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q, QuerySet

from outbox.db.background import BackgroundWork
from outbox.db.clock import database_now
from outbox.delivery.tokens import RefreshWaits, access_for
from outbox.models import OAuthToken
from outbox.models.secrets import SecretUnreadableError
from outbox.smtp import SmtpFault

logger = logging.getLogger(__name__)
IDLE = dt.timedelta(days=7)
_last_tried: dict[str, int] = {}  # by database: a row that always fails must not delay the others
_background = BackgroundWork("outbox-idle-tokens", "Renewal of idle tokens", is_daemon=False)


def renew_in_background(using: str) -> None:
    """Renew idle tokens in a new thread, unless this process has one.

    The process waits for the thread at its end: a rotated refresh token has to be stored.
    """
    _background.start(lambda: renew_idle(using), if_due=_idle(using).exists)


def _idle(using: str) -> QuerySet[OAuthToken]:
    now = database_now(using)
    return OAuthToken.objects.using(using).filter(
        Q(retry_at=None) | Q(retry_at__lte=now),
        is_rejected=False,
        refreshed_at__lte=now - IDLE,
        expires_at__lte=now,  # a valid token would be returned without a request
        account__is_active=True,
    )


def renew_idle(using: str) -> int:
    """Renew the tokens of one account that was not used for days; return how many were renewed.

    A refresh token that is not used expires, at Microsoft after 90 days. And an owner learns of a
    revocation before the next message waits for it.
    """
    rows = _idle(using).select_related("account").order_by("pk")
    row = rows.filter(pk__gt=_last_tried.get(using, 0)).first() or rows.first()
    if row is None:
        return 0
    _last_tried[using] = row.pk
    try:
        access_for(row.account, using)
    except (RefreshWaits, SmtpFault, SecretUnreadableError, ImproperlyConfigured):
        return 0  # it is recorded, or another process renews it
    return 1

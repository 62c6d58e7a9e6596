"""Send the webhook calls that are due, and repeat those that were not accepted.

A call is accepted when the response is 2xx. Nothing else in the response is read. When a receiver
does not respond, all calls that are due to it wait as if they had been tried. After a slow
response, the calls that are due to other receivers come first. So one receiver delays the calls to
others by one call at a time. A thread of its own makes the calls, so they delay neither delivery
nor a Celery task.
"""

import datetime as dt
import logging
import time

from django.db import transaction
from django.db.models import Case, When

from outbox.backoff import Backoff
from outbox.conf import get_conf
from outbox.db import clock
from outbox.db.background import BackgroundWork
from outbox.db.clock import database_now
from outbox.models import WebhookCall
from outbox.models.secrets import SecretUnreadableError
from outbox.reasons import Reason, ReasonCode

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 12  # over 27 hours
ROUND_FOR = 60.0  # seconds after which a round begins no further call
SLOW = 1.0  # seconds for a call after which other receivers come first
_CLAIM_SIZE = 50
_DELETED_AT_ONCE = 400  # calls per sweep, which deletes millions per day
_LEASE = dt.timedelta(minutes=5)  # longer than a round can take
BACKOFF = Backoff(first=10, factor=3, longest=6 * 3600)
_background = BackgroundWork("outbox-webhooks", "Delivery of webhook calls")
slow_webhooks: set[int] = set()  # ids; the last call by this process was slow


def call_in_background(using: str) -> None:
    """Send every due call from a thread, unless this process has such a thread already."""
    _background.start(lambda: call_all_due(using), if_due=lambda: is_due(using))


def is_due(using: str) -> bool:
    """Return whether any call is due."""
    now = database_now(using)
    return WebhookCall.objects.using(using).filter(next_attempt_at__lte=now).exists()


def call_all_due(using: str) -> None:
    """Send calls until none is due."""
    while call_due(using):
        pass


def call_due(using: str | None = None) -> int:
    """Send the calls that are due, up to a limit, and return how many were sent."""
    using = using or get_conf().database
    calls = _claim(using)
    over_at = time.monotonic() + ROUND_FOR
    made = 0
    while calls and time.monotonic() < over_at:
        call = calls.pop(0)
        made += 1
        began_at = time.monotonic()
        if not _make(call, using):
            calls = _skip_receiver(call, calls, using)
        if time.monotonic() - began_at > SLOW:
            slow_webhooks.add(call.webhook_id)
            break  # calls to others may have become due
        slow_webhooks.discard(call.webhook_id)
    if calls:
        _release(calls, using)
    return made


def delete_old(using: str) -> int:
    """Delete finished calls after their retention time, up to a limit.

    A call that was requested again in the meantime is not finished and stays.
    """
    retention = dt.timedelta(seconds=get_conf().webhook_call_retention)
    finished = WebhookCall.objects.using(using).filter(next_attempt_at=None)
    old = finished.filter(created_at__lte=clock.now() - retention).order_by("created_at")
    ids = list(old.values_list("pk", flat=True)[:_DELETED_AT_ONCE])
    if not ids:
        return 0
    deleted, _ = finished.filter(pk__in=ids).delete()
    return deleted


def _claim(using: str) -> list[WebhookCall]:
    """Claim due calls, those to slow receivers last.

    If this process dies, another one claims them after the lease.
    """
    order = [Case(When(webhook__in=slow_webhooks, then=1), default=0)] if slow_webhooks else []
    with transaction.atomic(using=using):
        now = database_now(using)
        due = WebhookCall.objects.using(using).filter(next_attempt_at__lte=now)
        locked = due.order_by(*order, "next_attempt_at", "pk").select_for_update(skip_locked=True)
        ids = list(locked.values_list("pk", flat=True)[:_CLAIM_SIZE])
        claimed = WebhookCall.objects.using(using).filter(pk__in=ids)
        claimed.update(next_attempt_at=now + _LEASE)
    return list(claimed.select_related("webhook").order_by(*order, "pk"))


def _release(calls: list[WebhookCall], using: str) -> None:
    claimed = WebhookCall.objects.using(using).filter(pk__in=[call.pk for call in calls])
    claimed.update(next_attempt_at=database_now(using))


def _make(call: WebhookCall, using: str) -> bool:
    """Send a call and record the result. Return whether there was a response."""
    from outbox.webhooks.request import FAILURES, failure, post  # HTTP and TLS are rarely needed

    try:
        code, result = post(call)
    except SecretUnreadableError:
        code, result = None, Reason(ReasonCode.SECRET_UNREADABLE)
    except FAILURES as error:
        code, result = None, failure(error)
    now = database_now(using)
    is_accepted = code is not None and 200 <= code < 300  # noqa: PLR2004  # what HTTP calls success
    call.attempts += 1
    call.result = result
    WebhookCall.objects.using(using).filter(pk=call.pk).update(
        attempts=call.attempts,
        reply_code=code,
        result=result,
        taken_at=now if is_accepted else None,
        next_attempt_at=None if is_accepted else _next_attempt(call.attempts, now),
    )
    if not is_accepted and call.attempts >= MAX_ATTEMPTS:
        logger.warning("%s failed %d times and is not repeated: %s", call, call.attempts, result)
    return code is not None


def _skip_receiver(silent: WebhookCall, calls: list[WebhookCall], using: str) -> list[WebhookCall]:
    """Count all calls due to a silent receiver as tried. Return the claimed calls to others."""
    others = [call for call in calls if call.webhook_id != silent.webhook_id]
    _release([call for call in calls if call.webhook_id == silent.webhook_id], using)
    now = database_now(using)
    due = WebhookCall.objects.using(using).filter(
        webhook=silent.webhook_id, next_attempt_at__lte=now
    )
    for attempts in reversed(range(MAX_ATTEMPTS)):  # in this order, none is counted twice
        due.filter(attempts=attempts).update(
            attempts=attempts + 1,
            reply_code=None,
            result=Reason(ReasonCode.WEBHOOK_SKIPPED, why=silent.result),
            next_attempt_at=_next_attempt(attempts + 1, now),
        )
    return others


def _next_attempt(attempts: int, now: dt.datetime) -> dt.datetime | None:
    if attempts >= MAX_ATTEMPTS:
        return None
    return now + dt.timedelta(seconds=BACKOFF.wait(attempts))

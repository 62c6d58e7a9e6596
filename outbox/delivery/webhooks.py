"""Webhooks: make the calls that are due, signed, and again later where they were not taken.

A call is taken when the answer is 2xx; nothing else in it is read. The signature is that of
Standard Webhooks. A receiver that does not answer is not asked again for each call that is due to
it: they all wait as if it had been. So it delays other calls a little, and mail not at all, for a
thread of its own makes them, and no task of Celery's waits for a receiver.
"""

import base64
import datetime as dt
import hashlib
import hmac
import http.client
import logging
import threading
import time

from django.db import connections, transaction

from outbox.conf import get_conf
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.unit import clean
from outbox.models import WebhookCall
from outbox.models.clock import database_now
from outbox.models.secrets import SecretUnreadableError
from outbox.net import is_public, request

logger = logging.getLogger(__name__)
DEADLINE = 20.0  # seconds for one call, from the first connection to the end of the response
ATTEMPTS_MAX = 12  # over 27 hours
ROUND_FOR = 60.0  # seconds after which a round begins no further call
_AT_ONCE = 50
_FORGOTTEN_AT_ONCE = 400  # calls a sweep, which deletes millions a day
_LEASE = dt.timedelta(minutes=5)  # longer than a round can take
_DETAIL_MAX = 500  # characters of an answer: who wrote it may be anybody
_FIRST, _FACTOR, _LONGEST = 10.0, 3.0, 6 * 3600.0
_at_it = threading.Lock()  # held by this process's thread, while there are calls to be made


def call_beside(using: str) -> None:
    """Make every call that is due in a thread of its own, unless this process is at it already."""
    if is_due(using) and _at_it.acquire(blocking=False):
        threading.Thread(target=_call, args=[using], name="outbox-webhooks", daemon=True).start()


def _call(using: str) -> None:
    try:
        call_all_due(using)
    except DATABASE_AWAY as error:
        logger.warning("Webhooks have to wait for the database: %s", error)
    except Exception:
        logger.exception("A round of webhook calls failed; the next sweep begins another.")
    finally:
        connections.close_all()
        _at_it.release()


def is_due(using: str) -> bool:
    """Tell whether any call waits to be made."""
    now = database_now(using)
    return WebhookCall.objects.using(using).filter(next_attempt_at__lte=now).exists()


def call_all_due(using: str) -> None:
    """Make calls until none is due."""
    while call_due(using):
        pass


def call_due(using: str | None = None) -> int:
    """Make the calls that are due, a bounded number; return how many were made."""
    using = using or get_conf().database
    calls = _claim(using)
    over_at = time.monotonic() + ROUND_FOR
    made = 0
    while calls and time.monotonic() < over_at:
        call = calls.pop(0)
        made += 1
        if not _make(call, using):
            calls = _pass_over(call, calls, using)
    _give_back(calls, using)
    return made


def forget_old(using: str) -> int:
    """Delete calls that are over and older than their lifetime, a bounded number of them.

    One that is made again meanwhile is not over, and stays.
    """
    lifetime = dt.timedelta(seconds=get_conf().webhook_call_lifetime)
    is_over = WebhookCall.objects.using(using).filter(next_attempt_at=None)
    old = is_over.filter(created_at__lte=database_now(using) - lifetime).order_by("created_at")
    ids = list(old.values_list("pk", flat=True)[:_FORGOTTEN_AT_ONCE])
    deleted, _ = is_over.filter(pk__in=ids).delete()
    return deleted


def _claim(using: str) -> list[WebhookCall]:
    """Take what is due; whoever dies with it leaves it to the next, after the lease."""
    with transaction.atomic(using=using):
        now = database_now(using)
        due = WebhookCall.objects.using(using).filter(next_attempt_at__lte=now)
        locked = due.order_by("next_attempt_at", "pk").select_for_update(skip_locked=True)
        ids = list(locked.values_list("pk", flat=True)[:_AT_ONCE])
        mine = WebhookCall.objects.using(using).filter(pk__in=ids)
        mine.update(next_attempt_at=now + _LEASE)
    return list(mine.select_related("webhook").order_by("pk"))


def _give_back(calls: list[WebhookCall], using: str) -> None:
    mine = WebhookCall.objects.using(using).filter(pk__in=[call.pk for call in calls])
    mine.update(next_attempt_at=database_now(using))


def _make(call: WebhookCall, using: str) -> bool:
    """Make a call and write down what came of it; False: no answer came."""
    try:
        code, detail = _post(call)
    except (OSError, http.client.HTTPException, SecretUnreadableError, ValueError) as error:
        code, detail = None, f"{type(error).__name__}: {error}"
    now = database_now(using)
    is_taken = code is not None and 200 <= code < 300  # noqa: PLR2004  # what HTTP calls success
    call.attempts += 1
    call.detail = detail = clean(detail)[:_DETAIL_MAX]
    WebhookCall.objects.using(using).filter(pk=call.pk).update(
        attempts=call.attempts,
        reply_code=code,
        detail=detail,
        taken_at=now if is_taken else None,
        next_attempt_at=None if is_taken else _next_attempt(call.attempts, now),
    )
    if not is_taken and call.attempts >= ATTEMPTS_MAX:
        logger.warning("%s was given up after %d attempts: %s", call, call.attempts, detail)
    return code is not None


def _pass_over(silent: WebhookCall, calls: list[WebhookCall], using: str) -> list[WebhookCall]:
    """Count all that is due to a silent receiver as tried; return the calls to the others."""
    others = [call for call in calls if call.webhook_id != silent.webhook_id]
    _give_back([call for call in calls if call.webhook_id == silent.webhook_id], using)
    now = database_now(using)
    due = WebhookCall.objects.using(using).filter(
        webhook=silent.webhook_id, next_attempt_at__lte=now
    )
    for attempts in reversed(range(ATTEMPTS_MAX)):  # so that none is counted twice
        due.filter(attempts=attempts).update(
            attempts=attempts + 1,
            reply_code=None,
            detail=f"not tried, since another call got no answer: {silent.detail}",
            next_attempt_at=_next_attempt(attempts + 1, now),
        )
    return others


def _next_attempt(attempts: int, now: dt.datetime) -> dt.datetime | None:
    if attempts >= ATTEMPTS_MAX:
        return None
    return now + dt.timedelta(seconds=wait_after(attempts))


def wait_after(attempts: int) -> float:
    """Seconds to wait after the `attempts`-th try."""
    return min(_FIRST * _FACTOR ** (attempts - 1), _LONGEST)


def _post(call: WebhookCall) -> tuple[int, str]:
    body = call.body.encode()
    response = request(
        "POST",
        call.webhook.url,
        seconds=DEADLINE,
        is_allowed=_may_be_called,
        headers=headers_of(call, body, dt.datetime.now(dt.UTC)),
        body=body,
    )
    return response.status, f"{response.status} {response.reason}"


def _may_be_called(address: str) -> bool:
    conf = get_conf()
    return conf.allow_private_hosts or conf.webhook_private_hosts or is_public(address)


def headers_of(call: WebhookCall, body: bytes, now: dt.datetime) -> dict[str, str]:
    """Sign a call: who knows the secret can tell that it is ours, whole and fresh."""
    name, moment = f"call_{call.pk}", str(int(now.timestamp()))
    signed = f"{name}.{moment}.".encode() + body
    digest = hmac.digest(call.webhook.key, signed, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "User-Agent": "outbox",
        "webhook-id": name,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }

"""Actions of users on calls to webhooks."""

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import WebhookCall


def call_again(call: WebhookCall) -> bool:
    """Schedule a call now, with all attempts left. Return False if a worker is making it."""
    using = get_conf().database
    calls = WebhookCall.objects.using(using).filter(pk=call.pk, taken_at=None)
    return bool(calls.update(next_attempt_at=database_now(using), attempts=0))

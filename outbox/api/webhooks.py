"""What a person may do with a webhook's calls; `delivery` makes them."""

from outbox.conf import get_conf
from outbox.models import WebhookCall
from outbox.models.clock import database_now


def call_again(call: WebhookCall) -> bool:
    """Have a call made within seconds, with all its attempts before it; False: it was taken."""
    using = get_conf().database
    calls = WebhookCall.objects.using(using).filter(pk=call.pk, taken_at=None)
    return bool(calls.update(next_attempt_at=database_now(using), attempts=0))

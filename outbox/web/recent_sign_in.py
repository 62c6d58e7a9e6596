"""When the user of a session has last proved their identity, by the database's clock.

Django reads this module at start, so it imports little.
"""

from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from outbox.conf import get_conf
from outbox.db.clock import database_now

AUTHENTICATED_AT = "outbox_authenticated_at"  # in the session, in seconds


@receiver(user_logged_in, dispatch_uid="outbox.recent_sign_in")
def mark_as_recent(request: HttpRequest | None, **_: Any) -> None:
    """Record in the session that the user has just signed in or confirmed the password."""
    if request is not None and hasattr(request, "session"):
        request.session[AUTHENTICATED_AT] = _now()


def is_recent(request: HttpRequest) -> bool:
    """Return whether OUTBOX["REAUTHENTICATE_AFTER"] seconds have not passed since then."""
    period = get_conf().reauthenticate_after
    if not period:
        return True
    age: float = _now() - request.session.get(AUTHENTICATED_AT, 0)
    return 0 <= age < period


def _now() -> float:
    return database_now().timestamp()

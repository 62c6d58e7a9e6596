"""Password resets: the page stores the request, and a worker sends the email.

For an address that belongs to no user the page does the same work, so neither its text nor its
time reveals who has a user here. An address gets one email in fifteen minutes. Requests are stored
as the address was typed: if similar spellings shared a row, a request with an address that no user
has would stop those with the right one.
"""

import datetime as dt
import hashlib

from django.contrib.auth.forms import PasswordResetForm
from django.db import transaction
from django.db.models import F, Q
from django.utils import translation

from outbox.db.clock import database_now
from signin.models import ResetRequest, database

INTERVAL = dt.timedelta(minutes=15)
_KEPT_FOR = dt.timedelta(days=1)
_AT_ONCE = 100


def request_reset(address: str, *, origin: str) -> None:
    """Store the request, unless one for this address is open or was handled in the last minutes."""
    now = database_now()
    facts = {
        "address": address,
        "origin": origin,
        "language": translation.get_language() or "en",
        "requested_at": now,
    }
    rows = ResetRequest.objects.using(database())
    key = _key_of(address)
    rows.bulk_create([ResetRequest(address_key=key, **facts)], ignore_conflicts=True)
    # The time of the last email stays, so that a repeated request is recognized. An open request
    # stays as it is: its link leads to the host that the first client used.
    rows.filter(
        address_key=key, handled_at__lt=now - INTERVAL, handled_at__gte=F("requested_at")
    ).update(**facts)


def send_requested() -> int:
    """Send the emails of open requests, and return how many requests were handled."""
    is_open = Q(handled_at=None) | Q(handled_at__lt=F("requested_at"))
    keys = ResetRequest.objects.using(database()).filter(is_open).values_list("pk", flat=True)
    return sum(_handle(key, is_open) for key in keys[:_AT_ONCE])


def remove_old() -> None:
    """Delete requests that no longer limit others."""
    before = database_now() - _KEPT_FOR
    ResetRequest.objects.using(database()).filter(handled_at__lt=before).delete()


def _handle(key: int, is_open: Q) -> int:
    """Queue the email and mark the request as handled, in one database transaction.

    If the outbox has a database of its own, a crash between the two commits repeats the email.
    """
    with transaction.atomic(using=database()):
        rows = ResetRequest.objects.using(database()).select_for_update()
        found = rows.filter(is_open, pk=key).first()
        if found is None:
            return 0  # another worker was faster
        found.handled_at = database_now()
        found.save(update_fields=["handled_at"])
        form = PasswordResetForm({"email": found.address})
        if form.is_valid() and _is_first(form, found):
            scheme, _, host = found.origin.partition("://")
            with translation.override(found.language):
                form.save(domain_override=host, use_https=scheme == "https")
    return 1


def _is_first(form: PasswordResetForm, found: ResetRequest) -> bool:
    """Note the request at the users' own spelling of the address.

    Return False if one was handled for it in the last minutes.
    """
    rows = ResetRequest.objects.using(database())
    assert found.handled_at is not None
    users = form.get_users(found.address)
    own = {_key_of(getattr(user, user.get_email_field_name())) for user in users}
    others = own - {found.address_key}
    if rows.filter(address_key__in=others, handled_at__gt=found.handled_at - INTERVAL).exists():
        return False
    facts = {
        "address": found.address,
        "origin": found.origin,
        "language": found.language,
        "requested_at": found.handled_at,
        "handled_at": found.handled_at,
    }
    rows.bulk_create(
        [ResetRequest(address_key=key, **facts) for key in others],
        update_conflicts=True,
        unique_fields=["address_key"],
        update_fields=list(facts),
    )
    return True


def _key_of(address: str) -> str:
    """Return a hash of the address. Letters of ASCII are the same in both cases, as for users."""
    return hashlib.sha256(address.encode(errors="replace").lower()).hexdigest()

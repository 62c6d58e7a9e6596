"""Delete the sites of domains to which nothing was sent for long, and MX sites without any use."""

import datetime as dt

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from outbox.db.clock import database_now
from outbox.models import (
    MX_PREFIX,
    Circuit,
    Destination,
    DomainSite,
    Pause,
    Recipient,
    Slot,
    SmtpSession,
)

_KEPT_FOR = dt.timedelta(days=90)  # then a domain is looked up before its recipients have a site
_UNUSED_FOR = dt.timedelta(days=7)  # also longer than a move to a new site may take
# Recipients have no index for this question, so that one scan is made for many sites.
_ASKED_EACH = dt.timedelta(days=1)
_AT_ONCE = 500


def delete_old(using: str) -> int:
    """Delete rows that are too old, up to a limit; return how many."""
    now = database_now(using)
    rows = DomainSite.objects.using(using)
    found = rows.filter(seen_at__lt=now - _KEPT_FOR)
    old = dict(found.values_list("pk", "destination")[:_AT_ONCE])
    if not old:
        return 0
    # A message that is queued at this moment may still name the site, which is kept for as long.
    sites = Destination.objects.using(using).filter(pk__in=set(old.values()))
    sites.update(minute_started_at=now, minute_count=0)
    return rows.filter(pk__in=old).delete()[0]


def delete_unused(using: str) -> int:
    """Delete MX sites without domains and recipients, up to a limit; return how many.

    Those that old recipients still name are asked about again after a while.
    """
    now = database_now(using)
    if not _unused(now, now - _UNUSED_FOR - _ASKED_EACH, using).exists():
        return 0
    with transaction.atomic(using=using):
        # A domain that is remembered at the same time waits for the lock.
        locked = _unused(now, now - _UNUSED_FOR, using).select_for_update(skip_locked=True)
        ids = list(locked.order_by("pk").values_list("pk", flat=True)[:_AT_ONCE])
        rows = Destination.objects.using(using)
        recipients = Recipient.objects.using(using).filter(destination__in=ids).order_by()
        named = set(recipients.values_list("destination", flat=True).distinct())
        rows.filter(pk__in=named).update(minute_started_at=now, minute_count=0)
        deleted = rows.filter(_without_use(), pk__in=set(ids) - named)
        deleted_ids = list(deleted.values_list("pk", flat=True))
        sessions = SmtpSession.objects.using(using).filter(destination__in=deleted_ids)
        sessions.update(destination=None)
        # Not `delete`, which updates all recipients of the sites: there are none.
        return rows.filter(pk__in=deleted_ids)._raw_delete(using)


def _unused(now: dt.datetime, before: dt.datetime, using: str) -> QuerySet[Destination]:
    found = Destination.objects.using(using).filter(
        Q(limit_until=None) | Q(limit_until__lte=now),
        _without_use(),
        # Without messages no probe closes the circuit of a server that does not exist any more.
        Q(circuit=Circuit.CLOSED) | Q(circuit_until__lt=before),
        key__startswith=MX_PREFIX,
        minute_started_at__lt=before,
    )
    return found.filter(Q(day_started_at=None) | Q(day_started_at__lt=now - dt.timedelta(days=1)))


def _without_use() -> Q:
    own = Q(destination=OuterRef("pk"))
    return ~(
        Q(Exists(DomainSite.objects.filter(own)))
        | Q(Exists(Slot.objects.filter(own)))
        | Q(Exists(Pause.objects.filter(own)))
        | Q(Exists(Recipient.objects.filter(own, next_attempt_at__isnull=False)))
    )

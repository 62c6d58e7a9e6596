"""Delete the sites of domains to which nothing was sent for long, and MX sites without any use.

Recipients have no foreign key that would lock their site. A message that is being queued, or a
recipient that is being moved, has read the site of its domain before. So a site to which a domain
led is kept for a week from the moment at which this ends.
"""

import datetime as dt
from collections.abc import Collection

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from outbox.db import clock
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
_LOCKED_MAX = 50  # sites in one transaction


def delete_old(using: str) -> int:
    """Delete rows that are too old, up to a limit; return how many."""
    now = clock.now()
    rows = DomainSite.objects.using(using)
    found = rows.filter(seen_at__lt=now - _KEPT_FOR)
    old = dict(found.values_list("pk", "destination")[:_AT_ONCE])
    if not old:
        return 0
    keep_for_now(set(old.values()), now, using)
    return rows.filter(pk__in=old).delete()[0]


def keep_for_now(ids: Collection[int], now: dt.datetime, using: str) -> None:
    """Prevent the deletion of sites that recipients may be about to name, for a week."""
    sites = Destination.objects.using(using).filter(pk__in=ids)
    # Not those of today: a minute that has begun must not get its limit twice.
    quiet = sites.filter(Q(minute_started_at=None) | Q(minute_started_at__lt=now - _ASKED_EACH))
    with transaction.atomic(using=using):
        locked = quiet.order_by("pk").select_for_update(no_key=True)
        quiet.filter(pk__in=list(locked.values_list("pk", flat=True))).update(
            minute_started_at=now, minute_count=0
        )


def delete_unused(using: str) -> int:
    """Delete MX sites without domains and recipients, up to a limit; return how many.

    Those that old recipients still name are asked about again after a while. Nothing is locked
    while recipients are scanned, so each deletion repeats the other conditions.
    """
    now = clock.now()
    if not _unused(now, now - _UNUSED_FOR - _ASKED_EACH, using).exists():
        return 0
    unused = _unused(now, now - _UNUSED_FOR, using)
    ids = list(unused.order_by("pk").values_list("pk", flat=True)[:_AT_ONCE])
    recipients = Recipient.objects.using(using).filter(destination__in=ids).order_by()
    named = set(recipients.values_list("destination", flat=True).distinct())
    unused.filter(pk__in=named).update(minute_started_at=now, minute_count=0)
    others = sorted(set(ids) - named)
    return sum(
        _delete(unused.filter(pk__in=others[start : start + _LOCKED_MAX]), using)
        for start in range(0, len(others), _LOCKED_MAX)
    )


def _delete(unused: QuerySet[Destination], using: str) -> int:
    """Delete the sites that are still unused, in a short transaction."""
    with transaction.atomic(using=using):
        # On PostgreSQL, a domain that is being remembered locks its site at its commit only. If the
        # site is deleted before, that commit fails, and the next attempt creates the site again.
        locked = unused.select_for_update(skip_locked=True)
        ids = list(locked.order_by("pk").values_list("pk", flat=True))
        sessions = SmtpSession.objects.using(using).filter(destination__in=ids)
        sessions.update(destination=None)
        # Not `delete`, which updates all recipients of the sites: there are none.
        return unused.filter(pk__in=ids)._raw_delete(using)


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

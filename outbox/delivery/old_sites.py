"""Delete the sites of domains to which nothing was sent for long."""

import datetime as dt

from outbox.db.clock import database_now
from outbox.models import DomainSite

_KEPT_FOR = dt.timedelta(days=90)  # then a domain is looked up before its recipients have a site
_AT_ONCE = 500


def delete_old(using: str) -> int:
    """Delete rows that are too old, up to a limit; return how many."""
    cutoff = database_now(using) - _KEPT_FOR
    rows = DomainSite.objects.using(using)
    old = list(rows.filter(seen_at__lt=cutoff).values_list("pk", flat=True)[:_AT_ONCE])
    return rows.filter(pk__in=old).delete()[0] if old else 0

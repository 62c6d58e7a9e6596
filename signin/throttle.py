"""Limits on attempts, by username and by network, stored in the database.

An attempt is counted before it is judged, so that a hundred at the same time are not a hundred free
ones. A success takes it back. After some attempts each further one waits, longer each time. The
wait ends by itself: an attacker can delay the sign-in of a user, but never lock the user out.
"""

import datetime as dt
import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import ngettext

from outbox.api.audit import address_of
from outbox.backoff import Backoff
from outbox.db.clock import database_now
from outbox.net.client_address import network_of
from signin.models import AttemptCount, database

_FORGOTTEN_AFTER = dt.timedelta(days=1)
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Limit:
    """How many attempts are free, and how long the next ones wait."""

    free: int
    backoff: Backoff

    def wait(self, count: int) -> dt.timedelta | None:
        """Return the wait after this many attempts, None while they are free."""
        beyond = count - self.free
        return dt.timedelta(seconds=self.backoff.wait(beyond + 1)) if beyond >= 0 else None


# Per username few attempts suffice. A network may be an office with many users.
BY_NAME = Limit(5, Backoff(first=15, factor=2, longest=900))
BY_NETWORK = Limit(30, Backoff(first=5, factor=2, longest=300))
RESETS_BY_NETWORK = Limit(10, Backoff(first=30, factor=2, longest=900))


@dataclass(frozen=True, slots=True)
class Counted:
    """A key with the limit that applies to it."""

    key: str
    limit: Limit


def of_name(kind: str, name: str, request: HttpRequest | None) -> list[Counted]:
    """Return what is counted when a client tries to sign in as this user."""
    counted = [Counted(f"{kind}:{digest(name)}", BY_NAME)]
    return counted + of_network(kind, request, BY_NETWORK)


def of_network(kind: str, request: HttpRequest | None, limit: Limit) -> list[Counted]:
    """Return what is counted for the client's network; nothing if it is unknown."""
    network = network_of(address_of(request)) if request is not None else ""
    return [Counted(f"{kind}:{network}", limit)] if network else []


def digest(name: str) -> str:
    """Return a hash: what is typed as a name may be a password."""
    normal = unicodedata.normalize("NFKC", name).casefold().strip()
    return hashlib.sha256(normal.encode(errors="replace")).hexdigest()[:48]


def reserve(counted: Sequence[Counted]) -> float:
    """Count an attempt and return 0, or return how many seconds it has to wait."""
    limits = {one.key: one.limit for one in counted}
    using = database()
    now = database_now()
    # A network that has to wait adds no row for each name.
    blocked = _blocked(limits, now, using).order_by("-blocked_until").first()
    if blocked is not None and blocked.blocked_until is not None:
        return (blocked.blocked_until - now).total_seconds()
    fresh = [AttemptCount(key=key, last_at=now) for key in sorted(limits)]
    AttemptCount.objects.using(using).bulk_create(fresh, ignore_conflicts=True)
    with transaction.atomic(using=using):
        locked = AttemptCount.objects.using(using).select_for_update().order_by("key")
        rows = list(locked.filter(key__in=limits))
        waits = [row.blocked_until - now for row in rows if row.blocked_until]
        longest = max(waits, default=dt.timedelta())
        if longest > dt.timedelta():
            return longest.total_seconds()
        for row in rows:
            if now - row.last_at > _FORGOTTEN_AFTER:
                row.count = 0
            row.count += 1
            wait = limits[row.key].wait(row.count)
            row.last_at, row.blocked_until = now, now + wait if wait else None
            row.rejected = 0
            row.save(using=using)
    return 0


def is_recorded(counted: Sequence[Counted]) -> bool:
    """Count an attempt that has to wait. Return whether the audit log records it.

    It records the first one of a wait, the tenth, the hundredth and so on. Otherwise an anonymous
    client could fill the disk with entries.
    """
    using = database()
    waiting = _blocked([one.key for one in counted], database_now(), using)
    waiting.update(rejected=F("rejected") + 1)
    count = max(waiting.values_list("rejected", flat=True), default=1)
    return str(count).rstrip("0") == "1"


def _blocked(keys: Iterable[str], now: dt.datetime, using: str) -> QuerySet[AttemptCount]:
    return AttemptCount.objects.using(using).filter(key__in=list(keys), blocked_until__gt=now)


def succeed(counted: Sequence[Counted]) -> None:
    """Remove the attempt. The failures of a username are forgotten, those of a network not.

    Otherwise a client with a user of its own could try the passwords of others for ever.
    """
    rows = AttemptCount.objects.using(database())
    rows.filter(key__in=[one.key for one in counted if one.limit is BY_NAME]).delete()
    networks = rows.filter(key__in=[one.key for one in counted if one.limit is not BY_NAME])
    networks.filter(count__gt=0).update(count=F("count") - 1, blocked_until=None)


def remove_old() -> None:
    """Delete the counts of names and networks that count as new again."""
    before = database_now() - _FORGOTTEN_AFTER
    AttemptCount.objects.using(database()).filter(last_at__lt=before).delete()


def block(request: HttpRequest, wait: float) -> None:
    """Leave the reason on the request, for the page that shows it."""
    request.sign_in_error = in_words(wait)  # type: ignore[attr-defined]
    request.retry_after = round(wait) + 1  # type: ignore[attr-defined]


def in_words(seconds: float) -> str:
    """Return the message for an attempt that has to wait."""
    minutes = max(1, round(seconds / _MINUTE + 0.49))
    return ngettext(
        "Too many failed attempts. Try again in %(count)d minute.",
        "Too many failed attempts. Try again in %(count)d minutes.",
        minutes,
    ) % {"count": minutes}

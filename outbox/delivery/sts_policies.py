"""The MTA-STS policies in the database: they survive a restart, and all workers share them."""

import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import MtaStsPolicy
from outbox.net.mta_sts import KnownPolicy, Mode, Policy

logger = logging.getLogger(__name__)
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class StoredPolicies:
    """An archive for a `PolicyStore`; each call is one statement in the thread of the caller."""

    def __init__(self, in_thread: InThread, using: str) -> None:
        """`in_thread` runs database work, as `DeliveryContext.in_claimer` does."""
        self._in_thread = in_thread
        self._using = using

    async def load(self, domain: str) -> KnownPolicy | None:
        """Return what is stored about a domain. Raise DATABASE_UNAVAILABLE."""
        known: KnownPolicy | None = await self._in_thread(partial(read, domain, self._using))
        return known

    async def save(self, domain: str, known: KnownPolicy) -> None:
        """Store a policy. A database that is unavailable is logged: the policy is read again."""
        try:
            await self._in_thread(partial(write, domain, known, self._using))
        except DATABASE_UNAVAILABLE as error:
            logger.warning("The MTA-STS policy of %s was not stored: %s", domain, error)


def read(domain: str, using: str) -> KnownPolicy | None:
    """Return what is stored about a domain, given in A-labels in lower case."""
    row = MtaStsPolicy.objects.using(using).filter(pk=domain).first()
    if row is None or row.mode not in set(Mode):  # a mode of a newer version
        return None
    policy = Policy(Mode(row.mode), tuple(row.mx), row.max_age)
    return KnownPolicy(row.policy_id, policy, row.fetched_at.timestamp())


def write(domain: str, known: KnownPolicy, using: str) -> None:
    """Store a policy in place of the former one."""
    if known.policy is None:
        return
    fetched_at = dt.datetime.fromtimestamp(known.read_at, dt.UTC)
    row = MtaStsPolicy(
        domain=domain,
        policy_id=known.id,
        mode=known.policy.mode,
        mx=list(known.policy.mx),
        max_age=known.policy.max_age,
        fetched_at=fetched_at,
        expires_at=fetched_at + dt.timedelta(seconds=known.policy.max_age),
    )
    MtaStsPolicy.objects.using(using).bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["domain"],
        update_fields=["policy_id", "mode", "mx", "max_age", "fetched_at", "expires_at"],
    )


def delete_expired(now: dt.datetime, using: str) -> int:
    """Delete the policies that have expired; return their number."""
    return int(MtaStsPolicy.objects.using(using).filter(expires_at__lt=now)._raw_delete(using))

"""The MTA-STS policies in the database: they survive a restart, and all workers share them."""

import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from outbox.conf import Conf
from outbox.db.clock import now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery.server import address_rule
from outbox.models import MtaStsPolicy
from outbox.net.dns_lookup import Dns, LookupFailedError
from outbox.net.dns_resolver import DnsResolver
from outbox.net.mta_sts import KnownPolicy, Mode, Policy, PolicyError, fetch_policy
from outbox.net.mta_sts_store import PolicyStore
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.tls import tls_context

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


def sts_policies(resolver: DnsResolver, conf: Conf, in_thread: InThread) -> PolicyStore:
    """Return the policies of an event loop, read by the rules for hosts that others name."""
    return PolicyStore(
        resolver,
        partial(_fetch, conf=conf),
        archive=StoredPolicies(in_thread, conf.database),
        clock=lambda: now().timestamp(),
    )


def _fetch(domain: str, conf: Conf) -> Policy:
    """Read the policy of a domain; it blocks. Raise PolicyError."""
    resolve = partial(_addresses, conf=conf) if conf.dns_servers else None
    try:
        context = tls_context(conf.ca_file or None)
    except OSError as error:  # our own file is at fault; ssl.SSLError is one
        reason = Reason(ReasonCode.MTA_STS_UNREAD, domain=domain, cause=str(error))
        raise PolicyError(reason) from error
    return fetch_policy(
        domain, is_allowed=address_rule(conf, trusted=False), resolve=resolve, context=context
    )


def _addresses(host: str, conf: Conf) -> list[str]:
    try:
        return Dns(conf.dns_servers).reachable_addresses(host)
    except LookupFailedError as error:
        raise OSError(str(error)) from error


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


def delete_expired(before: dt.datetime, using: str) -> int:
    """Delete the policies that expired before a time; return their number."""
    return int(MtaStsPolicy.objects.using(using).filter(expires_at__lt=before)._raw_delete(using))

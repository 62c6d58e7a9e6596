"""What all direct deliveries of an engine share: the resolver, and what is known about servers.

The database remembers to which MX site messages for a domain went last, so that queueing needs no
lookup. A delivery looks the domain up again.
"""

import asyncio
import datetime as dt
import socket
import time
from collections.abc import Mapping
from functools import partial

from django.db import IntegrityError, transaction

from outbox.conf import Conf
from outbox.db.bulk import Among, update_rows
from outbox.db.clock import database_now
from outbox.db.columns import columns_of
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job, JobsReturned
from outbox.delivery.old_sites import keep_for_now
from outbox.delivery.server import address_rule
from outbox.delivery.sts_policies import sts_policies
from outbox.delivery.tls_policy import PolicySources
from outbox.mail.mailbox import domain_of
from outbox.models import MX_PREFIX, Account, Destination, DomainSite, Recipient
from outbox.models.transitions import CLAIM
from outbox.net.dns_resolver import DnsResolver
from outbox.net.lru import LruCache
from outbox.net.mx import Exchangers, OwnHost, find_exchangers
from outbox.net.sites import MxSite

_FAILED_FOR = 300.0  # seconds in which a host that could not be connected to is tried last
_FAILED_MAX = 10_000  # hosts
_MOVED_FOR = 600.0  # seconds in which a domain moves to no other site again
_MOVED_MAX = 10_000  # domains
_MOVED_AT_ONCE = 5_000  # recipients
_SEEN_WITHIN = dt.timedelta(days=1)  # a domain's row is not written for each lookup
_OF_MOVED = columns_of(Recipient, ("destination_id",))


class MxRouter:
    """Finds the servers of domains; used by one event loop."""

    def __init__(self, context: DeliveryContext) -> None:
        conf = context.conf
        self.context = context
        resolver = DnsResolver(conf.dns_servers, trusted=conf.trusted_dns_servers)
        self._sts = sts_policies(resolver, conf, context.in_claimer)
        self.sources = PolicySources(conf=conf, resolver=resolver, port=conf.mx_port, sts=self._sts)
        self._own_host: asyncio.Task[OwnHost] | None = None
        self._failed: LruCache[str, float] = LruCache(_FAILED_MAX)
        self._moved: LruCache[str, tuple[float, str]] = LruCache(_MOVED_MAX)  # domain → until, site

    async def finish(self, seconds: float) -> None:
        """Wait for the requests for MTA-STS policies, for a limited time."""
        await self._sts.finish(seconds)

    def close(self) -> None:
        """Cancel the requests for MTA-STS policies. The jobs that wait for one are returned."""
        self._sts.close()

    async def exchangers_of(self, domain: str) -> Exchangers:
        """Return the servers of a domain. Raise RoutingError.

        The recipient's domain chooses the addresses, so a trusted account reaches no more of them.
        """
        return await find_exchangers(
            self.sources.resolver,
            domain,
            own_host=await self._this_host(),
            is_allowed=address_rule(self.context.conf, trusted=False),
        )

    async def _this_host(self) -> OwnHost:
        """Return this host as MX records may name it. Its full name may take a lookup."""
        if self._own_host is None:
            self._own_host = asyncio.create_task(_own_host(self.context.conf))
        # A caller that is cancelled must not end it for the others.
        return await asyncio.shield(self._own_host)

    async def destinations_of(
        self, account: Account, sites: Mapping[str, MxSite], *, waiting_at: int | None = None
    ) -> dict[str, int]:
        """Remember the sites of domains; return the destination of each domain.

        Domains are missing if the account was deleted. Recipients of the domains that wait at the
        destination `waiting_at` are moved, unclaimed.
        """
        work = partial(_destinations_of, account.pk, sites, waiting_at, self.context.using)
        return await self.context.in_claimer(work)

    def move(self, job: Job, destination_id: int | None) -> None:
        """Return a job untried to the destination that its recipients belong to.

        None: its account was deleted, and they have no destination any more.
        """
        self.context.recorder.put(
            JobsReturned(
                jobs=[job],
                worker_id=self.context.lease.worker_id,
                moved_to=destination_id,
            )
        )

    def may_move(self, domain: str, site: MxSite) -> bool:
        """Return whether the recipients of a domain may be moved to a site now.

        If the lookups of a domain name other servers each time, its recipients would be moved
        without end, and each move would leave a destination.
        """
        until, key = self._moved.get(domain) or (0.0, "")
        return key == site.key or until <= time.monotonic()

    def note_move(self, domain: str, site: MxSite) -> None:
        """Remember for some minutes to which site the recipients of a domain were moved."""
        self._moved[domain] = time.monotonic() + _MOVED_FOR, site.key

    def has_failed(self, host: str) -> bool:
        """Return whether a host could not be connected to recently."""
        until = self._failed.get(host)
        return until is not None and until > time.monotonic()

    def note_failure(self, host: str) -> None:
        """Try a host after the others for a while."""
        self._failed[host] = time.monotonic() + _FAILED_FOR

    def note_success(self, host: str) -> None:
        """Try a host by its preference again."""
        self._failed.discard(host)


def _destinations_of(
    account_id: int, sites: Mapping[str, MxSite], waiting_at: int | None, using: str
) -> dict[str, int]:
    found = remember_sites(account_id, sites, using)
    if waiting_at is not None:
        move_waiting(waiting_at, found, using)
    return found


def remember_sites(account_id: int, sites: Mapping[str, MxSite], using: str) -> dict[str, int]:
    """Store the site of each domain; return the destination of each, created on first use."""
    try:
        return _remember_sites(account_id, sites, using)
    except IntegrityError:  # at the commit: the sweep has just deleted an unused destination
        return _remember_sites(account_id, sites, using)


def _remember_sites(account_id: int, sites: Mapping[str, MxSite], using: str) -> dict[str, int]:
    hosts = {f"{MX_PREFIX}{site.key}": " ".join(site.hosts) for site in sites.values()}
    with transaction.atomic(using=using):
        if not Account.objects.using(using).filter(pk=account_id).exists():
            return {}
        destinations = Destination.objects.using(using)
        rows = destinations.filter(account=account_id, key__in=hosts)
        known = dict(rows.values_list("key", "pk"))
        if missing := sorted(hosts.keys() - known.keys()):
            now = database_now(using)  # a new one is not deleted as unused
            destinations.bulk_create(
                [
                    Destination(
                        account_id=account_id,
                        key=key,
                        mx_hosts=hosts[key],
                        minute_started_at=now,
                    )
                    for key in missing
                ],
                ignore_conflicts=True,  # another worker may have created it
            )
            known = dict(rows.all().values_list("key", "pk"))
        ids = {domain: known[f"{MX_PREFIX}{site.key}"] for domain, site in sites.items()}
        _remember(account_id, ids, using)
    return ids


def _remember(account_id: int, ids: Mapping[str, int], using: str) -> None:
    now = database_now(using)
    rows = DomainSite.objects.using(using)
    since = now - _SEEN_WITHIN
    own = rows.filter(account=account_id)
    fresh = own.filter(domain__in=list(ids), seen_at__gt=since)
    unchanged = dict(fresh.values_list("domain", "destination_id"))
    changed = sorted((domain, pk) for domain, pk in ids.items() if unchanged.get(domain) != pk)
    if not changed:
        return
    domains = [domain for domain, _ in changed]
    # Locked: otherwise another worker may lead a domain to a third site between the two statements.
    former = own.filter(domain__in=domains).order_by("domain").select_for_update(no_key=True)
    read_before = set(former.values_list("destination_id", flat=True))
    # Also the new sites: a worker that inserts the same domain may lead it to another one.
    keep_for_now(read_before | {pk for _, pk in changed}, now, using)
    rows.bulk_create(
        [
            DomainSite(account_id=account_id, domain=domain, destination_id=pk, seen_at=now)
            for domain, pk in changed
        ],
        update_conflicts=True,
        unique_fields=["account", "domain"],
        update_fields=["destination", "seen_at"],
    )


def move_waiting(from_id: int, destinations: Mapping[str, int], using: str) -> int:
    """Move waiting recipients of these domains from a destination to their own; return how many.

    Only the first thousands that wait there are considered. The others are moved with the next
    domains, or after a claim.
    """
    waiting = Recipient.objects.using(using).filter(
        destination_id=from_id, next_attempt_at__isnull=False, state__in=CLAIM.sources
    )
    first = waiting.order_by().values_list("pk", "address")[:_MOVED_AT_ONCE]
    found = {pk: site for pk, address in first if (site := destinations.get(domain_of(address)))}
    if not found:
        return 0
    with transaction.atomic(using=using):
        # Others may have locked some, to hold or to claim them. Those are not waited for.
        locked = waiting.filter(Among("pk", found)).select_for_update(skip_locked=True)
        rows = [(pk, found[pk]) for pk in locked.order_by("pk").values_list("pk", flat=True)]
        return len(update_rows(using, "outbox_recipient", _OF_MOVED, rows))


async def _own_host(conf: Conf) -> OwnHost:
    names = await asyncio.to_thread(own_names, conf.ehlo_name)
    return OwnHost(names=names, addresses=frozenset(conf.sending_addresses))


def own_names(ehlo_name: str) -> frozenset[str]:
    """Return the names of this host in lower case; it may wait for DNS.

    All of them, because any may be in an MX record. Every host is called localhost.
    """
    found = {ehlo_name, socket.gethostname(), socket.getfqdn()}
    names = {one.lower().removesuffix(".") for one in found}
    return frozenset(one for one in names if one and not one.startswith("localhost"))

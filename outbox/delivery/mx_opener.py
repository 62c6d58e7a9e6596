"""Sessions with the servers of a domain: hosts by preference, each with its TLS policy.

A host that cannot be connected to, that rejects the session or fails the policy leads to the next
one (RFC 5321 5.1). Only when all of them fail it is a fault of the destination.
"""

import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace

from outbox import smtp
from outbox.delivery import transaction
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job, SessionOpened, TlsCounted
from outbox.delivery.mx_router import MxRouter
from outbox.delivery.openers import Target
from outbox.delivery.server import mx_server_for
from outbox.delivery.server_memory import ServerMemory
from outbox.delivery.session import DeliverySession, session_row
from outbox.delivery.tls_counts import count_key, refused_result, result_of
from outbox.delivery.tls_policy import HostPolicy, policy_for
from outbox.models import MX_PREFIX, Destination
from outbox.models.destination_limits import limits_of
from outbox.net.mx import Exchangers, RoutingError
from outbox.net.sites import MxSite, site_of
from outbox.reasons import Reason, ReasonCode

_HOSTS_MAX = 5  # that one attempt connects to
_SECONDS = 300.0  # in which an attempt begins with another host
_KNOWN_MAX = 5_000  # domains of one site


@dataclass(frozen=True, slots=True)
class MxTarget(Target):
    """The servers of a domain, and how they are connected to."""

    domain: str = ""
    policies: tuple[HostPolicy, ...] = ()


class MxOpener:
    """Opens sessions with the servers of one MX site; one for each runner."""

    has_login = False

    def __init__(self, router: MxRouter, context: DeliveryContext) -> None:
        self._router = router
        self._context = context
        self._known: OrderedDict[str, Hashable] = OrderedDict()  # domain → key of its target

    async def target_of(self, job: Job, destination: Destination) -> MxTarget | None:
        """Return the servers of the job's domain; None if it failed, or belongs to another site."""
        try:
            found = await self._router.exchangers_of(job.domain, destination.account)
            if not await self._belongs_to(destination, job, site_of(found)):
                return None
            target = await self._target(job, found, destination)
        except RoutingError as error:
            lease, recorder = self._context.lease, self._context.recorder
            recorder.put(transaction.unrouted(job, error, lease.now))
            return None
        self._known[job.domain] = target.key
        while len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return target

    async def _belongs_to(self, destination: Destination, job: Job, site: MxSite) -> bool:
        """Return whether a job belongs to a destination; otherwise move it to that of its site.

        Raise RoutingError if its domain has just been moved.
        """
        if f"{MX_PREFIX}{site.key}" == destination.key:
            return True
        if not self._router.may_move(job.domain, site):
            reason = Reason(ReasonCode.MX_CHANGES, domain=job.domain)
            raise RoutingError(reason, is_permanent=False)
        self._router.note_move(job.domain, site)
        moved = await self._router.destinations_of(destination.account, {job.domain: site})
        self._router.move(job, moved.get(job.domain))
        return False

    async def _target(self, job: Job, found: Exchangers, destination: Destination) -> MxTarget:
        """Return the servers with their policies. Raise RoutingError if none may be used.

        That is about the domain alone, so the circuit of its site says nothing about it.
        """
        limits = limits_of(destination, self._context.lease.now)
        assert limits.shaping is not None  # it is a site's
        policies = await policy_for(
            job.domain,
            found,
            shaping=limits.shaping,
            sources=self._router.sources,
            tls_requirement=job.tls_requirement,
        )
        target = MxTarget(_key_of(policies), found.domain, policies)
        if all(one.refused for one in policies):
            for one in policies:
                self._count(target, one, destination, refused_result(one))
            raise RoutingError(policies[0].refused, is_permanent=False)
        return target

    def prefers(self, session: DeliverySession, job: Job) -> bool:
        """Return whether the job's domain had the session's servers at the last lookup."""
        return self._known.get(job.domain) == session.target_key

    async def open(
        self, target: Target, destination: Destination, memory: ServerMemory
    ) -> DeliverySession:
        """Open a session with the first host that accepts one. Raise SmtpFault."""
        assert isinstance(target, MxTarget)
        ends_at = time.monotonic() + _SECONDS
        transcript = smtp.Transcript()
        tried: list[tuple[str, Reason]] = []
        best: smtp.SmtpFault | None = None
        hosts = sorted(target.policies, key=lambda one: self._router.has_failed(one.exchanger.host))
        for policy in hosts[:_HOSTS_MAX]:
            if best is not None and time.monotonic() > ends_at:
                break
            try:
                connection = await self._connect(policy, destination, memory, transcript)
            except smtp.SmtpFault as fault:
                if fault.kind is smtp.FaultKind.EXHAUSTED:
                    raise
                tried += _tried(fault, policy)
                self._count(target, policy, destination, _result_of(policy, fault))
                # A server's reply explains more than another host's silence.
                if best is None or fault.reply or not best.reply:
                    best = fault
                self._router.note_failure(policy.exchanger.host)
                continue
            self._router.note_success(policy.exchanger.host)
            result = result_of(policy, connection.facts)
            self._count(target, policy, destination, result)
            connection.facts.tried[:0] = tried
            return self._session(connection, target, policy, destination)
        assert best is not None  # there is at least one host
        best.transcript = transcript
        if best.facts is not None:
            best.facts.tried = tried
        raise best

    async def _connect(
        self,
        policy: HostPolicy,
        destination: Destination,
        memory: ServerMemory,
        transcript: smtp.Transcript,
    ) -> smtp.Connection:
        host = policy.exchanger.host
        transcript.note(Reason(ReasonCode.MX_HOST_TRIED, host=host))
        if policy.refused:
            transcript.note(policy.refused)
            raise smtp.SmtpFault(smtp.Phase.CONNECT, smtp.FaultKind.LOCAL, policy.refused)
        conf, lease = self._context.conf, self._context.lease
        server = mx_server_for(policy, destination.account, conf)
        place = f"{host}:{conf.mx_port}"
        return await smtp.Connection.open(
            replace(
                server,
                restrictions=lambda offered: memory.restrictions(offered, lease.now, place),
            ),
            transcript=transcript,
        )

    def _session(
        self,
        connection: smtp.Connection,
        target: MxTarget,
        policy: HostPolicy,
        destination: Destination,
    ) -> DeliverySession:
        context = self._context
        row = session_row(
            destination, context.lease, connection.facts, connection.transcript, policy.why
        )
        context.recorder.put(SessionOpened(session=row))
        limits = limits_of(destination, context.lease.now)
        return DeliverySession(
            connection,
            row,
            destination.account,
            messages_max=limits.per_connection.value,
            target_key=target.key,
        )

    def _count(
        self, target: MxTarget, policy: HostPolicy, destination: Destination, result: str | None
    ) -> None:
        """Count a session, or a trial of one, for the reports on TLS; None counts as nothing."""
        if result is None:
            return
        lease = self._context.lease
        key = count_key(target.domain, policy, result, worker_id=lease.worker_id, now=lease.now)
        self._context.recorder.put(TlsCounted(destination_id=destination.pk, keys=[key]))


def _result_of(policy: HostPolicy, fault: smtp.SmtpFault) -> str | None:
    """Return what a trial that failed counts as; None if it did not fail for its TLS."""
    if policy.refused:
        return refused_result(policy)
    return result_of(policy, fault.facts, fault) if fault.facts is not None else None


def _tried(fault: smtp.SmtpFault, policy: HostPolicy) -> list[tuple[str, Reason]]:
    """Return the addresses of a host that were tried, and why each failed."""
    tried = list(fault.facts.tried) if fault.facts else []
    if not any(reason == fault.reason for _, reason in tried):
        address = fault.facts.address if fault.facts else ""
        tried.append((address or policy.exchanger.host, fault.reason))
    return tried


def _key_of(policies: tuple[HostPolicy, ...]) -> Hashable:
    """Return what two domains share if one session may serve both: hosts and their policies."""
    return frozenset(
        (
            one.exchanger.host,
            one.exchanger.preference,
            one.security,
            one.plain_text,
            one.tls_names,
            one.tlsa,
            one.refused,
            one.is_authentic,
        )
        for one in policies
    )

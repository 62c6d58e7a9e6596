"""Sessions with the servers of a domain: hosts by preference, each with its TLS policy.

A host that cannot be connected to, that rejects the session or fails the policy leads to the next
one (RFC 5321 5.1). Only when all of them fail it is a fault of the destination. It is none if a
host failed because the domain or the message requires more than the site's TLS floor. Otherwise
one domain with a strict policy would stop the messages of all others.
"""

import random
import time
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from outbox import smtp
from outbox.delivery import transaction
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job, SessionClosed, SessionOpened, TlsCounted
from outbox.delivery.mx_router import MxRouter
from outbox.delivery.openers import Target, TargetRefusedError
from outbox.delivery.server import mx_server_for
from outbox.delivery.server_memory import ServerMemory
from outbox.delivery.session import DeliverySession, session_row, unopened_row
from outbox.delivery.tls_counts import count_key, refused_result, result_of
from outbox.delivery.tls_policy import HostPolicy, policy_for
from outbox.models import MX_PREFIX, Destination, SmtpSession
from outbox.models.destination_limits import limits_of
from outbox.net.lru import LruCache
from outbox.net.mx import Exchangers, RoutingError
from outbox.net.sites import MxSite, site_of
from outbox.reasons import Reason, ReasonCode

_HOSTS_MAX = 5  # that one attempt connects to
_SECONDS = 300.0  # in which an attempt begins with another host
_KNOWN_MAX = 5_000  # domains of one site
_KNOWN_FOR = 1.0  # seconds in which the next message for a domain goes to the same target
_REFUSED_FOR = 30.0  # seconds in which the hosts of a refused target are not asked again
_REFUSED_MAX = 1_000  # targets
# A host that failed in these phases does not respond, or accepts no session.
_CONTACT = frozenset({smtp.Phase.RESOLVE, smtp.Phase.CONNECT, smtp.Phase.GREETING, smtp.Phase.EHLO})
_OUR_KINDS = frozenset({smtp.FaultKind.LOCAL, smtp.FaultKind.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class MxTarget(Target):
    """The servers of a domain, and how they are connected to."""

    domain: str = ""
    policies: tuple[HostPolicy, ...] = ()
    requires_tls: bool = False  # only hosts with REQUIRETLS may get the message (RFC 8689)


@dataclass(slots=True)
class _Failures:
    """Why the hosts of a target failed."""

    tried: list[tuple[str, Reason]] = field(default_factory=list)
    best: smtp.SmtpFault | None = None  # the one that explains most
    refusal: smtp.SmtpFault | None = None  # it says nothing about other domains of the site
    lacking: list[smtp.SmtpFault] = field(default_factory=list)  # of hosts without REQUIRETLS

    def add(self, fault: smtp.SmtpFault, policy: HostPolicy) -> None:
        """Note that a host failed."""
        self.tried += _tried(fault, policy)
        if fault.reason.code == ReasonCode.REQUIRETLS_NOT_OFFERED:
            self.lacking.append(fault)
            return
        # A server's reply explains more than another host's silence.
        if self.best is None or fault.reply or not self.best.reply:
            self.best = fault
        is_refusal = bool(policy.refused) or smtp.is_of_tls(fault)
        if policy.is_above_floor and is_refusal:
            self.refusal = self.refusal or fault

    @property
    def is_refusal(self) -> bool:
        """Whether they say nothing about other domains of the site."""
        return bool(self.refusal or self.lacking)

    @property
    def _last(self) -> smtp.SmtpFault:
        return self.refusal or self.best or self.lacking[0]

    def fault(self, transcript: smtp.Transcript) -> smtp.SmtpFault:
        """Return the fault of the target when all its hosts have failed; there was at least one."""
        fault = self._last
        fault.transcript = transcript
        if fault.facts is not None:
            fault.facts.tried = self.tried
        return fault


class MxOpener:
    """Opens sessions with the servers of one MX site; one for each runner."""

    has_login = False

    def __init__(self, router: MxRouter, context: DeliveryContext) -> None:
        self._router = router
        self._context = context
        # (domain, TLS requirement) → the target, and until when it is not determined again
        self._known: LruCache[tuple[str, str], tuple[MxTarget, float]] = LruCache(_KNOWN_MAX)
        # A thousand messages for one domain connect once, as they do after a fault of the site.
        self._refused: LruCache[Hashable, tuple[float, TargetRefusedError]] = LruCache(_REFUSED_MAX)
        # (domain, key of the target) → until when it is not counted that no host may be used
        self._excluded: LruCache[Hashable, float] = LruCache(_REFUSED_MAX)

    async def target_of(self, job: Job, destination: Destination) -> MxTarget | None:
        """Return the servers of the job's domain; None if it failed, or belongs to another site."""
        target, until = self._known.get((job.domain, job.tls_requirement)) or (None, 0.0)
        if time.monotonic() < until:
            return target
        try:
            found = await self._router.exchangers_of(job.domain)
            if not await self._belongs_to(destination, job, site_of(found)):
                return None
            target = await self._target(job, found, destination)
        except RoutingError as error:
            lease, recorder = self._context.lease, self._context.recorder
            recorder.put(transaction.unrouted(job, error, lease.now))
            return None
        known = target, time.monotonic() + _KNOWN_FOR
        self._known[job.domain, job.tls_requirement] = known
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
        key = (job.requires_tls, _key_of(policies))
        target = MxTarget(key, found.domain, policies, job.requires_tls)
        if all(one.refused for one in policies):
            self._count_excluded(target, destination)
            raise RoutingError(policies[0].refused, is_permanent=False)
        return target

    def prefers(self, session: DeliverySession, job: Job) -> bool:
        """Return whether the job's domain had the session's servers at the last lookup."""
        known = self._known.get((job.domain, job.tls_requirement))
        return known is not None and known[0].key == session.target_key

    async def open(
        self, target: Target, destination: Destination, memory: ServerMemory
    ) -> DeliverySession:
        """Open a session with the first host that accepts one.

        Raise SmtpFault, or TargetRefusedError if it is not about the site.
        """
        assert isinstance(target, MxTarget)
        until, refused = self._refused.get(target.key) or (0.0, None)
        if refused is not None and time.monotonic() < until:
            raise TargetRefusedError(
                refused.fault,
                refused.row,
                is_permanent=refused.is_permanent,
                is_remembered=True,
            )
        ends_at = time.monotonic() + _SECONDS
        transcript = smtp.Transcript()
        failures = _Failures()
        for policy in self._by_order(target)[:_HOSTS_MAX]:
            if failures.tried and time.monotonic() > ends_at:
                break
            try:
                connection = await self._connect(policy, target, memory, transcript)
            except smtp.SmtpFault as fault:
                fault.tls_policy = policy.why
                if fault.kind is smtp.FaultKind.EXHAUSTED:
                    raise
                failures.add(fault, policy)
                self._count(target, policy, destination, _result_of(policy, fault))
                if fault.phase in _CONTACT and fault.kind not in _OUR_KINDS:
                    self._router.note_failure(policy.exchanger.host)
                continue
            self._router.note_success(policy.exchanger.host)
            result = result_of(policy, connection.facts)
            self._count(target, policy, destination, result)
            connection.facts.tried[:0] = failures.tried
            return self._session(connection, target, policy, destination)
        last = failures.fault(transcript)
        if not failures.is_refusal:
            raise last
        is_permanent = len(failures.lacking) == min(len(target.policies), _HOSTS_MAX)
        row = self._unopened_row(last, destination)
        error = TargetRefusedError(last, row, is_permanent=is_permanent)
        self._refused[target.key] = time.monotonic() + _REFUSED_FOR, error
        raise error

    def _by_order(self, target: MxTarget) -> list[HostPolicy]:
        """Return the hosts as they are tried: by preference, but those last that are of no use.

        Those of an equal preference are in random order for each session (RFC 5321 5.1).
        """
        return sorted(
            target.policies,
            key=lambda one: (
                not one.is_usable,
                self._router.has_failed(one.exchanger.host),
                one.exchanger.preference,
                random.random(),  # noqa: S311  # spreads load, protects nothing
            ),
        )

    async def _connect(
        self,
        policy: HostPolicy,
        target: MxTarget,
        memory: ServerMemory,
        transcript: smtp.Transcript,
    ) -> smtp.Connection:
        host = policy.exchanger.host
        transcript.note(Reason(ReasonCode.MX_HOST_TRIED, host=host))
        if policy.refused:
            transcript.note(policy.refused)
            raise smtp.SmtpFault(smtp.Phase.CONNECT, smtp.FaultKind.LOCAL, policy.refused)
        conf, lease = self._context.conf, self._context.lease
        server = mx_server_for(policy, conf)
        place = f"{host}:{conf.mx_port}"
        connection = await smtp.Connection.open(
            replace(
                server,
                restrictions=lambda offered: memory.restrictions(offered, lease.now, place),
            ),
            transcript=transcript,
        )
        if target.requires_tls and not connection.has_requiretls:
            reason = Reason(ReasonCode.REQUIRETLS_NOT_OFFERED)
            transcript.note(reason)
            await connection.quit()
            fault = smtp.SmtpFault(smtp.Phase.EHLO, smtp.FaultKind.LOCAL, reason)
            fault.facts = connection.facts
            raise fault
        return connection

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

    def _unopened_row(self, fault: smtp.SmtpFault, destination: Destination) -> SmtpSession:
        """Record the session that could not be opened, also for the messages that follow."""
        row = unopened_row(destination, self._context.lease, fault)
        self._context.recorder.put(SessionOpened(session=row))
        self._context.recorder.put(SessionClosed(session=row, closing=""))
        return row

    def _count_excluded(self, target: MxTarget, destination: Destination) -> None:
        """Count that no host may be connected to: once, as the connection would be."""
        key = target.domain, target.key
        if (self._excluded.get(key) or 0.0) > time.monotonic():
            return
        self._excluded[key] = time.monotonic() + _REFUSED_FOR
        for one in self._by_order(target)[:_HOSTS_MAX]:  # as many as a connection would count
            self._count(target, one, destination, refused_result(one))

    def _count(
        self, target: MxTarget, policy: HostPolicy, destination: Destination, result: str | None
    ) -> None:
        """Count a session, or an attempted one, for the reports on TLS; None counts as nothing."""
        if result is None:
            return
        lease = self._context.lease
        key = count_key(target.domain, policy, result, worker_id=lease.worker_id, now=lease.now)
        self._context.recorder.put(TlsCounted(destination_id=destination.pk, keys=[key]))


def _result_of(policy: HostPolicy, fault: smtp.SmtpFault) -> str | None:
    """Return what a failed session counts as; None if it did not fail for its TLS."""
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

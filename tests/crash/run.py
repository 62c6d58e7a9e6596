"""One run on a running cluster: use it, kill its processes, drain the queue, judge."""

import random
import sys
import time

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.models import Q

from outbox import api
from outbox.models import Message, Recipient, State
from tests.crash.cluster import Cluster
from tests.crash.evidence import Evidence, read_copies
from tests.crash.judge import Judge, Verdict
from tests.crash.log import read_kills
from tests.crash.points import Point, WebPoint
from tests.crash.scheduler import ExternalKill, KillScheduler, Scale
from tests.crash.users import Users, make_accounts, until_available
from tests.stateguard import trigger

_ORDER = [*(kind.value for kinds in (Point, WebPoint, ExternalKill) for kind in kinds), "none"]
QUEUED_WITHIN = 240.0  # seconds
STUCK_AFTER = 120.0  # seconds without a change; no wait here is as long


def run(cluster: Cluster, scale: Scale, *, seed: int) -> Verdict:
    """Run the kills, drain the queue and return the verdict."""
    call_command("migrate", verbosity=0)
    trigger.install(connection)
    owner = User.objects.create_user("ann", password="only here")
    accounts = make_accounts((cluster.sink_port(0), cluster.sink_port(1)), owner)
    users = Users(
        accounts,
        cluster.port,
        total=scale.messages,
        initial=scale.initial,
        rate=scale.rate,
        visitors=scale.visitors,
        seed=seed,
    )
    scheduler = KillScheduler(cluster, scale, random.Random(seed))  # noqa: S311  # variety
    scheduler.write_plans()
    cluster.start_site()
    users.start()
    scheduler.wait_for_traffic()
    began = time.monotonic()
    missed = scheduler.run(users.check)
    report_progress(f"killed within {time.monotonic() - began:.0f} s")
    users.finish(QUEUED_WITHIN)
    report_progress(f"all queued after {time.monotonic() - began:.0f} s")
    drain()
    for _ in range(5):  # a message that is sent again can become uncertain again
        if resolve_uncertain(cluster):
            drain()
    report_progress(f"drained after {time.monotonic() - began:.0f} s")
    copies = read_copies(cluster.ledger(number) for number in (0, 1))
    verdict = Judge(Evidence(read_kills(cluster.log), copies, users.promises)).judge()
    verdict.lines.sort(key=lambda line: _ORDER.index(line.kind))
    verdict.findings += [f"Never happened: {entry}." for entry in missed]
    verdict.findings += unlawful_changes(cluster)
    verdict.findings += [
        f"Process group {group} did not end after its leader." for group in cluster.orphans()
    ]
    return verdict


def unlawful_changes(cluster: Cluster) -> list[str]:
    """Return the changes of state that the trigger refused, from the log of PostgreSQL."""
    lines = cluster.postgres.log.read_text(errors="replace").splitlines()
    return [f"PostgreSQL refused: {line}" for line in lines if trigger.MESSAGE in line]


def report_progress(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


_PENDING = Q(state__in=[State.QUEUED, State.DEFERRED, State.SENDING]) | Q(
    state=State.UNCERTAIN, resend_at__isnull=False
)


def drain() -> None:
    """Wait until no recipient is pending, or until nothing has changed for long."""
    left, changed_at = -1, time.monotonic()
    while count := until_available(Recipient.objects.filter(_PENDING).count):
        if count != left:
            left, changed_at = count, time.monotonic()
        elif time.monotonic() - changed_at > STUCK_AFTER:
            return
        time.sleep(0.3)  # between two queries; the deadline is above


def resolve_uncertain(cluster: Cluster) -> int:
    """Resolve the uncertain recipients that wait for a person, by asking the sink."""
    copies = read_copies(cluster.ledger(number) for number in (0, 1))
    waiting = Recipient.objects.filter(state=State.UNCERTAIN).select_related("message")
    for recipient in waiting:
        message: Message = recipient.message
        has_arrived = bool(copies.get((message.message_id, recipient.address)))
        resolve = api.resolve_as_sent if has_arrived else api.resolve_as_unsent
        resolve(message, recipients=[recipient], actor=None, why="The sink was asked.")
    return len(waiting)

"""One run on a stage that stands: users come, things die, mail drains, the judge speaks."""

import random
import sys
import time

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models import Q

from outbox import api
from outbox.models import Message, Recipient, State
from tests.crash.director import Deed, Director, Scale
from tests.crash.evidence import Evidence, read_copies
from tests.crash.judge import Judge, Verdict
from tests.crash.load import Load, make_accounts, patiently
from tests.crash.log import read_kills
from tests.crash.points import Point, WebPoint
from tests.crash.stage import Stage

_ORDER = [*(kind.value for kinds in (Point, WebPoint, Deed) for kind in kinds), "none"]
QUEUED_WITHIN = 240.0
STUCK_AFTER = 60.0  # seconds; nothing here waits for so long


def run(stage: Stage, scale: Scale, *, seed: int) -> Verdict:
    """Kill, drain and judge."""
    call_command("migrate", verbosity=0)
    owner = User.objects.create_user("ann", password="only here")  # and gone with it
    accounts = make_accounts((stage.sink_port(0), stage.sink_port(1)), owner)
    load = Load(
        accounts,
        stage.port,
        total=scale.mails,
        heap=scale.heap,
        rate=scale.rate,
        visitors=scale.visitors,
        seed=seed,
    )
    director = Director(stage, scale, random.Random(seed))  # noqa: S311  # variety
    director.write_plans()
    stage.start_site()
    load.start()
    director.wait_for_traffic()
    began = time.monotonic()
    missed = director.run(load.check)
    say(f"killed within {time.monotonic() - began:.0f} s")
    load.finish(QUEUED_WITHIN)
    say(f"all queued after {time.monotonic() - began:.0f} s")
    drain()
    for _ in range(5):  # what a person sends again can become uncertain again
        if settle(stage):
            drain()
    say(f"drained after {time.monotonic() - began:.0f} s")
    copies = read_copies(stage.ledger(number) for number in (0, 1))
    verdict = Judge(Evidence(read_kills(stage.log), copies, load.promises)).judge()
    verdict.lines.sort(key=lambda line: _ORDER.index(line.kind))
    verdict.findings += [f"Never came about: {entry}." for entry in missed]
    verdict.findings += [f"Group {group} lives on without its head." for group in stage.orphans()]
    return verdict


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


_MOVES = Q(state__in=[State.QUEUED, State.DEFERRED, State.SENDING]) | Q(
    state=State.UNCERTAIN, resend_at__isnull=False
)


def drain() -> None:
    """Wait until nothing moves by itself any more, or nothing has for long; the judge sees it."""
    left, changed_at = -1, time.monotonic()
    while count := patiently(Recipient.objects.filter(_MOVES).count):
        if count != left:
            left, changed_at = count, time.monotonic()
        elif time.monotonic() - changed_at > STUCK_AFTER:
            return
        time.sleep(0.3)


def settle(stage: Stage) -> int:
    """Do what a person does with the uncertain mail of a hold account: ask the receiver."""
    copies = read_copies(stage.ledger(number) for number in (0, 1))
    waiting = Recipient.objects.filter(state=State.UNCERTAIN).select_related("message")
    for recipient in waiting:
        message: Message = recipient.message
        has_arrived = bool(copies.get((message.message_id, recipient.address)))
        act = api.settle_as_sent if has_arrived else api.settle_as_unsent
        act(message, recipients=[recipient], actor=None, why="The receiver was asked.")
    return len(waiting)

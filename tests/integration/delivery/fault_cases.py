"""Run the fault lab's matrix through the engine: many servers at once, one scenario each.

The state of every recipient, and what its server accepted, are returned as plain data, so that
each cell can be checked by a test of its own.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from outbox.delivery.sweep import sweep
from outbox.models import Account, Attempt, Circuit, Destination, Message, Recipient, Slot, State
from outbox.testing.faultlab import FaultLab
from outbox.testing.matrix import matrix
from outbox.testing.scenario import Scenario, parse_scenario
from tests.integration.delivery.conftest import OURS, patience
from tests.integration.delivery.mail_client import USING, account_at, deliver, queue

PATIENCE = 2.5  # seconds of the client for anything, while there are faults
LATE, DRIP = 10.0, 0.3
_TLS_STAGES = {"starttls", "tls", "second-ehlo"}
_REFUSED = "at rcpt <refused@*>: 550 5.1.1 No such user"


@dataclass(slots=True)
class Fate:
    """One recipient of a cell at one moment, on both sides of the wire."""

    address: str
    number: int  # of its message, in order
    state: str
    attempts: int
    reply_code: int | None
    reason: str
    copies: int  # the server took charge of


@dataclass(slots=True)
class Cell:
    """One scenario and its results."""

    name: str
    fates: list[Fate] = field(default_factory=list)  # once nothing was due any more
    later: list[Fate] = field(default_factory=list)  # after the server was repaired as well
    outcomes: list[str] = field(default_factory=list)  # of all attempts
    open_attempts: int = 0
    slots: int = 0
    wrongs: list[str] = field(default_factory=list)
    dialogue: str = ""


def covering(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Choose few scenarios that cover every stage × fault, and every other pair of name parts."""
    left = {scenario.name: scenario for scenario in scenarios}
    wanted = {pair for name in left for pair in _pairs(name)}
    by_place: dict[str, list[str]] = {}
    for name in left:
        by_place.setdefault("/".join(name.split("/")[:2]), []).append(name)
    chosen = []
    for names in by_place.values():
        best = max(names, key=lambda name: len(wanted & _pairs(name)))
        wanted -= _pairs(best)
        chosen.append(best)
    while wanted:
        best = max(left, key=lambda name: len(wanted & _pairs(name)))
        wanted -= _pairs(best)
        chosen.append(best)
    return [left[name] for name in dict.fromkeys(chosen)]


def _pairs(name: str) -> set[tuple[tuple[int, str], ...]]:
    return set(combinations(enumerate(name.split("/")), 2))


def scenarios() -> list[Scenario]:
    """Return the whole matrix."""
    return list(matrix(late=LATE, drip=DRIP))


def run(batch: Sequence[Scenario], folder: Path) -> Iterator[Cell]:
    """Deliver to one server per scenario, all at once. Then repair them and deliver again."""
    with ExitStack() as stack:
        labs = [stack.enter_context(FaultLab(_with_rset(scenario))) for scenario in batch]
        authorities = folder / "authorities.pem"
        authorities.write_text("".join(Path(lab.ca_file).read_text() for lab in labs))
        stack.enter_context(override_settings(OUTBOX=_patience(PATIENCE, authorities)))
        senders = [_account(scenario, lab) for scenario, lab in zip(batch, labs, strict=True)]
        cells = [Cell(scenario.name) for scenario in batch]
        mail = [_queue(cell.name, sender) for cell, sender in zip(cells, senders, strict=True)]
        deliver()
        for cell, lab, messages in zip(cells, labs, mail, strict=True):
            cell.fates = _fates(lab, messages)
            cell.open_attempts = Attempt.objects.filter(message__in=messages, ended_at=None).count()
            cell.outcomes = list(
                Attempt.objects.filter(message__in=messages).values_list("outcome", flat=True)
            )
        _repair(labs)
        with override_settings(OUTBOX=_patience(20, authorities)):
            deliver()
        for cell, lab, messages in zip(cells, labs, mail, strict=True):
            cell.later = _fates(lab, messages)
            cell.wrongs = lab.ledger.violations
            cell.dialogue = lab.ledger.text()
            cell.slots = Slot.objects.count()
        yield from cells


def _patience(seconds: float, authorities: Path) -> dict[str, object]:
    others = {"CA_FILE": str(authorities), "LEASE_DURATION": 60, "SESSION_MAX_IDLE": PATIENCE}
    return settings.OUTBOX | OURS | patience(seconds) | others


def _with_rset(scenario: Scenario) -> Scenario:
    """Add a rejected recipient if RSET is tested: a client sends RSET after a rejection."""
    if not scenario.name.startswith("rset/"):
        return scenario
    return parse_scenario(f"{scenario.text}{_REFUSED}\n", scenario.name)


def _account(scenario: Scenario, lab: FaultLab) -> Account:
    stage = scenario.name.split("/")[0]
    account = account_at(lab, max_connections=1)
    if stage in _TLS_STAGES:
        account.security = "starttls"
    if stage == "auth":
        account.username, account.secret = "ann", "secret"
    account.save()
    return account


def _queue(name: str, account: Account) -> list[Message]:
    """Queue three messages of two recipients: a fault may be at the third message."""
    first = "refused" if name.startswith("rset/") else "one"
    return [
        queue(account, f"{local}@example.net", f"also-{local}@example.net")
        if local != "refused"
        else queue(account, "refused@example.net")
        for local in (first, "two", "three")
    ]


def _repair(labs: Iterable[FaultLab]) -> None:
    """Remove the faults of every server, and make all waiting messages due."""
    for lab in labs:
        lab.play(replace(lab.scenario, rules=()))
    sweep(USING)
    past = timezone.now() - dt.timedelta(seconds=1)
    Recipient.objects.filter(state=State.DEFERRED).update(next_attempt_at=past)
    Destination.objects.update(circuit=Circuit.CLOSED, circuit_until=None, circuit_faults=0)


def _fates(lab: FaultLab, messages: Sequence[Message]) -> list[Fate]:
    return [
        Fate(
            address=recipient.address,
            number=number,
            state=recipient.state,
            attempts=recipient.attempts,
            reply_code=recipient.reply_code,
            reason=str(recipient.reason),
            copies=lab.ledger.copies(f"<{message.message_id}>", recipient.address),
        )
        for number, message in enumerate(messages, start=1)
        for recipient in message.recipients.order_by("pk")
    ]

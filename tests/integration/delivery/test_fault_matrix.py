"""Each fault at each stage ends in a state that item 96 allows, and the server's ledger agrees.

By default a covering choice: every stage × fault, and every other pair. FAULTS=all runs each cell.
"""

import os

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from outbox.models import Outcome, State
from tests.integration.delivery.fault_cases import Cell, covering, run, scenarios

ALL = scenarios()
IS_WHOLE = os.environ.get("FAULTS") == "all"
CHOSEN = ALL if IS_WHOLE else covering(ALL)
AT_ONCE = 60  # servers that one engine delivers to at the same time

pytestmark = [
    pytest.mark.django_db,  # otherwise pytest-django creates no database for the cells below
    pytest.mark.every_case,  # they are a selection
    pytest.mark.timeout(900 if IS_WHOLE else 600),  # the first test waits for all of the cells
]

_WAITS = {
    State.DEFERRED,
    State.QUEUED,
}  # queued: returned without an attempt when the circuit opened


@pytest.fixture(scope="module")
def cells(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    with django_db_blocker.unblock():
        for start in range(0, len(CHOSEN), AT_ONCE):
            for cell in run(CHOSEN[start : start + AT_ONCE], tmp_path_factory.mktemp("faults")):
                found[cell.name] = cell
            call_command("flush", interactive=False, verbosity=0)
    return found


@pytest.fixture
def cell(cells: dict[str, Cell], request: pytest.FixtureRequest) -> Cell:
    found = cells[request.param]
    print(found.dialogue)
    return found


each_cell = pytest.mark.parametrize("cell", [scenario.name for scenario in CHOSEN], indirect=True)


@each_cell
def test_the_ledger_and_the_database_agree(cell: Cell) -> None:
    """Accepted ⇔ sent, or uncertain if the reply was lost; never twice."""
    for fate in cell.fates:
        assert fate.state in {State.SENT, State.FAILED, State.UNCERTAIN, *_WAITS}, fate
        assert fate.attempts <= 1, fate
        if fate.state == State.SENT:
            assert fate.copies == 1, fate
        elif fate.state == State.UNCERTAIN:
            assert fate.copies <= 1, fate
        else:
            assert fate.copies == 0, fate
        if fate.state == State.FAILED:
            assert fate.reply_code is not None, fate
            assert fate.reply_code >= 500, fate
    assert cell.open_attempts == 0
    assert Outcome.QUARANTINED not in cell.outcomes
    assert Outcome.ABANDONED not in cell.outcomes
    assert cell.wrongs == []


@each_cell
def test_waiting_messages_arrive_once_the_server_works_again(cell: Cell) -> None:
    """Nothing is lost, and uncertain and final states do not change."""
    for before, now in zip(cell.fates, cell.later, strict=True):
        if before.state in _WAITS:
            assert (now.state, now.copies) == (State.SENT, 1), now
        else:
            assert (now.state, now.copies, now.attempts) == (
                before.state,
                before.copies,
                before.attempts,
            )
    assert cell.slots == 0


@each_cell
def test_only_affected_recipients_are_uncertain_or_rejected(cell: Cell) -> None:
    stage, fault, _, position = cell.name.split("/")
    for fate in cell.fates:
        if fate.state == State.UNCERTAIN:
            assert stage in _MAY_LOSE_THE_REPLY, fate
        if fate.state == State.FAILED:
            assert fault == "5xx" or fate.address == "refused@example.net", fate
        if position == "third" and fate.number < 3:
            assert fate.state == State.SENT, fate


# Where the reply to a whole message can be lost: at its end, at commands in the same packet, and
# before it if a message of one packet was sent at once.
_MAY_LOSE_THE_REPLY = {
    *("mail", "rcpt-1", "rcpt-2", "data", "body-start", "body-middle", "dot", "bdat", "idle"),
}


def test_the_selection_covers_every_pair() -> None:
    chosen = {scenario.name for scenario in covering(ALL)}
    places = {"/".join(scenario.name.split("/")[:2]) for scenario in ALL}
    assert {"/".join(name.split("/")[:2]) for name in chosen} == places
    assert len(chosen) < len(ALL) / 2

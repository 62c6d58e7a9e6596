"""Each fault at each stage of POP3 ends in time, and no message is lost or wrongly deleted.

By default a selection, in which each stage has every fourth fault. FAULTS=all runs each cell.
"""

import gc
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from outbox.inbound.mail_server import (
    LoginRefusedError,
    MailServerError,
    MessageError,
    MessageRefusedError,
    QuitRefusedError,
    TemporaryError,
    Timeouts,
)
from outbox.testing.pop3_dialogue import SAMPLES, Pop3Mailbox
from outbox.testing.pop3_lab import Pop3Lab
from outbox.testing.pop3_matrix import PLACES, pop3_matrix
from outbox.testing.scenario import Scenario
from tests.integration.mailservers.client import Fetched, fetch

PATIENCE = 2.5  # seconds of the client for anything
LATE, DRIP = 10.0, 0.3
AT_ONCE = 40  # labs
_TIMEOUTS = Timeouts(
    connect=PATIENCE, tls=PATIENCE, line=PATIENCE, response=PATIENCE, session=15, quit=PATIENCE
)
_BOUND = 3 * PATIENCE + 5  # seconds: a fault, QUIT, and a busy machine
_STAGES = list(PLACES)
_TLS_STAGES = {"stls", "tls", "capa-in-tls"}

ALL = list(pop3_matrix(late=LATE, drip=DRIP))
IS_WHOLE = os.environ.get("FAULTS") == "all"


def _selected(scenarios: Sequence[Scenario]) -> list[Scenario]:
    faults = sorted({scenario.name.split("/")[1] for scenario in scenarios})
    found = []
    for scenario in scenarios:
        stage, fault, mode, _ = scenario.name.split("/")
        number = _STAGES.index(stage) + faults.index(fault) + 2 * (mode == "stepwise")
        if number % 4 == 0 or stage == "connect":
            found.append(scenario)
    return found


CHOSEN = ALL if IS_WHOLE else _selected(ALL)

pytestmark = [
    pytest.mark.every_case,  # they are a selection
    pytest.mark.timeout(600),  # the first test waits for all cells
]


@dataclass(slots=True)
class Cell:
    name: str
    first: Fetched
    left: set[str]  # unique ids on the server after the first session
    second: Fetched  # once the server worked again
    violations: list[str]
    dialogue: str


def _run(scenario: Scenario) -> Cell:
    stage = scenario.name.split("/")[0]
    with Pop3Lab(scenario) as lab:
        changes = (
            {"security": "starttls", "host": "localhost", "ca_file": lab.ca_file}
            if stage in _TLS_STAGES
            else {}
        )
        first = fetch(lab, _TIMEOUTS, **changes)
        lab.skip_delays()
        if first.marked:  # the server may still be about to execute QUIT
            lab.ledger.wait_for(lambda ledger: all(session.over for session in ledger.sessions))
        left = set(lab.mailbox.messages)
        lab.play("offer UIDL, USER")
        second = fetch(lab, _TIMEOUTS)
        return Cell(scenario.name, first, left, second, lab.ledger.violations, lab.ledger.text())


@pytest.fixture(scope="module")
def cells() -> dict[str, Cell]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = {cell.name: cell for cell in pool.map(_run, CHOSEN)}
    gc.collect()  # so that a connection that was left open is reported here
    return found


@pytest.fixture
def cell(cells: dict[str, Cell], request: pytest.FixtureRequest) -> Cell:
    found = cells[request.param]
    print(found.dialogue, found.first.error)
    return found


each_cell = pytest.mark.parametrize("cell", [scenario.name for scenario in CHOSEN], indirect=True)
SOURCES = Pop3Mailbox.of(*SAMPLES).messages


@each_cell
def test_a_session_ends_in_time_with_a_defined_result(cell: Cell) -> None:
    assert cell.first.seconds < _BOUND
    for error in (cell.first.error, *cell.first.rejected.values()):
        assert error is None or str(error)
    assert all(isinstance(error, MessageError) for error in cell.first.rejected.values())
    assert cell.violations == []


@each_cell
def test_each_message_is_the_one_with_its_unique_id(cell: Cell) -> None:
    for fetched in (cell.first, cell.second):
        for uid, source in fetched.sources.items():
            assert source == SOURCES[uid]


@each_cell
def test_only_a_quit_that_succeeded_counts_as_a_deletion(cell: Cell) -> None:
    gone = set(SOURCES) - cell.left
    assert cell.first.deleted <= gone
    assert gone <= cell.first.marked
    assert gone <= set(cell.first.sources)
    if cell.first.error is None:
        assert gone == cell.first.deleted


@each_cell
def test_no_message_is_lost_once_the_server_works_again(cell: Cell) -> None:
    assert cell.second.error is None
    assert set(cell.second.sources) == cell.left
    assert set(cell.first.sources) | set(cell.second.sources) == set(SOURCES)


@each_cell
def test_the_error_says_what_to_do(cell: Cell) -> None:
    stage, fault, _, _ = cell.name.split("/")
    error = cell.first.error
    if stage in {"pass", "auth-response"} and fault == "5xx":
        assert isinstance(error, LoginRefusedError)
    elif error is not None:
        expected: type[MailServerError] = QuitRefusedError if stage == "quit" else TemporaryError
        if stage == "dele" and fault in {"4xx", "5xx", "421-close"}:
            expected = MessageRefusedError
        elif fault == "5xx" and stage in {"user", "auth"}:
            expected = LoginRefusedError
        assert isinstance(error, expected), type(error)


def test_the_selection_has_each_stage_and_each_fault() -> None:
    chosen = [scenario.name.split("/") for scenario in _selected(ALL)]
    whole = [scenario.name.split("/") for scenario in ALL]
    for part in (0, 1, 2):
        assert {name[part] for name in chosen} == {name[part] for name in whole}
    assert len(chosen) < len(whole) / 3

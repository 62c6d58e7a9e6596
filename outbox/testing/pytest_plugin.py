"""The fixture `fault_lab` for pytest; add "outbox.testing.pytest_plugin" to `pytest_plugins`.

def test_it_tries_again_later(fault_lab):
    lab = fault_lab("greylisting")
"""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from outbox.testing.faultlab import FaultLab
from outbox.testing.scenario import Scenario

StartLab = Callable[[Scenario | str], FaultLab]


@pytest.fixture
def fault_lab() -> Iterator[StartLab]:
    """Start labs by scenario, text or name; each ends with the test and prints its dialogue."""
    with contextlib.ExitStack() as stack:

        def start(scenario: Scenario | str = "") -> FaultLab:
            lab = stack.enter_context(FaultLab(scenario))
            # pytest shows it where a test fails
            stack.callback(lambda: print(lab.ledger.text()))
            return lab

        yield start

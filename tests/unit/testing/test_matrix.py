"""The matrix holds every fault at every stage where it makes sense, each under its own name."""

import pytest

from outbox.testing.dialogue import Stage
from outbox.testing.matrix import matrix

SCENARIOS = list(matrix())
ENDS = {"black-hole", "reset", "close"}
ALL = ENDS | {
    *("421-close", "4xx", "5xx", "garbage", "split", "drip", "extra", "missing", "huge", "endless"),
    *("wrong-class", "late", "no-reply"),
}


def faults_at(stage: str) -> set[str]:
    return {name.split("/")[1] for name in names() if name.startswith(f"{stage}/")}


def names() -> list[str]:
    return [scenario.name for scenario in SCENARIOS]


def test_each_has_its_own_name() -> None:
    assert len(set(names())) == len(SCENARIOS) > 700


@pytest.mark.parametrize(
    "stage",
    [
        *("greeting", "ehlo", "starttls", "second-ehlo", "auth", "mail", "rcpt-1", "rcpt-2"),
        *("data", "dot", "bdat", "quit"),
    ],
)
def test_each_stage_with_a_reply_has_each_fault(stage: str) -> None:
    assert faults_at(stage) == ALL


def test_connect_has_the_faults_that_fit_it() -> None:
    assert faults_at("connect") == ENDS | {"refuse"}


@pytest.mark.parametrize("stage", ["body-start", "body-middle"])
def test_a_body_has_the_faults_that_fit_a_body(stage: str) -> None:
    assert faults_at(stage) == ALL - {
        *("split", "drip", "missing", "wrong-class", "no-reply"),
    }


@pytest.mark.parametrize("stage", ["mail", "rcpt-1", "rcpt-2", "data", "body-start", "dot"])
def test_a_transaction_has_each_fault_in_the_first_and_the_third_message(stage: str) -> None:
    for mode in ("stepwise", "pipelined"):
        for position in ("first", "third"):
            assert f"{stage}/4xx/{mode}/{position}" in names()


def test_each_has_one_rule_and_announces_what_it_needs() -> None:
    for scenario in SCENARIOS:
        [rule] = scenario.rules
        assert scenario.offers("PIPELINING") is ("/stepwise/" not in scenario.name)
        assert scenario.offers("CHUNKING") is ("/chunking/" in scenario.name)
        assert scenario.offers("STARTTLS") is (
            scenario.name.split("/")[0] in {"starttls", "tls", "second-ehlo"}
        )
        assert scenario.offers("AUTH") is (rule.stage is Stage.AUTH)

"""The transitions keep to CHANGES, and each state has its columns."""

import ast
import datetime as dt
from pathlib import Path

import pytest

from outbox.models import CHANGES, FINAL, EventKind, OnUncertain, State, transitions
from outbox.models.transitions import (
    RECORD,
    RECORD_LATE,
    RESOLVE,
    Transition,
    TransitionError,
    resend_after,
    state_after_late_reply,
    state_columns,
)

OUTBOX = Path(__file__).resolve().parents[3] / "outbox"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
HOUR = dt.timedelta(hours=1)
ALL = [one for one in vars(transitions).values() if isinstance(one, Transition)]


def test_a_transition_outside_of_changes_cannot_be_defined() -> None:
    with pytest.raises(TransitionError, match="queued to sent is not in CHANGES"):
        Transition("deliver", (State.QUEUED, State.SENDING), (State.SENT,))


@pytest.mark.parametrize("to", set(State) - set(RESOLVE.targets))
def test_a_transition_ends_in_no_state_but_its_own(to: State) -> None:
    with pytest.raises(TransitionError, match=f"“resolve” ends in .*, not in {to}"):
        RESOLVE.check(to)


def test_every_change_belongs_to_a_transition() -> None:
    known = {(before, after) for one in ALL for before in one.sources for after in one.targets}
    unknown = {(before, after) for before, states in CHANGES.items() for after in states} - known
    assert unknown == {  # lawful, but nothing does it yet
        (State.DEFERRED, State.QUEUED),
    }


def test_every_kind_of_event_that_changes_a_state_has_a_transition() -> None:
    without_change = {
        EventKind.QUEUED,
        EventKind.CANCEL_TOO_LATE,
        EventKind.RESCHEDULED,
        EventKind.REOPENED,
        EventKind.READ,
    }
    assert {one.event for one in ALL} - {None} == set(EventKind) - without_change


@pytest.mark.parametrize("state", State)
def test_the_columns_follow_from_the_state(state: State) -> None:
    columns = state_columns(state, NOW, LATER)
    assert columns.next_attempt_at == (LATER if state in {"queued", "deferred"} else None)
    assert columns.resend_at == (LATER if state == "uncertain" else None)
    assert columns.final_at == (NOW if state in FINAL else None)
    assert columns.ended_as == (state if state in {"expired", "bounced"} else None)


@pytest.mark.parametrize(
    ("message_policy", "account_policy", "wait"),
    [
        ("", None, None),  # the account was deleted
        ("", OnUncertain.HOLD, None),
        ("", OnUncertain.RESEND, HOUR),
        (OnUncertain.HOLD, OnUncertain.RESEND, None),
        (OnUncertain.RESEND, OnUncertain.HOLD, HOUR),
    ],
)
def test_the_uncertain_policy_of_the_message_precedes_the_account_s(
    message_policy: str, account_policy: str | None, wait: dt.timedelta | None
) -> None:
    assert resend_after(message_policy, account_policy, HOUR) == wait


def test_without_an_account_an_uncertain_recipient_waits_for_a_person() -> None:
    assert resend_after(OnUncertain.RESEND, None, None) is None


@pytest.mark.parametrize("state", RECORD.targets)
def test_a_late_reply_ends_in_a_state_that_uncertain_recipients_can_come_to(state: State) -> None:
    after = state_after_late_reply(state)
    if state == State.UNCERTAIN:
        assert after is None
    elif state in RECORD_LATE.targets:
        assert after == state
    else:
        assert after == State.DEFERRED


def writes_of_state(path: Path) -> list[str]:
    """Return the places where a module updates the column `state` of any model."""
    return [
        f"{path.relative_to(OUTBOX)}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"update", "aupdate"}
        and "state" in {keyword.arg for keyword in node.keywords}
    ]


def test_no_other_module_updates_the_state() -> None:
    own = OUTBOX / "models" / "transitions.py"
    assert writes_of_state(own)  # the search finds what it looks for
    others = [
        place for path in OUTBOX.rglob("*.py") if path != own for place in writes_of_state(path)
    ]
    assert others == []

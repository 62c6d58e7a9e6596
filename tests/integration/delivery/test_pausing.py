"""Pausing: nothing that a pause stops is claimed while it lasts, and every page says why."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox import api
from outbox.api import operations
from outbox.db.clock import database_now
from outbox.delivery import limits
from outbox.models import Account, AuditEntry, Destination, Pause, State, Worker
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    USING,
    Working,
    a_worker,
    account,
    account_at,
    all_in,
    claim_due,
    destination,
    queue,
    queue_many,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

HOUR = dt.timedelta(hours=1)


def everything(_sender: Account) -> None:
    return None


def its_account(sender: Account) -> Account:
    return sender


@pytest.mark.parametrize(
    ("scope", "stops_others"),
    [
        pytest.param(everything, True, id="everything"),
        pytest.param(its_account, False, id="account"),
        pytest.param(destination, False, id="destination"),
    ],
)
def test_nothing_of_its_scope_is_claimed_until_it_is_resumed(
    scope: Callable[[Account], Account | Destination | None], stops_others: bool
) -> None:
    sender, other = account(), account(26)
    queue_many(sender, 2)
    queue(other)
    paused = api.pause(scope(sender), reason="Wrong list")

    assert claim_due(sender) == []
    assert [one.account_id for one in limits.due_destinations(USING)] == (
        [] if stops_others else [other.pk]
    )
    assert len(claim_due(other)) == (0 if stops_others else 1)
    assert api.resume(paused)
    assert not api.resume(paused)
    assert len(claim_due(sender)) == 2


def test_it_ends_by_itself() -> None:
    sender = account()
    queue(sender)
    paused = api.pause(reason="Maintenance", until=database_now() + HOUR)
    assert claim_due(sender) == []
    Pause.objects.filter(pk=paused.pk).update(until=database_now())

    assert api.pauses() == []
    assert not api.resume(paused)
    assert len(claim_due(sender)) == 1


def test_a_running_worker_stops_and_continues(fault_lab: StartLab) -> None:
    lab = fault_lab("at mail: late 60")
    sender = account_at(lab, max_connections=1)
    messages = queue_many(sender, 4)
    with Working() as working:
        until(lambda: states().count(State.SENDING) > 1, "more is claimed than is being sent")
        paused = api.pause(sender, reason="Wrong list")
        working.engine.wake()
        until(lambda: states().count(State.SENDING) == 1, "the others were returned")
        lab.skip_delays()
        until(lambda: states().count(State.SENT) == 1, "what had begun was completed")
        assert states().count(State.QUEUED) == 3
        assert api.resume(paused)
        working.engine.wake()
        until(all_in(State.SENT, messages), "all were sent")


def test_a_message_names_the_author_the_reason_and_the_end_of_a_pause() -> None:
    anna = User.objects.create_user("anna")
    message = queue(account())
    api.pause(reason="The list was wrong", actor=anna)
    explained = api.explain(message)
    assert explained.sentence == "Paused by anna until delivery is resumed: The list was wrong."
    assert explained.until is None

    end = database_now() + HOUR
    Pause.objects.update(until=end)
    explained = api.explain(message)
    assert explained.sentence.startswith("Paused by anna until ")
    assert explained.until == end
    [shown] = operations.destinations()
    assert shown.blocked_by is not None
    assert shown.blocked_by.sentence == explained.sentence


def test_the_audit_log_has_both() -> None:
    anna = User.objects.create_user("anna")
    sender = account()
    api.resume(api.pause(sender, reason="Wrong list", actor=anna), actor=anna)

    found = AuditEntry.objects.filter(action__in=["paused", "resumed"]).order_by("pk")
    assert [(one.action, one.actor_name, one.target_key) for one in found] == [
        ("paused", "anna", str(sender.pk)),
        ("resumed", "anna", str(sender.pk)),
    ]
    assert found[0].details["reason"] == "Wrong list"


@pytest.mark.parametrize(
    ("reason", "ahead"), [("", None), ("  ", None), ("x" * 501, None), ("Why", -HOUR)]
)
def test_a_wrong_pause_is_rejected(reason: str, ahead: dt.timedelta | None) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the texts differ
        api.pause(reason=reason, until=database_now() + ahead if ahead else None)
    assert not Pause.objects.exists()


def test_a_claim_asks_no_more_queries() -> None:
    sender = account()
    worker = a_worker()
    queue(sender)
    claim_due(sender, worker)  # the first claim reads more
    before = queries_of_a_claim(sender, worker)
    api.pause(account(26), reason="Another account")
    assert queries_of_a_claim(sender, worker) == before


def queries_of_a_claim(sender: Account, worker: Worker) -> int:
    """Return the fewer queries of two claims: one may read what a process reads now and then."""
    counts = []
    for _ in range(2):
        queue(sender)
        with CaptureQueriesContext(connection) as found:
            assert len(claim_due(sender, worker)) == 1
        counts.append(len(found))
    return min(counts)


def test_the_command_pauses_and_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    sender = account()
    queue(sender)
    call_command("outbox_pause", reason="Maintenance", minutes=10)
    call_command("outbox_pause", reason="Wrong list", account=sender.name)
    assert claim_due(sender) == []
    assert len(api.pauses()) == 2
    call_command("outbox_pause", resume=True)
    assert [one.account_id for one in api.pauses()] == [sender.pk]
    call_command("outbox_pause", resume=True, account=sender.name)
    assert len(claim_due(sender)) == 1
    printed = capsys.readouterr().out
    assert "everything paused until 2" in printed
    assert "paused until it is resumed: Wrong list" in printed
    with pytest.raises(CommandError):
        call_command("outbox_pause", reason="Why", account="nowhere")

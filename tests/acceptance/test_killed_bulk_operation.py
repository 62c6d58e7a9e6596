"""A worker killed in the middle of a batch: the result is the preview minus the reported skips."""

import datetime as dt
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from dev.processes import Process
from dev.redis_server import RedisServer
from mailsite.celery import app
from outbox import api
from outbox.api import bulk_actions
from outbox.api.bulk_actions.batch import AT_ONCE
from outbox.api.message_actions import OPERATION_ACTIONS
from outbox.models import (
    Account,
    BulkOperation,
    BulkPage,
    BulkSkip,
    Event,
    EventKind,
    Message,
    Recipient,
    State,
)
from outbox.models.rollup import roll_up
from tests.acceptance.bulk_worker import BATCHES
from tests.acceptance.conftest import ROOT, until
from tests.conftest import StartWorker
from tests.states import set_state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
SHORT_LEASE = {"OUTBOX_LEASE_DURATION": "3", "OUTBOX_HEARTBEAT_INTERVAL": "1"}
WHY = "The offer was wrong."
LATER = dt.timedelta(days=30)
USING = "default"


@pytest.fixture
def doomed_worker(
    redis_server: RedisServer, site_environment: dict[str, str], tmp_path: Path
) -> Iterator[Process]:
    """A worker that is killed in its third batch."""
    command = [sys.executable, "-m", "tests.acceptance.bulk_worker"]
    options = ["--concurrency", "1", "--hostname", "doomed@test", "--without-gossip"]
    with (tmp_path / "doomed.log").open("wb") as output:
        worker = Process(
            [*command, *options],
            environment=site_environment | SHORT_LEASE,
            output=output,
            cwd=ROOT,
        )
    yield worker
    worker.kill()


def queue(account: Account, owner: User, count: int) -> list[int]:
    """Queue messages for later, so that no worker sends them."""
    at = timezone.now() + LATER
    return [
        api.send(
            account=account,
            owner=owner,
            to=f"to{number}@example.org",
            subject="Offer",
            text="Hello",
            send_at=at,
        ).pk
        for number in range(count)
    ]


def hold(ids: Sequence[int]) -> None:
    with transaction.atomic():
        set_state(Recipient.objects.filter(message__in=ids), State.HELD, next_attempt_at=None)
        roll_up(ids, timezone.now(), USING)


@pytest.mark.system
def test_the_result_is_the_preview_minus_the_skips(
    doomed_worker: Process, start_worker: StartWorker, account: Account, ann: User
) -> None:
    early = queue(account, ann, BATCHES * AT_ONCE - 20)
    scheduled = queue(account, ann, 4)  # among the ids of the set, and not in it
    held = early + queue(account, ann, 80)
    hold(held)
    operation = bulk_actions.propose(
        OPERATION_ACTIONS["cancel"], criteria={"state": "held"}, actor=ann, using=USING
    )
    assert operation.count == len(held)
    assert [pk for page in BulkPage.objects.order_by("last_id") for pk in page.ids] == held
    assert bulk_actions.confirm(operation, why=WHY, using=USING)

    def killed() -> bool:
        app.send_task("outbox.sweep", queue="outbox")
        return doomed_worker.returncode is not None

    until(killed, "the worker to be killed")
    assert doomed_worker.returncode == -signal.SIGKILL
    operation.refresh_from_db()
    assert operation.done_count == (BATCHES - 1) * AT_ONCE
    assert cancelled_by_operation() == held[: operation.done_count], "a batch was torn"

    left = [pk for pk in held if pk > operation.last_id]
    deleted, cancelled, kept = left[:2], left[2:5], left[5]
    Message.objects.filter(pk__in=deleted).delete()
    for pk in cancelled:
        api.cancel(Message.objects.get(pk=pk), actor=ann, why="By hand")
    api.release(Message.objects.get(pk=kept), actor=ann)
    for pk in scheduled:
        api.hold(Message.objects.get(pk=pk), actor=ann)
    new = queue(account, ann, 5)
    hold(new)

    start_worker("second", **SHORT_LEASE)

    def finished() -> bool:
        app.send_task("outbox.sweep", queue="outbox")
        return BulkOperation.objects.get().finished_at is not None

    until(finished, "another worker to finish the operation")
    operation.refresh_from_db()
    skipped = dict(operation.examples)
    assert skipped == dict.fromkeys(deleted, BulkSkip.GONE) | dict.fromkeys(
        [*cancelled, kept], BulkSkip.UNMATCHED
    )
    assert operation.skips == {"gone": 2, "unmatched": 4}
    assert cancelled_by_operation() == [pk for pk in held if pk not in skipped]
    assert operation.done_count == operation.changed_count == operation.count - len(skipped)
    others = Recipient.objects.filter(message__in=[*scheduled, *new])
    assert set(others.values_list("state", flat=True)) == {State.HELD}
    assert Recipient.objects.get(message=kept).state == State.QUEUED
    assert not BulkPage.objects.exists()


def cancelled_by_operation() -> list[int]:
    """Return the messages that the operation has cancelled, each as often as it did."""
    events = Event.objects.filter(kind=EventKind.CANCELLED, why=WHY)
    return list(events.order_by("message_id").values_list("message_id", flat=True))

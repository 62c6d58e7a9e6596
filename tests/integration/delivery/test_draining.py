"""A drained worker completes what it has begun, and claims nothing until the drain ends."""

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from outbox import api
from outbox.api import operations
from outbox.models import AuditEntry, State, Worker
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    queue,
    queue_many,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fast_heartbeat(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"HEARTBEAT_INTERVAL": 0.1, "SESSION_MAX_IDLE": 0.2}


def test_a_drained_worker_completes_what_it_has_begun_and_returns_the_rest(
    fault_lab: StartLab,
) -> None:
    sender = account_at(fault_lab("on connection 1: at dot: late 3"), max_connections=1)
    messages = queue_many(sender, 5)
    with Working():
        until(all_in(State.SENDING, messages[:1]), "the first one is being sent")
        worker = Worker.objects.get(ended_at=None)
        assert api.drain(worker)
        assert not api.drain(worker), "it was drained already"
        until(all_in(State.SENT, messages[:1]), "the first one was sent")
        until(all_in(State.QUEUED, messages[1:]), "the others were returned")
        [shown] = operations.workers().workers
        assert shown.is_draining
        late = queue(sender)
        until(lambda: operations.workers().workers[0].connections == 0, "its session ended")
        assert states(late) == [State.QUEUED]

        assert api.end_drain(worker)
        until(all_in(State.SENT, [*messages, late]), "it claims again")


def test_the_drain_is_recorded_with_its_author() -> None:
    now = "2026-11-29T12:00Z"
    ann = User.objects.create_user("ann")
    worker = Worker.objects.create(
        host="mail1", pid=7, started_at=now, heartbeat_at=now, lease_until=now
    )
    assert api.drain(worker, actor=ann)
    assert api.end_drain(worker, actor=ann)
    assert not api.end_drain(worker, actor=ann)
    found = AuditEntry.objects.order_by("pk").values_list("action", "actor_name", "target_name")
    assert list(found) == [("paused", "ann", "mail1/7"), ("resumed", "ann", "mail1/7")]

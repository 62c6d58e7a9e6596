"""The snapshot of the queue, which the sweep replaces now and then."""

import datetime as dt
from typing import Any

import pytest
from django.db.models import F

from outbox.db import bulk
from outbox.db.clock import database_now
from outbox.delivery import snapshot
from outbox.models import QueueSnapshot, Recipient, State
from tests.integration.delivery.mail_client import (
    USING,
    account,
    claim_due,
    destination,
    queue,
    queue_many,
)
from tests.states import set_state

pytestmark = pytest.mark.django_db

MINUTES = 60


def age(address: str, minutes: float, *, tried: bool = False) -> None:
    """Change a recipient so that it has been waiting for so long."""
    since = database_now() - dt.timedelta(minutes=minutes)
    found = Recipient.objects.filter(address=address)
    found.update(**({"first_attempt_at": since} if tried else {"next_attempt_at": since}))


def taken() -> QueueSnapshot:
    QueueSnapshot.objects.update(next_at=database_now())
    assert snapshot.refresh(USING) == 1
    return QueueSnapshot.objects.get()


def test_it_counts_by_state_and_destination() -> None:
    first, second = account(25), account(26)
    queue_many(first, 3)
    queue(second)
    claim_due(first, limit=1)
    held, uncertain = queue_many(second, 2)
    set_state(held.recipients, State.HELD, next_attempt_at=None)
    set_state(uncertain.recipients, State.UNCERTAIN, next_attempt_at=None)
    queue(second, "later@example.net", send_at=database_now() + dt.timedelta(hours=1))
    found = taken()
    assert found.by_state == {"queued": 4, "sending": 1, "held": 1, "uncertain": 1}
    assert (found.depth, found.due) == (5, 3)
    assert found.by_destination == [[destination(first).pk, 3, 2], [destination(second).pk, 2, 1]]
    oldest = Recipient.objects.filter(state=State.QUEUED).earliest("next_attempt_at")
    assert found.oldest_due_at == oldest.next_attempt_at


def test_the_matrix_has_the_ages_by_domain() -> None:
    sender = account()
    queue(sender, "a@Example.net", "b@example.net", "c@qq.com", '"x@y"@example.org')
    age("a@Example.net", 4)
    age("b@example.net", 7 * 24 * MINUTES)
    age("c@qq.com", 30, tried=True)
    age('"x@y"@example.org', 1439)
    rows = dict(taken().by_domain)
    assert rows == {
        "example.net": [1, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        "qq.com": [0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        "example.org": [0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    }


def test_small_domains_are_one_row_except_those_of_providers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshot, "DOMAINS_SHOWN", 1)
    queue(account(), "a@big.test", "b@big.test", "c@one.test", "d@two.test", "e@qq.com")
    rows = taken().by_domain
    assert [(name, sum(ages)) for name, ages in rows] == [("big.test", 2), ("qq.com", 1), ("", 2)]


@pytest.mark.every_database
def test_a_long_queue_is_counted_in_an_index_and_estimated_from_a_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = account()
    large = queue(sender, *(f"bob{n}@big.test" for n in range(300)))
    queue(sender, *(f"bob{n}@small.test" for n in range(100)))
    set_state(large.recipients, State.DEFERRED, next_attempt_at=F("next_attempt_at"))
    later = database_now() + dt.timedelta(hours=1)
    Recipient.objects.filter(address__startswith="bob9").update(next_attempt_at=later)
    assert taken().one_in == 1
    exact = taken()
    monkeypatch.setattr(snapshot, "SAMPLE", 100)
    rows: list[tuple[Any, ...]] = []

    def fetch(*given: Any) -> list[tuple[Any, ...]]:
        rows.extend(bulk.fetch(*given))
        return rows

    monkeypatch.setattr(snapshot, "fetch", fetch)
    found = taken()
    assert found.one_in == 4
    assert (found.depth, found.due, found.oldest_due_at, found.by_destination) == (
        exact.depth,
        exact.due,
        exact.oldest_due_at,
        exact.by_destination,
    )
    assert sum(found.by_state.values()) == pytest.approx(400, abs=2)
    assert found.by_state["deferred"] == pytest.approx(300, rel=0.25)
    shares = {name: sum(ages) for name, ages in found.by_domain}
    assert shares["big.test"] == pytest.approx(sum(dict(exact.by_domain)["big.test"]), rel=0.3)
    assert 50 < sum(row[-1] for row in rows) < 200


def test_a_recipient_that_is_scheduled_for_later_has_no_age() -> None:
    queue(account(), send_at=database_now() + dt.timedelta(hours=1))
    found = taken()
    assert (found.depth, found.due, found.oldest_due_at, found.by_domain) == (1, 0, None, [])


def test_it_is_replaced_every_15_seconds_at_most() -> None:
    assert snapshot.refresh(USING) == 1
    first = QueueSnapshot.objects.get()
    assert snapshot.refresh(USING) == 0
    assert first.at is not None
    assert first.next_at - first.at >= dt.timedelta(seconds=15)
    QueueSnapshot.objects.update(next_at=F("next_at") - dt.timedelta(seconds=16))
    assert snapshot.refresh(USING) == 1


def test_a_snapshot_that_takes_long_is_made_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cost is bounded, however long the queue is."""
    clock = iter((0.0, 3.0))
    monkeypatch.setattr(snapshot, "monotonic", lambda: next(clock))
    snapshot.refresh(USING)
    found = QueueSnapshot.objects.get()
    assert found.at is not None
    assert found.next_at - found.at == dt.timedelta(seconds=60)
    assert found.took_ms == 3_000

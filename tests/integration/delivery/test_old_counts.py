"""Old counts of outcomes are merged into hours, which changes no sum, and deleted at last."""

import datetime as dt

import pytest
from django.db.models import Sum

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.delivery import old_counts
from outbox.mail.server_replies import FailureKind, NormalizedReply
from outbox.models import DeliveryCount, DeliveryTotal, Recipient, ReplyGroup
from outbox.models.delivery_count import CountKey, add
from outbox.models.reply_group import store
from tests.integration.delivery.mail_client import USING, account, queue

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)


def hour_ago(days: float) -> dt.datetime:
    moment = database_now() - dt.timedelta(days=days)
    return moment.replace(minute=0, second=0, microsecond=0)


def count(minute: dt.datetime, worker_key: int, outcome: str = "sent", number: int = 1) -> None:
    add({CountKey(minute, worker_key, 1, "example.net", outcome, 0): number}, USING)


def sums() -> dict[str, int]:
    """Return the sums by outcome, which are the same in the counts and in the totals."""
    counts, totals = (
        dict(model.objects.order_by().values_list("outcome").annotate(Sum("count")))
        for model in (DeliveryCount, DeliveryTotal)
    )
    assert counts == totals
    return counts


def compact_all() -> int:
    merged, rounds = 0, 0
    while rounds < 50:
        merged += old_counts.compact(USING)
        rounds += 1
    return merged


def test_minutes_become_an_hour_of_all_workers_with_the_same_sum() -> None:
    old, recent = hour_ago(4), hour_ago(1)
    for minute in (0, 3, 11, 59):
        for worker_key in (7, 8):
            count(old + minute * MINUTE, worker_key, number=minute + 1)
    count(old + 61 * MINUTE, 7, "failed", 5)
    count(recent, 7)
    before = sums()
    assert compact_all() == 9
    assert sums() == before
    rows = DeliveryCount.objects.order_by("pk").values_list("minute", "worker_key", "count")
    assert list(rows) == [(old, 0, 154), (old + 60 * MINUTE, 0, 5), (recent, 7, 1)]
    assert compact_all() == 0


def test_a_sweep_merges_minutes_once() -> None:
    old = hour_ago(4)
    count(old, 7)
    assert compact_all() == 1
    count(old + 2 * MINUTE, 7)  # it was compacted already, so nothing can be added there
    assert compact_all() == 0
    assert sums() == {"sent": 2}


def test_counts_are_deleted_after_their_retention() -> None:
    days = get_conf().count_retention / 86_400
    for hours in (3, 2, 1):
        count(hour_ago(days) - hours * 60 * MINUTE, 0)
    kept = hour_ago(days - 1)
    count(kept, 0)
    for _ in range(3):
        assert old_counts.delete_old(USING) == 1  # an hour
    assert old_counts.delete_old(USING) == 0
    assert list(DeliveryCount.objects.values_list("minute", flat=True)) == [kept]


def test_a_group_is_deleted_with_its_counts_unless_a_recipient_is_in_it() -> None:
    unused, used, recent = (NormalizedReply(550, "", word) for word in ("one", "two", "three"))
    store([(group, FailureKind.UNKNOWN) for group in (unused, used, recent)], USING)
    long_ago = hour_ago(200)
    ReplyGroup.objects.exclude(pk=recent.key).update(last_seen_at=long_ago)
    queue(account())
    Recipient.objects.update(reply_key=used.key)
    count(long_ago, 0)
    old_counts.delete_old(USING)
    assert set(ReplyGroup.objects.values_list("text", flat=True)) == {"two", "three"}

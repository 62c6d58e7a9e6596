"""What operators see of the whole outbox, each in a fixed number of queries."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox.api import operations
from outbox.db.clock import database_now
from outbox.delivery import snapshot
from outbox.mail.reply_kinds import kind_of_reply
from outbox.mail.server_replies import FailureKind, NormalizedReply, normalized_reply
from outbox.models import Circuit, Destination, HostCheck, Recipient, Slot
from outbox.models.delivery_count import CountKey, add
from outbox.models.reply_group import store
from outbox.reasons import Reason, ReasonCode
from tests.integration.delivery.mail_client import (
    USING,
    a_worker,
    account,
    destination,
    end_lease,
    queue,
    queue_many,
    reserve,
)

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
UNKNOWN = (550, "5.1.1", "5.1.1 <bob@example.net>: User unknown in table 17")
BLOCKED = (554, "5.7.1", "5.7.1 Client host blocked using zen.spamhaus.org")


def this_minute() -> dt.datetime:
    return database_now().replace(second=0, microsecond=0)


def count(outcome: str, number: int, *, ago: int = 0, group: int = 0, worker: int = 1) -> None:
    minute = this_minute() - ago * MINUTE
    add({CountKey(minute, worker, 1, "example.net", outcome, group): number}, USING)


def group(reply: tuple[int, str, str]) -> int:
    store([(normalized_reply(*reply), kind_of_reply(*reply))], USING)
    return normalized_reply(*reply).key


def test_the_throughput_adds_up_workers_and_has_no_gaps() -> None:
    count("sent", 5, ago=2, worker=1)
    count("sent", 6, ago=2, worker=2)
    count("failed", 1, ago=2)
    count("expired", 2, ago=2)
    count("deferred", 4, ago=1)
    count("sent", 9, ago=50)
    points = operations.throughput(10)
    assert [point.at for point in points[1:]] == [point.at + MINUTE for point in points[:-1]]
    by_minute = {point.at: point for point in points if point.sent or point.deferred}
    first, second = by_minute.values()
    assert (first.sent, first.failed, second.deferred) == (11, 3, 4)


@pytest.mark.parametrize("minutes", [60, 24 * 60, 7 * 24 * 60, 90 * 24 * 60])
def test_a_longer_time_has_longer_intervals_with_the_same_sum(minutes: int) -> None:
    count("sent", 5, ago=2)
    count("sent", 6, ago=minutes - 2)
    points = operations.throughput(minutes)
    assert sum(point.sent for point in points) == 11
    assert len(points) <= 152


@pytest.mark.every_database
def test_the_database_adds_up_the_minutes_of_an_interval() -> None:
    for ago in range(50):
        count("sent", 2, ago=ago, worker=1 + ago % 2)
    with CaptureQueriesContext(connection) as queries:
        points = operations.throughput(7 * 24 * 60)
    assert sum(point.sent for point in points) == 100
    with connection.cursor() as cursor:
        cursor.execute(queries[-1]["sql"])
        assert len(cursor.fetchall()) <= 2  # an hour may have begun in between


def test_the_failure_rate_compares_what_ended() -> None:
    assert operations.failure_rate(60).share is None
    count("sent", 6, ago=1)
    count("failed", 1, ago=1)
    count("expired", 1, ago=1)
    count("deferred", 100, ago=1)
    rate = operations.failure_rate(60)
    assert (rate.sent, rate.failed, rate.share) == (6, 2, 0.25)


def test_a_bounce_is_a_failure_of_a_recipient_that_was_sent_to() -> None:
    count("bounced", 3, ago=1)
    rate = operations.failure_rate(60)
    assert (rate.failures, rate.ended, rate.share) == (3, 3, 1), "sent before the time"
    count("sent", 8, ago=1)
    count("failed", 2, ago=1)
    rate = operations.failure_rate(60)
    assert (rate.failures, rate.ended, rate.share) == (5, 10, 0.5)


def test_failures_are_grouped_by_reply_and_of_one_kind() -> None:
    unknown, blocked = group(UNKNOWN), group(BLOCKED)
    lost = NormalizedReply(0, "", ReasonCode.CONNECT_TIMEOUT)
    store([(lost, FailureKind.INFRASTRUCTURE)], USING)
    count("failed", 3, ago=5, group=unknown)
    count("failed", 2, ago=1, group=unknown, worker=2)
    count("deferred", 4, ago=2, group=blocked)
    count("uncertain", 1, ago=2, group=lost.key)
    count("sent", 50, ago=2)
    count("failed", 99, ago=90, group=blocked)
    found = operations.failures_by_reply(database_now() - 60 * MINUTE)
    assert [(one.key, one.count) for one in found] == [(unknown, 5), (blocked, 4), (lost.key, 1)]
    first, _, last = found
    assert (first.code, first.enhanced, first.failed) == (550, "5.1.1", 5)
    assert (first.text, first.kind) == ("…: user unknown in table …", FailureKind.RECIPIENT)
    assert first.last_at - first.first_at == 4 * MINUTE
    assert (last.code, last.uncertain) == (None, 1)
    assert last.text == "No connection was established within … seconds."
    ours = operations.failures_by_reply(
        database_now() - 60 * MINUTE, kind=FailureKind.INFRASTRUCTURE
    )
    assert [one.key for one in ours] == [blocked, lost.key]


def test_the_queue_is_the_last_snapshot() -> None:
    assert operations.queue() is None
    queue(account(), "a@qq.com", "b@foxmail.com", "c@example.net")
    snapshot.refresh(USING)
    queue(account(26))
    found = operations.queue()
    assert found is not None
    assert (found.depth, found.due, found.by_state) == (3, 3, {"queued": 3})
    assert {row.name: row.total for row in found.by_domain} == {
        "qq.com": 1, "foxmail.com": 1, "example.net": 1,
    }  # fmt: skip
    assert [(row.name, row.ages[0], row.total) for row in found.by_provider] == [("QQ Mail", 2, 2)]
    assert len(found.by_domain[0].ages) == len(found.age_limits) + 1
    assert 0 <= found.backlog_seconds < 60


def test_the_forecast_states_its_assumption() -> None:
    assert operations.drain_forecast() is None
    queue_many(account(), 6)
    snapshot.refresh(USING)
    unknown = operations.drain_forecast()
    assert unknown is not None
    assert (unknown.due, unknown.finished_at) == (6, None)
    assert "no forecast" in unknown.assumption
    count("sent", 20, ago=3)
    count("deferred", 700, ago=3)  # they come back
    forecast, taken = operations.drain_forecast(), operations.queue()
    assert forecast is not None
    assert taken is not None
    assert forecast.per_minute == 2
    assert forecast.finished_at == taken.at + 3 * MINUTE
    assert "10 minutes, 2 recipients per minute" in forecast.assumption


def test_a_destination_shows_its_limits_and_why_it_waits() -> None:
    sender = account(per_minute=10, per_day=100, from_address="shop@qq.com")
    queue_many(sender, 2)
    closed, blocked = destination(sender), destination(account(26))
    reserve(closed, 4)
    Slot.objects.create(destination=closed, number=1, worker=a_worker())
    until = database_now() + 5 * MINUTE
    Destination.objects.filter(pk=blocked.pk).update(
        circuit=Circuit.OPEN,
        circuit_until=until,
        circuit_reason=Reason(ReasonCode.CONNECTION_REFUSED),
        circuit_needs_person=True,
    )
    snapshot.refresh(USING)
    first, second = operations.destinations()
    assert (first.destination_id, first.circuit, first.needs_person) == (blocked.pk, "open", True)
    assert first.blocked_by is not None
    assert first.blocked_by.until == until
    assert "No server is listening" in first.blocked_by.sentence
    assert (first.minute_left, first.day_left, first.provider) == (None, None, "")
    assert (second.connections, second.connections_allowed) == (1, 10)
    assert (second.minute_left, second.day_left, second.provider) == (6, 96, "QQ Mail")
    assert (second.waiting, second.due, second.blocked_by) == (2, 2, None)


def test_a_limit_per_minute_that_has_passed_is_free_again() -> None:
    sender = account(per_minute=10)
    queue(sender)
    reserve(destination(sender), 4)
    Destination.objects.update(minute_started_at=database_now() - 2 * MINUTE)
    (state,) = operations.destinations()
    assert state.minute_left == 10


def test_workers_that_run_or_ended_lately_are_shown() -> None:
    alive, dead = a_worker(), a_worker()
    end_lease(dead)
    gone = a_worker()
    type(gone).objects.filter(pk=gone.pk).update(ended_at=database_now() - 120 * MINUTE)
    moment = database_now()
    HostCheck.objects.create(host="here", swept_at=moment, beat_at=moment - MINUTE)
    HostCheck.objects.create(host="there", swept_at=moment - MINUTE)
    report = operations.workers()
    assert (report.swept_at, report.beat_seen_at) == (moment, moment - MINUTE)
    found = report.workers
    assert [(one.worker_id, one.is_alive) for one in found] == [(dead.pk, False), (alive.pk, True)]
    assert (found[0].host, found[0].pid) == ("here", 1)


def test_recipients_are_found_by_the_words_of_the_reply() -> None:
    unknown, blocked = group(UNKNOWN), group(BLOCKED)
    first, second = queue_many(account(), 2)
    Recipient.objects.filter(message=first).update(reply_key=unknown, reply_code=550)
    Recipient.objects.filter(message=second).update(reply_key=blocked, reply_code=554)
    assert [one.pk for one in operations.replies_with_words("USER unkn")] == [unknown]
    assert operations.replies_with_words("user blocked") == []
    assert operations.replies_with_words(" ") == []
    both = operations.recipients_of_reply([unknown, blocked])
    assert list(both.values_list("message_id", flat=True)) == [second.pk, first.pk]


# The queries of each, besides the one that PostgreSQL is asked for the time with.
READS: dict[str, tuple[Callable[[], object], int]] = {
    "throughput": (lambda: operations.throughput(60), 1),
    "failure_rate": (lambda: operations.failure_rate(60), 1),
    "failures_by_reply": (lambda: operations.failures_by_reply(database_now() - 60 * MINUTE), 2),
    "queue": (operations.queue, 1),
    "drain_forecast": (operations.drain_forecast, 2),
    "destinations": (operations.destinations, 4),
    "workers": (operations.workers, 2),
    "replies_with_words": (lambda: operations.replies_with_words("user unknown"), 1),
}


@pytest.mark.parametrize("name", READS)
def test_each_takes_a_fixed_number_of_queries(name: str) -> None:
    read, number = READS[name]
    for port in (25, 26, 27):
        queue_many(account(port), 2)
        a_worker()
        count("failed", 1, ago=port - 24, group=group((550, "", "x" * port)))
    snapshot.refresh(USING)
    with CaptureQueriesContext(connection) as asked:
        read()
    queries = [one["sql"] for one in asked if "clock_timestamp" not in one["sql"]]
    assert len(queries) == number

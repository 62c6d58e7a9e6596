"""Every outcome is counted once, in rows of the worker that wrote it."""

import pytest
from django.db.models import Sum

from outbox.db.clock import database_now
from outbox.delivery import record
from outbox.delivery.failure_groups import FailureGroups
from outbox.delivery.job import Job, Result
from outbox.delivery.sweep import sweep
from outbox.delivery.verdict import Verdict
from outbox.mail.server_replies import normalized_reply
from outbox.models import (
    DeliveryCount,
    DeliveryTotal,
    Outcome,
    ReplyGroup,
    ReplyKind,
    State,
    reply_group,
)
from outbox.models.reply_group import with_words
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp import Reply
from tests.integration.delivery.mail_client import (
    USING,
    a_worker,
    account,
    claim_due,
    claimed,
    claimed_by_dead_worker,
    queue,
    queue_many,
    row,
    states,
)

pytestmark = pytest.mark.django_db

OK = Verdict(state=State.SENT, reply=Reply(250, "2.0.0", "2.0.0 ok"), command="DOT")
UNKNOWN = Reply(550, "5.1.1", "5.1.1 <bob@example.net>: User unknown in table 17")
GROUP = normalized_reply(550, "5.1.1", UNKNOWN.text).key
FAILED = Verdict(state=State.FAILED, reply=UNKNOWN, command="RCPT")
LOST = Reason(ReasonCode.ATTEMPTS_FAILED, attempts=2, why=Reason(ReasonCode.CONNECTION_RESET))


def ended(job: Job, *verdicts: Verdict) -> Result:
    return Result(job=job, verdicts=list(verdicts) or [OK], outcome=Outcome.SENT)


def deferred(reply: Reply | None = None, reason: Reason = NO_REASON) -> Verdict:
    return Verdict(state=State.DEFERRED, reply=reply, reason=reason, next_attempt_at=database_now())


def counted() -> dict[str, int]:
    """Return the sums by outcome, which are the same in the counts and in the totals."""
    counts, totals = (
        dict(model.objects.order_by().values_list("outcome").annotate(Sum("count")))
        for model in (DeliveryCount, DeliveryTotal)
    )
    assert counts == totals
    return counts


def test_a_commit_adds_to_the_rows_of_its_worker_account_and_domain() -> None:
    sender, worker = account(), a_worker()
    queue_many(sender, 3)
    queue(sender, "joe@EXAMPLE.org", "eve@example.net")
    jobs = claim_due(sender, worker)
    record.write([ended(job) for job in jobs[:3]], USING)
    record.write([ended(jobs[3], OK, FAILED)], USING)
    keys = ("worker_key", "account_key", "domain", "outcome", "reply_key")
    found = DeliveryCount.objects.values_list(*keys).annotate(Sum("count")).order_by(*keys)
    assert list(found) == [
        (worker.pk, sender.pk, "example.net", "failed", GROUP, 1),
        (worker.pk, sender.pk, "example.net", "sent", 0, 3),
        (worker.pk, sender.pk, "example.org", "sent", 0, 1),
    ]
    now = database_now()
    minutes = DeliveryCount.objects.values_list("minute", flat=True)
    assert all(0 <= (now - minute).total_seconds() < 120 for minute in minutes)
    assert {(minute.second, minute.microsecond) for minute in minutes} == {(0, 0)}


@pytest.mark.parametrize("number", [1, 2], ids=["the only recipient", "one of two"])
def test_a_commit_that_is_repeated_counts_once(number: int) -> None:
    """The connection broke while the database confirmed it, so that the recorder writes again."""
    job = claimed(queue(account(), *(f"bob{i}@example.net" for i in range(number))))
    for _ in range(3):
        record.write([ended(job, *[FAILED] * number)], USING)
    assert counted() == {"failed": number}


@pytest.mark.parametrize("number", [1, 2], ids=["the only recipient", "one of two"])
def test_the_result_of_a_worker_that_lost_its_lease_counts_nothing(number: int) -> None:
    message = queue(account(), *(f"bob{i}@example.net" for i in range(number)))
    job = claimed_by_dead_worker(message)
    sweep(USING)
    record.write([ended(job, *[OK] * number)], USING)
    assert counted() == {}
    record.write([ended(claimed(message), *[OK] * number)], USING)
    assert counted() == {"sent": number}


def test_two_workers_write_rows_of_their_own() -> None:
    sender = account()
    queue_many(sender, 2)
    results = [ended(claim_due(sender, a_worker(), limit=1)[0]) for _ in range(2)]
    for result in results:
        record.write([result], USING)
    assert DeliveryCount.objects.values("worker_key").distinct().count() == 2
    assert counted() == {"sent": 2}


def test_a_recipient_that_is_given_back_is_not_counted() -> None:
    again = Verdict(state=State.QUEUED, next_attempt_at=database_now(), counts=False)
    message = queue(account())
    record.write([ended(claimed(message), again)], USING)
    assert states(message) == [State.QUEUED]
    assert counted() == {}


def test_a_failure_without_a_reply_is_counted_by_its_innermost_reason() -> None:
    message = queue(account())
    record.write([ended(claimed(message), deferred(reason=LOST))], USING)
    group = ReplyGroup.objects.get(pk=DeliveryCount.objects.get().reply_key)
    assert (group.code, group.text) == (0, ReasonCode.CONNECTION_RESET)
    assert group.kind == ReplyKind.INFRASTRUCTURE
    assert row(message).reply_key is None  # there was no reply


def test_a_recipient_is_in_the_group_of_its_last_reply() -> None:
    message = queue(account())
    record.write([ended(claimed(message), deferred(UNKNOWN))], USING)
    assert row(message).reply_key == GROUP
    group = ReplyGroup.objects.get()
    assert (group.pk, group.code, group.enhanced) == (GROUP, 550, "5.1.1")
    assert (group.text, group.kind) == ("…: user unknown in table …", ReplyKind.RECIPIENT)
    record.write([ended(claimed(message), deferred(reason=LOST))], USING)
    assert row(message).reply_key == GROUP  # a broken connection says nothing new
    record.write([ended(claimed(message))], USING)
    assert row(message).reply_key is None


def test_a_group_is_found_by_the_words_of_its_reply() -> None:
    record.write([ended(claimed(queue(account())), FAILED)], USING)
    assert with_words([("user", "unknown")]).get().pk == GROUP
    assert with_words([("unkn",), ("table",)]).get().pk == GROUP
    assert not with_words([("unknown", "user")]).exists()


def test_a_process_stores_a_group_once() -> None:
    groups = FailureGroups()
    first, second = queue_many(account(), 2)
    record.write([ended(claimed(first), FAILED)], USING, groups)
    ReplyGroup.objects.all().delete()
    record.write([ended(claimed(second), FAILED)], USING, groups)
    assert not ReplyGroup.objects.exists()


def test_replies_for_which_there_is_no_room_are_grouped_by_their_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reply_group, "MAX_GROUPS", 1)
    groups = FailureGroups()
    messages = queue_many(account(), 4)
    for message, word in zip(messages, ("one", "two", "three", "two"), strict=True):
        verdict = Verdict(state=State.FAILED, reply=Reply(554, "5.0.0", f"5.0.0 {word}"))
        record.write([ended(claimed(message), verdict)], USING, groups)
    assert set(ReplyGroup.objects.values_list("code", "text")) == {(554, "… one"), (554, "")}
    assert {
        row(message, f"bob{n}@example.net").reply_key for n, message in enumerate(messages)
    } == set(ReplyGroup.objects.values_list("pk", flat=True))

"""Pausing a tag: its messages wait, those queued later too, and the others are delivered."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outbox import api
from outbox.db.clock import database_now
from outbox.delivery import claim, due, limits, paused_tags
from outbox.delivery.job import Job
from outbox.delivery.sweep import Swept, sweep
from outbox.models import AuditEntry, Message, Pause, Recipient, State
from outbox.models.pause import LOOKED_AT_EVERY
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
    row,
    states,
    until,
)
from tests.states import set_state

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]

HOUR = dt.timedelta(hours=1)
NEWS = ["news"]


def all_states(messages: list[Message]) -> list[str]:
    return [state for message in messages for state in states(message)]


def ids_of(jobs: list[Job]) -> set[int]:
    return {job.message_id for job in jobs}


def test_its_messages_wait_and_the_others_are_claimed() -> None:
    sender = account()
    queue_many(sender, 3, tags=NEWS)
    others = [queue(sender), queue(sender, tags=["newsletter"]), queue(sender, tags=["News"])]
    paused = api.pause(tag="news", reason="Wrong list")
    later = queue(sender, tags=["shop", "news"])

    assert ids_of(claim_due(sender)) == {one.pk for one in others}
    assert claim_due(sender) == []
    assert set(states(later)) == {State.QUEUED}
    assert limits.due_destinations(USING) == []  # no worker looks at them again and again
    assert api.resume(paused)
    assert not api.resume(paused)
    assert len(claim_due(sender)) == 4


def test_it_ends_by_itself() -> None:
    sender = account()
    message = queue(sender, tags=NEWS)
    end = database_now() + HOUR
    api.pause(tag="news", reason="Maintenance", until=end)
    assert claim_due(sender) == []
    assert row(message).next_attempt_at == end
    assert due.waiting(USING) == {destination(sender).pk: end}

    past = database_now()
    Pause.objects.update(until=past)
    Recipient.objects.update(next_attempt_at=past)
    assert len(claim_due(sender)) == 1
    assert sweep(USING).returned == 0
    assert Pause.objects.get().ended_at == past  # so that claims do not read it any more


def test_it_is_looked_at_again_each_hour() -> None:
    sender = account()
    message = queue(sender, tags=NEWS)
    paused = api.pause(tag="news", reason="Wrong list")
    assert claim_due(sender) == []
    created = Pause.objects.get().created_at
    assert row(message).next_attempt_at == created + LOOKED_AT_EVERY
    assert paused.next_look(created + 3 * HOUR) == created + 4 * HOUR

    Recipient.objects.update(next_attempt_at=database_now())
    assert claim_due(sender) == []
    assert row(message).next_attempt_at == created + LOOKED_AT_EVERY


@pytest.mark.parametrize("is_long", [False, True])
def test_of_two_pauses_the_one_that_ends_last_counts(is_long: bool) -> None:
    sender = account()
    message = queue(sender, tags=["shop", "news"])
    end = database_now() + 9 * HOUR
    paused = api.pause(tag="news", reason="Wrong list", until=end)
    api.pause(tag="shop", reason="Closed", until=end + (HOUR if is_long else -HOUR))
    assert claim_due(sender) == []
    assert row(message).next_attempt_at == (end + HOUR if is_long else end)

    api.resume(paused)
    assert claim_due(sender) == []  # the other one still lasts
    assert row(message).next_attempt_at == end + (HOUR if is_long else -HOUR)


def test_resuming_moves_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = account()
    end = (database_now() + HOUR).replace(microsecond=0)
    scheduled = queue(sender, tags=NEWS, send_at=end)
    other = queue(sender, tags=["shop"])
    deferred = queue(sender, tags=NEWS)
    set_state(deferred.recipients.all(), State.DEFERRED, next_attempt_at=end + HOUR)
    waiting = queue_many(sender, 5, tags=NEWS)
    paused = api.pause(tag="news", reason="Wrong list", until=end)
    api.pause(tag="shop", reason="Closed", until=end)
    assert claim_due(sender) == []

    monkeypatch.setattr(paused_tags, "_AT_ONCE", 2)
    assert api.resume(paused)
    assert len(claim_due(sender)) == 2
    assert sweep(USING) == Swept(returned=3)
    assert sweep(USING) == Swept()
    assert ids_of(claim_due(sender)) <= {one.pk for one in waiting}
    assert set(states()) == {State.SENDING, State.QUEUED, State.DEFERRED}
    assert row(scheduled).next_attempt_at == end
    assert row(other).next_attempt_at == end
    assert row(deferred).next_attempt_at == end + HOUR


@pytest.mark.system
@pytest.mark.parametrize("tag", ["news", "shop"])
def test_what_another_pause_stops_until_the_same_time_is_not_returned(
    tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the sweep makes it due and claims postpone it, again and again."""
    sender = account()
    end = (database_now() + HOUR).replace(microsecond=0)
    paused = api.pause(tag="news", reason="Wrong list", until=end)
    queue_many(sender, 5, tags=["news", "shop"])
    assert claim_due(sender) == []
    monkeypatch.setattr(paused_tags, "_AT_ONCE", 2)
    assert api.resume(paused)
    again = api.pause(tag=tag, reason="Wrong text", until=end)
    assert claim_due(sender) == []
    assert sweep(USING) == Swept()
    assert limits.due_destinations(USING) == []

    assert api.resume(again)
    while sweep(USING) != Swept():
        pass
    assert sum(len(claim_due(sender)) for _ in range(3)) == 5


def test_a_later_pause_that_ends_earlier_sets_the_time() -> None:
    sender = account()
    message = queue(sender, tags=NEWS)
    end = (database_now() + 2 * HOUR).replace(microsecond=0)
    paused = api.pause(tag="news", reason="Wrong list", until=end)
    assert claim_due(sender) == []
    Pause.objects.filter(pk=paused.pk).update(ended_at=database_now(), is_returning=True)
    api.pause(tag="news", reason="Wrong text", until=end - HOUR)
    assert sweep(USING) == Swept(returned=1)
    assert claim_due(sender) == []
    assert row(message).next_attempt_at == end - HOUR
    assert sweep(USING) == Swept()


def test_a_running_worker_returns_them_and_continues(fault_lab: StartLab) -> None:
    lab = fault_lab("at mail: late 60")
    sender = account_at(lab, max_connections=1)
    queue(sender)
    others, messages = queue_many(sender, 2), queue_many(sender, 4, tags=NEWS)
    with Working() as working:
        until(lambda: State.SENDING in all_states(messages), "some with the tag are claimed")
        paused = api.pause(tag="news", reason="Wrong list")
        working.engine.wake()
        until(lambda: set(all_states(messages)) == {State.QUEUED}, "they were returned")
        assert set(all_states(others)) == {State.SENDING}
        lab.skip_delays()
        until(all_in(State.SENT, others), "the others were sent")
        assert set(all_states(messages)) == {State.QUEUED}
        assert api.resume(paused)
        working.engine.wake()
        until(all_in(State.SENT, messages), "all were sent")


def test_many_in_front_do_not_delay_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paused_tags, "_POSTPONED_AT_ONCE", 40)
    sender = account()
    queue_many(sender, 100, tags=NEWS)
    other = queue(sender)
    api.pause(tag="news", reason="Wrong list")

    assert ids_of(claim_due(sender, limit=10)) == {other.pk}


def test_one_claim_postpones_a_limited_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claims for all other destinations of the worker wait for it."""
    monkeypatch.setattr(paused_tags, "_POSTPONED_AT_ONCE", 5)
    sender, worker = account(), a_worker()
    queue_many(sender, 20, tags=NEWS)
    other = queue(sender)
    api.pause(tag="news", reason="Wrong list")
    read: list[int] = []
    lock = due.DueAt.lock

    def counting(at: due.DueAt, limit: int, after_sender: int) -> list[due.DueRecipient]:
        rows = lock(at, limit, after_sender)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(due.DueAt, "lock", counting)
    number = 0
    while True:
        claimed = claim.claim(
            destination_id=destination(sender).pk,
            worker_id=worker.pk,
            limit=2,
            after_sender=0,
            using=USING,
        )
        if not claimed.is_cut_short:
            break
        number += 1
        assert claimed.jobs == []
        postponed = Recipient.objects.filter(next_attempt_at__gt=database_now())
        assert postponed.count() == 5 * number
        assert read == [2, 5]
        read.clear()
    assert number == 4
    assert ids_of(claimed.jobs) == {other.pk}


def test_a_worker_that_meets_many_does_not_wait_for_a_poll(
    fault_lab: StartLab, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    monkeypatch.setattr(paused_tags, "_POSTPONED_AT_ONCE", 2)
    settings.OUTBOX = {**settings.OUTBOX, "POLL_INTERVAL": 3_600}
    sender = account_at(fault_lab(""))
    messages, other = queue_many(sender, 12, tags=NEWS), queue(sender)
    api.pause(tag="news", reason="Wrong list")
    with Working():
        until(all_in(State.SENT, [other]), "the other one is sent")
    assert set(all_states(messages)) == {State.QUEUED}


def test_a_lifetime_still_ends() -> None:
    sender = account()
    message = queue(sender, tags=NEWS)
    api.pause(tag="news", reason="Wrong list")
    assert claim_due(sender) == []
    Recipient.objects.update(expires_at=database_now())

    assert sweep(USING) == Swept(expired=1)
    assert states(message) == [State.EXPIRED]


def test_a_person_can_still_cancel_and_hold() -> None:
    sender = account()
    first, second = queue_many(sender, 2, tags=NEWS)
    paused = api.pause(tag="news", reason="Wrong list")
    assert claim_due(sender) == []
    api.cancel(first)
    api.hold(second)

    api.resume(paused)
    assert claim_due(sender) == []
    assert [states(first), states(second)] == [[State.CANCELLED], [State.HELD]]


def test_the_message_page_names_the_tag() -> None:
    anna = User.objects.create_user("anna")
    sender = account()
    message = queue(sender, tags=["shop", "news"])
    scheduled = queue(sender, tags=NEWS, send_at=database_now() + HOUR)
    api.pause(tag="news", reason="The list was wrong", actor=anna)
    sentence = "Paused by anna until delivery is resumed, with the tag “news”: The list was wrong."
    assert api.explain(message).sentence == sentence
    assert claim_due(sender) == []
    explained = api.explain(message)
    assert (explained.sentence, explained.until) == (sentence, None)
    assert api.explain(scheduled).sentence.startswith("Scheduled for ")

    Message.objects.filter(pk=scheduled.pk).update(send_at=database_now())
    scheduled.refresh_from_db()
    assert api.explain(scheduled).sentence == sentence
    end = database_now() + HOUR
    Pause.objects.update(until=end)
    explained = api.explain(message)
    assert explained.sentence.startswith("Paused by anna until ")
    assert "with the tag “news”" in explained.sentence
    assert explained.until == end
    assert "news" not in api.explain(queue(sender)).sentence


def test_the_audit_log_has_both() -> None:
    anna = User.objects.create_user("anna")
    api.resume(api.pause(tag="news", reason="Wrong list", actor=anna), actor=anna)

    found = AuditEntry.objects.filter(action__in=["paused", "resumed"]).order_by("pk")
    assert [(one.action, one.actor_name, one.target_name) for one in found] == [
        ("paused", "anna", "tag news"),
        ("resumed", "anna", "tag news"),
    ]


def test_a_tag_and_an_account_are_two_pauses() -> None:
    with pytest.raises(ValueError, match="Pause a tag, or"):
        api.pause(account(), tag="news", reason="Why")
    assert not Pause.objects.exists()


def test_the_command_pauses_and_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    sender = account()
    queue(sender, tags=NEWS)
    call_command("outbox_pause", reason="Wrong list", tag="news")
    assert claim_due(sender) == []
    call_command("outbox_pause", resume=True)
    call_command("outbox_pause", resume=True, tag="shop")
    assert claim_due(sender) == []
    call_command("outbox_status")
    call_command("outbox_pause", resume=True, tag="news")
    assert len(claim_due(sender)) == 1
    printed = capsys.readouterr().out
    assert "tag “news” paused until it is resumed: Wrong list" in printed
    assert "tag “news”, since " in printed
    with pytest.raises(CommandError):
        call_command("outbox_pause", "--tag=news", "--account=x", "--reason=Why")


def test_without_a_paused_tag_a_claim_asks_no_more_queries() -> None:
    sender, worker = account(), a_worker()
    queue(sender)
    claim_due(sender, worker)  # the first claim reads more
    before = queries_of(lambda: claim_due(sender, worker), sender)
    api.resume(api.pause(tag="news", reason="Over"))
    assert queries_of(lambda: claim_due(sender, worker), sender) == before


def queries_of(claim: Callable[[], object], sender: object) -> int:
    """Return the fewer queries of two claims: one may read what a process reads now and then."""
    counts = []
    for _ in range(2):
        queue(sender)  # type: ignore[arg-type]
        with CaptureQueriesContext(connection) as found:
            claim()
        counts.append(len(found))
    return min(counts)

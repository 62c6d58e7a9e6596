"""A bulk operation over a filter: what is in its set, what it skips, and what it records."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.api import bulk_actions
from outbox.api.bulk_actions import batch, operations, worker
from outbox.api.history.criteria import Criteria, still_matching
from outbox.api.message_actions import OPERATION_ACTIONS
from outbox.delivery.suppressed import hold_waiting
from outbox.models import (
    Account,
    Attempt,
    AuditAction,
    AuditEntry,
    BulkOperation,
    BulkPage,
    BulkSkip,
    Event,
    EventKind,
    Message,
    Recipient,
    Slot,
    Source,
    State,
    Status,
    Suppression,
    Worker,
    webhook,
)
from outbox.models.rollup import roll_up
from outbox.models.search import index_new
from outbox.reasons import Reason, ReasonCode
from tests.integration.api.conftest import Queue
from tests.integration.races import ONE_WRITER, committed_before
from tests.states import set_state

pytestmark = pytest.mark.django_db
USING = "default"
TOMORROW = dt.timedelta(days=1)


@pytest.fixture
def queue(queue: Queue) -> Queue:
    """Return the same function, which rolls up the state as a transition does."""

    def queue_message(*addresses: str, state: str = "") -> Message:
        message = queue(*addresses, state=state)
        with transaction.atomic():
            roll_up([message.pk], timezone.now(), USING)
        message.refresh_from_db()
        return message

    return queue_message


def propose(
    action: str, actor: User, criteria: Criteria | None = None, **given: Any
) -> BulkOperation:
    return bulk_actions.propose(
        OPERATION_ACTIONS[action], actor=actor, criteria=criteria, using=USING, **given
    )


def perform(operation: BulkOperation) -> BulkOperation:
    assert bulk_actions.confirm(operation, why="for a reason", using=USING)
    bulk_actions.run_bulk_operations(USING)
    operation.refresh_from_db()
    assert operation.finished_at is not None
    return operation


def states(*messages: Message) -> list[str]:
    ids = [message.pk for message in messages]
    found = Recipient.objects.filter(message__in=ids).order_by("message_id", "pk")
    return list(found.values_list("state", flat=True))


def test_the_set_is_what_matches_and_can_be_changed(ann: User, queue: Queue) -> None:
    failed = queue("a@example.net", "b@example.org", state=State.FAILED)
    sent = queue("c@example.net", state=State.SENT)
    other = queue("d@example.com", state=State.FAILED)
    index_new(USING, 10)
    operation = propose("retry", ann, {"domain": "example.net"}, selection="domain=example.net")
    assert [list(page.ids) for page in BulkPage.objects.all()] == [[failed.pk]]
    assert (operation.count, operation.states) == (1, {"failed": 2})
    assert operation.highest_id == failed.pk
    shown = bulk_actions.preview_of(operation, USING)
    assert shown.sentence == "1 message, 2 recipients: 2 failed."
    assert bulk_actions.examples(operation, USING) == [failed]
    done = perform(operation)
    assert states(failed, sent, other) == [State.QUEUED] * 2 + [State.SENT, State.FAILED]
    assert (done.done_count, done.changed_count, done.skips) == (1, 2, {})
    assert not BulkPage.objects.exists()


def test_the_audit_log_has_the_filter_and_the_counts(ann: User, queue: Queue) -> None:
    first, second = queue(state=State.FAILED), queue(state=State.FAILED)
    operation = propose("retry", ann, {"state": "failed"}, selection="state=failed")
    api.retry(second)
    perform(operation)
    began, ended = AuditEntry.objects.order_by("pk")
    assert (began.action, began.actor_name) == (AuditAction.BULK_ACTION, "ann")
    assert began.details == {
        "name": "retry",
        "messages": 2,
        "selection": "state=failed",
        "why": "for a reason",
    }
    assert (ended.action, ended.actor_name) == (AuditAction.BULK_ACTION_ENDED, "ann")
    assert ended.details == {
        "name": "retry",
        "messages": 1,
        "recipients": 1,
        "skipped": 1,
        "skipped_unmatched": 1,
    }
    assert states(first) == [State.QUEUED]


def test_a_message_that_begins_to_match_is_not_changed(ann: User, queue: Queue) -> None:
    held, waiting = queue(), queue()
    last = queue()
    api.hold(held)
    api.hold(last)
    operation = propose("release", ann, {"state": "held"})
    api.hold(waiting)
    perform(operation)
    assert states(held, waiting, last) == [State.QUEUED, State.HELD, State.QUEUED]


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("mark-sent", State.UNCERTAIN, State.SENT),
        ("retry-uncertain", State.UNCERTAIN, State.DEFERRED),
        ("release", State.HELD, State.QUEUED),
        ("retry", State.DEFERRED, State.DEFERRED),
        ("retry", State.EXPIRED, State.QUEUED),
        ("retry-failed", State.FAILED, State.QUEUED),
        ("hold", State.QUEUED, State.HELD),
        ("cancel", State.DEFERRED, State.CANCELLED),
    ],
)
def test_each_action_changes_what_the_single_action_changes(
    ann: User, queue: Queue, action: str, before: State, after: State
) -> None:
    """The same columns and events, whether one message is changed or many."""
    one, *many = (queue(f"a{number}@example.net", state=before) for number in range(4))
    OPERATION_ACTIONS[action].call(one, actor=ann, why="for a reason")
    done = perform(propose(action, ann, message_ids=[message.pk for message in many]))
    assert done.done_count == 3
    assert states(one, *many) == [after] * 4
    times = {"next_attempt_at", "final_at", "expires_at", "resend_at"}
    varying = {"id", "_state", "message_id", "address"} | times
    rows = []
    for row in Recipient.objects.order_by("pk"):
        set_times = {name for name in times if getattr(row, name) is not None}
        rows.append({k: v for k, v in vars(row).items() if k not in varying} | {"set": set_times})
    assert rows[1:] == [rows[0]] * 3
    events = Event.objects.order_by("pk").values_list(
        "kind", "from_state", "to_state", "actor", "why", "reason"
    )
    assert set(events.exclude(kind=EventKind.QUEUED)) == {events.exclude(kind="queued")[0]}
    assert events.exclude(kind=EventKind.QUEUED).count() == 4
    statuses = set(Message.objects.values_list("status", "folder", "has_failure"))
    assert len(statuses) == 1


def test_retry_of_failed_recipients_leaves_deferred_ones(ann: User, queue: Queue) -> None:
    message = queue("a@example.net", "b@example.net", state=State.FAILED)
    at = timezone.now() + TOMORROW
    deferred = message.recipients.filter(address="b@example.net")
    set_state(deferred, State.DEFERRED, next_attempt_at=at)
    roll_up([message.pk], timezone.now(), USING)
    perform(propose("retry-failed", ann, {"state": "failures"}))
    assert states(message) == [State.QUEUED, State.DEFERRED]
    assert deferred.get().next_attempt_at == at


def test_a_released_message_waits_for_its_time(ann: User, queue: Queue) -> None:
    at = timezone.now() + TOMORROW
    later, now = queue(), queue()
    Message.objects.filter(pk=later.pk).update(send_at=at)
    for message in (later, now):
        api.hold(message)
    perform(propose("release", ann, {"state": "held"}))
    assert later.recipients.get().next_attempt_at == at
    due = now.recipients.get().next_attempt_at
    assert due is not None
    assert due < at


def test_a_retry_starts_the_lifetime_again(ann: User, queue: Queue) -> None:
    message, other = queue(state=State.FAILED), queue(state=State.FAILED)
    queued_at = timezone.now() - 5 * TOMORROW
    lifetime = {"queued_at": queued_at, "expires_at": queued_at + TOMORROW}
    Message.objects.filter(pk=message.pk).update(**lifetime)
    Message.objects.filter(pk=other.pk).update(expires_at=None)
    perform(propose("retry", ann, message_ids=[message.pk, other.pk]))
    ends = message.recipients.get().expires_at
    assert ends is not None
    assert dt.timedelta() < ends - timezone.now() <= TOMORROW
    assert other.recipients.get().expires_at is None


# --- skips ----------------------------------------------------------------------------------------


def test_what_may_not_be_sent_any_more_is_skipped(
    ann: User, queue: Queue, account: Account
) -> None:
    messages = [queue(state=State.FAILED) for _ in range(2)]
    operation = propose("retry", ann, {"state": "failed"})
    Account.objects.filter(pk=account.pk).update(is_active=False)
    done = perform(operation)
    assert done.skips == {BulkSkip.ACCOUNT: 2}
    assert states(*messages) == [State.FAILED] * 2


def test_erased_content_is_skipped(
    ann: User, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    erased, kept = queue(state=State.FAILED), queue(state=State.FAILED)
    Message.objects.update(is_sensitive=True)
    Source.objects.filter(pk=erased.pk).delete()
    done = perform(propose("retry", ann, {"state": "failed"}))
    assert done.examples == [[erased.pk, BulkSkip.ERASED]]
    assert states(erased, kept) == [State.FAILED, State.QUEUED]
    assert "is repeated" not in caplog.text, "the batch was tried nonetheless"


def test_content_that_was_removed_or_redacted_is_not_sent_again(ann: User, queue: Queue) -> None:
    removed, redacted, kept = (queue(state=State.FAILED) for _ in range(3))
    Source.objects.filter(pk=removed.pk).delete()
    Source.objects.filter(pk=redacted.pk).update(is_redacted=True)
    done = perform(propose("retry", ann, {"state": "failed"}))
    assert done.skips == {BulkSkip.ERASED: 2}
    assert states(removed, redacted, kept) == [State.FAILED, State.FAILED, State.QUEUED]


def test_cancel_is_too_late_after_the_dot_is_marked(
    ann: User, queue: Queue, account: Account
) -> None:
    in_time, late = queue(state=State.SENDING), queue(state=State.SENDING)
    for message, marked_at in ((in_time, None), (late, timezone.now())):
        attempt = Attempt.objects.create(
            message=message, started_at=timezone.now(), dot_marked_at=marked_at
        )
        message.recipients.update(attempt=attempt)
    done = perform(propose("cancel", ann, {}))
    assert states(in_time, late) == [State.CANCELLED, State.SENDING]
    assert done.examples == [[late.pk, BulkSkip.TOO_LATE]]
    event = Event.objects.get(kind=EventKind.CANCEL_TOO_LATE)
    assert (event.message_id, event.actor_id, event.why) == (late.pk, ann.pk, "for a reason")
    assert Attempt.objects.get(message=in_time).ended_at is not None


def test_the_error_of_one_message_stops_no_other(
    ann: User, queue: Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [queue(state=State.FAILED) for _ in range(3)]
    # A time that no database can store: an error of this row only.
    far = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
    queued_at = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
    Message.objects.filter(pk=messages[1].pk).update(queued_at=queued_at, expires_at=far)
    done = perform(propose("retry", ann, {"state": "failed"}))
    assert states(*messages) == [State.QUEUED, State.FAILED, State.QUEUED]
    assert done.examples == [[messages[1].pk, BulkSkip.ERROR]]
    assert f"Message {messages[1].pk} was skipped" in caplog.text


@ONE_WRITER
@pytest.mark.django_db(transaction=True)
def test_a_message_that_is_claimed_during_the_repetition_of_a_batch_is_processed(
    ann: User, queue: Queue
) -> None:
    wrong, claimed, _other = messages = [queue() for _ in range(3)]
    operation = propose("cancel", ann, message_ids=[message.pk for message in messages])

    def claim() -> None:
        """Claim the message as a worker does, after its attempts were looked for."""
        attempt = Attempt.objects.create(message=claimed, started_at=timezone.now())
        set_state(Recipient.objects.filter(message=claimed), State.SENDING, attempt=attempt)

    with failing(wrong), committed_before(LOCK, claim, number=3):
        done = perform(operation)
    assert (done.done_count, done.examples) == (2, [[wrong.pk, BulkSkip.ERROR]])
    assert states(*messages) == [State.QUEUED, State.CANCELLED, State.CANCELLED]


LOCK = 'SELECT "outbox_recipient"."state" AS "state", "outbox_recipient"."attempt_id"'


@contextmanager
def failing(message: Message) -> Iterator[None]:
    """Make the database refuse events of this message."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE outbox_event ADD CONSTRAINT refused"
            f" CHECK (message_id <> {message.pk}) NOT VALID"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE outbox_event DROP CONSTRAINT refused")


def test_few_skipped_messages_are_named(
    ann: User, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_EXAMPLES_MAX", 2)
    messages = [queue(state=State.FAILED) for _ in range(3)]
    operation = propose("retry", ann, {"state": "failed"})
    for message in messages:
        api.retry(message)
    done = perform(operation)
    assert (done.skips, done.skipped_count, len(done.examples)) == ({"unmatched": 3}, 3, 2)


# --- suppress -------------------------------------------------------------------------------------


def test_suppress_adds_failed_recipients_to_the_list_of_the_account(
    ann: User, queue: Queue, account: Account
) -> None:
    unknown = {"reply_code": 550, "reply_enhanced": "5.1.1", "reply_text": "5.1.1 no such user"}
    gone = queue("Gone@example.net", state=State.FAILED)
    known = queue("known@example.net", state=State.FAILED)
    Recipient.objects.update(**unknown)
    api.suppress("known@example.net", account=account)
    broken = queue("ok@example.net", state=State.FAILED)
    broken.recipients.update(reason=Reason(ReasonCode.CONNECT_TIMEOUT, seconds=30))
    waiting = queue("gone@example.net")
    done = perform(propose("suppress", ann, {}))
    entry = Suppression.objects.get(folded="gone@example.net")
    assert (entry.account, entry.created_by) == (account, ann)
    assert "no such user" in entry.evidence
    assert done.skips == {BulkSkip.SUPPRESSED: 1, BulkSkip.OTHER_KIND: 1}
    assert (done.done_count, done.changed_count) == (1, 1)
    assert {known.pk, broken.pk} == {pk for pk, _reason in done.examples}
    assert states(gone) == [State.FAILED]
    hold_waiting(USING)
    assert states(waiting) == [State.HELD]


# --- bounds ---------------------------------------------------------------------------------------


def test_a_batch_takes_the_same_queries_for_any_number_of_messages(
    ann: User, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_CACHED_FOR", 3_600.0)
    webhook.wanted_states(USING)
    counts = []
    for number in (3, 30):
        messages = [queue(f"a{one}@example.net", state=State.FAILED) for one in range(number)]
        propose("retry", ann, message_ids=[message.pk for message in messages])
        operation = BulkOperation.objects.latest("pk")
        bulk_actions.confirm(operation, why="", using=USING)
        with CaptureQueriesContext(connection) as queries:
            bulk_actions.run_bulk_operations(USING)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_batch_has_a_limited_number_of_recipients(
    ann: User, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "RECIPIENTS_AT_ONCE", 3)
    messages = [queue(*(f"a{n}@example.net" for n in range(count))) for count in (2, 5, 1, 1)]
    claimed = propose("hold", ann, message_ids=[message.pk for message in messages])
    assert bulk_actions.confirm(claimed, why="", using=USING)
    operation = worker.claim(USING)
    assert operation is not None
    done = []
    while ids := list(worker._next_ids(operation, USING)):
        assert worker._process_batch(operation, ids, USING)
        done.append(operation.done_count)
    assert done == [1, 2, 4]


def test_suppressed_recipients_are_counted(ann: User, queue: Queue, account: Account) -> None:
    """A release sends to them all the same, so it counts those that are held for this reason."""
    other = Account.objects.create(name="x", from_address="x@example.com", host="mail.example.com")
    queue("a@example.net", "b@example.net", "c@example.net", "d@example.net", state=State.FAILED)
    api.suppress("A@example.net", account=account)
    api.suppress("b@example.net")
    api.suppress("c@example.net", account=other)
    counts = {
        action: bulk_actions.preview_of(propose(action, ann, {}), USING).suppressed_count
        for action in ("retry", "retry-failed", "suppress", "release")
    }
    assert counts == {"retry": 2, "retry-failed": 2, "suppress": 0, "release": 0}

    queue("a@example.net", "b@example.net")
    api.hold(queue("d@example.net"))  # the next claim after a release holds the message again
    for address in ("a@example.net", "b@example.net", "d@example.net"):
        api.suppress(address)  # which holds what waits
    found = bulk_actions.preview_of(propose("release", ann, {}), USING)
    assert (found.suppressed_count, found.is_release) == (2, True)


def test_recipients_of_a_large_set_are_not_counted(
    ann: User, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "COUNTED_MAX", 2)
    monkeypatch.setattr(operations, "_ON_A_PAGE", 2)
    messages = [queue(state=State.FAILED) for _ in range(3)]
    operation = propose("retry", ann, {"state": "failed"})
    assert BulkPage.objects.count() == 2
    assert bulk_actions.preview_of(operation, USING).sentence == "3 messages."
    assert bulk_actions.examples(operation, USING) == messages[2:]
    assert perform(operation).done_count == 3


def test_the_worker_pauses_while_messages_are_delivered(
    ann: User, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr("outbox.api.bulk_actions.worker.time.sleep", paused.append)
    perform(propose("cancel", ann, message_ids=[queue().pk]))
    assert paused == []
    recipient = queue().recipients.get()
    assert recipient.destination is not None
    now = timezone.now()
    connected = Worker.objects.create(
        host="h", pid=1, started_at=now, heartbeat_at=now, lease_until=now
    )
    Slot.objects.create(destination=recipient.destination, number=1, worker=connected)
    perform(propose("cancel", ann, message_ids=[recipient.message_id]))
    assert len(paused) == 1


def test_an_operation_of_an_earlier_version_is_performed(ann: User, queue: Queue) -> None:
    messages = [queue(), queue()]
    operation = BulkOperation.objects.create(
        action="cancel", actor=ann, count=2, message_ids=[message.pk for message in messages]
    )
    perform(operation)
    assert states(*messages) == [State.CANCELLED] * 2


def test_matching_is_checked_for_given_messages_only(queue: Queue) -> None:
    failed, sent = queue(state=State.FAILED), queue(state=State.SENT)
    Recipient.objects.filter(message=failed).update(reply_code=550, reply_enhanced="5.1.1")
    index_new(USING, 10)
    ids = [failed.pk, sent.pk]
    assert still_matching({"code": "5.1"}, ids) == {failed.pk}
    assert still_matching({"code": "5.1"}, [sent.pk]) == set()
    assert still_matching({"domain": "example.net", "state": "sent"}, ids) <= {sent.pk}
    assert still_matching({"code": "nonsense"}, ids) == set()
    today = timezone.now().date().isoformat()
    days = {"since": today, "until": today, "zone": "UTC"}
    assert still_matching(days, ids) == set(ids)
    assert still_matching({**days, "since": "9999-01-01", "zone": "Mars/Base"}, ids) == set()
    assert Message.objects.filter(pk__in=ids, status=Status.SENT).count() == 1

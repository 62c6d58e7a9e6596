"""Whatever makes a recipient fail marks its message, in the statement that writes the status."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.delivery import record
from outbox.delivery.job import Mark
from outbox.delivery.sweep import sweep
from outbox.delivery.verdict import Verdict
from outbox.models import FAILURES, Folder, Message, Recipient, State, Status
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Reply
from tests.integration.delivery.mail_client import (
    USING,
    account,
    claimed,
    claimed_by_dead_worker,
    queue,
)
from tests.integration.delivery.test_recording import ended

pytestmark = pytest.mark.django_db

REFUSED = Verdict(state=State.FAILED, reply=Reply(550, "5.1.1", "5.1.1 no such user"))
SENT = Verdict(state=State.SENT)


def later() -> Verdict:
    soon = timezone.now() + dt.timedelta(minutes=5)
    return Verdict(
        state=State.DEFERRED,
        reason=Reason(ReasonCode.SERVER_REPLY, reply="451 later"),
        next_attempt_at=soon,
    )


def flags(message: Message) -> tuple[bool, int, bool, bool]:
    """Return has_failure, failed_count, failure_unseen and failure_unreported."""
    return (
        Message.objects.filter(pk=message.pk)
        .values_list("has_failure", "failed_count", "failure_unseen", "failure_unreported")
        .get()
    )


NONE = (False, 0, False, False)


def rejected_by_the_server(message: Message) -> None:
    count = message.recipients.count()
    record.write([ended(claimed(message), *[REFUSED] * count)], USING)


def rejected_after_the_lease(message: Message) -> None:
    job = claimed_by_dead_worker(message)
    record.write([Mark(attempt_id=job.attempt_id)], USING)
    sweep(USING)
    record.write([ended(job, *[REFUSED] * len(job.recipients))], USING)


def expired_in_the_queue(message: Message) -> None:
    Recipient.objects.filter(message=message).update(expires_at=timezone.now())
    sweep(USING)


def marked_failed_by_a_person(message: Message) -> None:
    record.write(
        [ended(claimed(message), *[Verdict(state=State.UNCERTAIN)] * message.recipients.count())],
        USING,
    )
    assert flags(message) == NONE
    api.resolve_uncertain(message, State.FAILED)


@pytest.mark.parametrize("number", [1, 2], ids=["one recipient", "two recipients"])
@pytest.mark.parametrize(
    "fail",
    [
        rejected_by_the_server,
        rejected_after_the_lease,
        expired_in_the_queue,
        marked_failed_by_a_person,
    ],
)
def test_every_way_to_fail_is_marked(fail: Callable[[Message], None], number: int) -> None:
    message = queue(account(), *(f"bob{i}@example.net" for i in range(number)))
    assert flags(message) == NONE
    fail(message)
    assert set(message.recipients.values_list("state", flat=True)) <= set(FAILURES)
    assert flags(message) == (True, number, True, True)
    message.refresh_from_db()
    assert (message.status, message.folder) == (Status.FAILED, Folder.FAILED)


def test_a_rejection_is_in_failed_and_in_the_outbox_while_another_recipient_waits() -> None:
    message = queue(account(), "bob@example.net", "eve@example.net")
    record.write([ended(claimed(message), REFUSED, later())], USING)
    message.refresh_from_db()
    assert (message.status, message.folder) == (Status.DEFERRED, Folder.OUTBOX)
    assert flags(message) == (True, 1, True, True)
    for folder in (Folder.FAILED, Folder.OUTBOX):
        assert Message.objects.in_folder(folder).get() == message


def test_one_more_failure_is_unseen_again() -> None:
    message = queue(account(), "bob@example.net", "eve@example.net", "joe@example.net")
    record.write([ended(claimed(message), REFUSED, later(), later())], USING)
    Message.objects.update(failure_unseen=False, failure_unreported=False)
    Recipient.objects.update(next_attempt_at=timezone.now())
    record.write([ended(claimed(message), SENT, later())], USING)
    assert flags(message) == (True, 1, False, False)
    Recipient.objects.update(next_attempt_at=timezone.now())
    record.write([ended(claimed(message), REFUSED)], USING)
    assert flags(message) == (True, 2, True, True)


@pytest.mark.parametrize("number", [1, 2], ids=["one recipient", "two recipients"])
def test_a_retried_message_has_no_failure_until_it_fails_again(number: int) -> None:
    message = queue(account(), *(f"bob{i}@example.net" for i in range(number)))
    rejected_by_the_server(message)
    Message.objects.update(failure_unseen=False, failure_unreported=False)
    api.retry(message)
    assert flags(message) == NONE
    rejected_by_the_server(message)
    assert flags(message) == (True, number, True, True)
    assert set(message.recipients.values_list("attempts", flat=True)) == {2}


def test_a_message_whose_other_recipients_were_cancelled_has_no_failure() -> None:
    message = queue(account(), "bob@example.net", "eve@example.net")
    record.write([ended(claimed(message), SENT, later())], USING)
    api.cancel(message)
    message.refresh_from_db()
    assert (message.status, message.folder) == (Status.PARTIAL, Folder.SENT)
    assert flags(message) == NONE


@pytest.mark.skipif(
    connection.vendor == "postgresql", reason="a single statement there, which no log shows"
)
@pytest.mark.parametrize("verdict", [SENT, REFUSED], ids=["sent", "refused"])
def test_an_outcome_updates_the_message_once(verdict: Verdict) -> None:
    message = queue(account())
    job = claimed(message)
    with CaptureQueriesContext(connection) as queries:
        record.write([ended(job, verdict)], USING)
    updates = [one for one in queries.captured_queries if "UPDATE outbox_message" in one["sql"]]
    assert len(updates) == 1

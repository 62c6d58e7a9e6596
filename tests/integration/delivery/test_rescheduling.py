"""A scheduled message is changed while a worker claims it: exactly one of the two wins."""

import datetime as dt
import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from outbox import api
from outbox.db.packing import unpack
from outbox.delivery.job import Job
from outbox.exceptions import NotScheduledError
from outbox.models import Account, Attempt, Message, Recipient, Source, State, Status
from tests.integration.delivery.mail_client import a_worker, account, claim_due
from tests.shares import share

# Two threads, each with a connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 12
AHEAD = dt.timedelta(days=1)


def schedule(sender: Account, owner: User) -> Message:
    """Return a composed message whose time has come and that no worker has claimed."""
    share(sender, owner)
    fields = api.DraftFields(
        account=sender,
        to="bob@example.net, eve@example.net",
        subject="Race",
        text="Hello",
        send_at=timezone.now() + AHEAD,
    )
    message = api.send_draft(api.save_draft(owner, fields), actor=owner)
    assert message.status == Status.SCHEDULED
    Recipient.objects.filter(message=message).update(next_attempt_at=timezone.now())
    return message


def actions(owner: User) -> dict[str, Callable[[Message], object]]:
    return {
        "change time": lambda message: api.reschedule(message, timezone.now() + 2 * AHEAD),
        "send now": api.send_now,
        "edit": lambda message: api.return_to_drafts(message, actor=owner),
    }


def at_once(action: Callable[[], object], claim: Callable[[], list[Job]]) -> tuple[bool, list[Job]]:
    """Run both at the same moment; return whether the action was done, and what was claimed."""
    start = threading.Barrier(2)

    def acting() -> bool:
        try:
            start.wait()
            action()
        except NotScheduledError:
            return False
        finally:
            connection.close()
        return True

    def claiming() -> list[Job]:
        try:
            start.wait()
            return claim()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        done, jobs = pool.submit(acting), pool.submit(claiming)
        return done.result(), jobs.result()


@pytest.mark.parametrize("name", ["change time", "send now", "edit"])
def test_a_claim_and_an_action_at_the_same_moment(name: str) -> None:
    owner, sender, worker = User.objects.create_user("ann"), account(), a_worker()
    action = actions(owner)[name]
    won: Counter[str] = Counter()
    for _ in range(ROUNDS):
        message = schedule(sender, owner)
        done, jobs = at_once(
            lambda message=message: action(message),  # type: ignore[misc]  # binds the loop's value
            lambda: claim_due(sender, worker),
        )
        if name == "send now" and done and jobs:  # it was due at once, and claimed after that
            assert_source_matches(message, jobs)
        else:
            assert done != bool(jobs), "exactly one of the two wins"
        won["action" if done else "claim"] += 1
        assert_consistent(message, name, done=done, jobs=jobs)
        Message.objects.filter(pk=message.pk).delete()
    assert won  # either may win, but exactly one does


def assert_source_matches(message: Message, jobs: list[Job]) -> None:
    source = Source.objects.get(message=message)
    for job in jobs:
        assert job.source is not None
        assert unpack(job.source) == source.read()
        assert job.sha256 == source.sha256 == hashlib.sha256(source.read()).hexdigest()


def assert_consistent(message: Message, name: str, *, done: bool, jobs: list[Job]) -> None:
    message = Message.objects.get(pk=message.pk)
    recipients = Recipient.objects.filter(message=message)
    if jobs:
        # A claim skips a recipient that the action has locked. It stays due for the next claim.
        states = Counter(recipients.values_list("state", flat=True))
        assert states[State.SENDING] == sum(len(job.recipients) for job in jobs)
        skipped = recipients.filter(state=State.QUEUED, next_attempt_at__lte=timezone.now())
        assert states[State.SENDING] + skipped.count() == states.total() == 2
        assert_source_matches(message, jobs)
        return
    assert done
    assert not Attempt.objects.filter(message=message).exists()
    expected = {"change time": Status.SCHEDULED, "send now": Status.QUEUED, "edit": Status.DRAFT}
    assert message.status == expected[name]
    assert recipients.count() == (0 if name == "edit" else 2)


def test_a_claimed_message_is_not_changed() -> None:
    owner, sender = User.objects.create_user("ann"), account()
    message = schedule(sender, owner)
    [job] = claim_due(sender)
    for action in actions(owner).values():
        with pytest.raises(NotScheduledError):
            action(message)
    assert_source_matches(message, [job])

"""An address on the suppression list: a claim holds its recipients, and only a person sends."""

import datetime as dt
import threading
import time

import pytest
from django.db import connection, connections, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.api import subscriptions
from outbox.api.unsubscribing import Subscription
from outbox.db import clock
from outbox.delivery import suppressed, sweep
from outbox.exceptions import InvalidMessageError
from outbox.models import (
    Account,
    Attempt,
    AuditAction,
    AuditEntry,
    Event,
    EventKind,
    Message,
    Recipient,
    State,
    Status,
    Suppression,
    suppression,
)
from outbox.models.suppression import ERASED_ADDRESS, forget, in_force, keys_of
from outbox.reasons import Reason, ReasonCode
from tests.integration.delivery.mail_client import (
    BOB,
    USING,
    a_worker,
    account,
    claim_due,
    claimed,
    queue,
    row,
    states,
)
from tests.states import set_state

pytestmark = pytest.mark.django_db
HELD = Reason(ReasonCode.ADDRESS_SUPPRESSED, why=Reason(ReasonCode.SUPPRESSED_MANUALLY))


@pytest.fixture(autouse=True)
def _read_again() -> None:
    forget(USING)  # what a test before this one has read


def reason(message: Message) -> Reason:
    return message.recipients.get().reason


def test_a_suppressed_recipient_is_held_when_it_is_claimed() -> None:
    api.suppress(BOB)
    message = queue(account())
    assert claim_due(message.account) == []
    assert states(message) == [State.HELD]
    assert reason(message) == HELD
    message.refresh_from_db()
    assert message.status == Status.HELD
    event = Event.objects.get(message=message, kind=EventKind.HELD)
    assert (event.reason, event.actor) == (HELD, None)
    assert not Attempt.objects.exists()


def test_the_other_recipients_of_the_message_are_claimed() -> None:
    api.suppress(BOB)
    message = queue(account(), BOB, "eve@example.net")
    [job] = claim_due(message.account)
    assert [one.address for one in job.recipients] == ["eve@example.net"]
    assert states(message) == [State.HELD, State.SENDING]


def test_many_suppressed_recipients_do_not_stop_the_others() -> None:
    sender = account()
    api.suppress(BOB)
    for _ in range(5):
        queue(sender)
    other = queue(sender, "eve@example.net")
    [job] = claim_due(sender, limit=2)
    assert job.message_id == other.pk


@pytest.mark.parametrize(
    ("entry", "typed"),
    [
        ("bob@example.net", "BOB@Example.NET"),
        ("Bob@EXAMPLE.net", "bob@example.net"),
        ("bob@bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@xn--bcher-kva.example", "bob@bücher.example"),
        ("JÜRGEN@example.net", "jürgen@example.net"),
    ],
)
def test_the_spelling_of_an_address_does_not_count(entry: str, typed: str) -> None:
    api.suppress(entry)
    message = queue(account(), typed)
    assert claim_due(message.account) == []
    assert states(message) == [State.HELD]


def test_an_entry_of_one_account_leaves_the_others_alone() -> None:
    ours, theirs = account(25), account(26)
    api.suppress(BOB, account=ours)
    held, sent = queue(ours), queue(theirs)
    assert claim_due(ours) == []
    assert len(claim_due(theirs)) == 1
    assert (states(held), states(sent)) == ([State.HELD], [State.SENDING])


def test_an_expired_entry_holds_nothing() -> None:
    api.suppress(BOB, until=timezone.now() - dt.timedelta(seconds=1))
    assert len(claim_due(queue(account()).account)) == 1


def test_only_a_release_sends_to_a_suppressed_address() -> None:
    api.suppress(BOB)
    message = queue(account())
    claim_due(message.account)
    assert api.release(message, why="He asked for it") == 1
    assert reason(message).code == ReasonCode.SUPPRESSION_OVERRIDDEN
    event = Event.objects.get(message=message, kind=EventKind.RELEASED)
    assert (event.reason.code, event.why) == (
        ReasonCode.SUPPRESSION_OVERRIDDEN,
        "He asked for it",
    )
    assert len(claim_due(message.account)) == 1

    set_state(message.recipients, State.DEFERRED, attempts=1, next_attempt_at=timezone.now())
    api.retry(message)  # a retry of what a person has released is not held again
    assert len(claim_due(message.account)) == 1


def test_a_cancelled_message_that_is_retried_is_held() -> None:
    message = queue(account())
    api.cancel(message)
    api.suppress(BOB)
    api.retry(message, recipients=message.recipients.all())
    assert claim_due(message.account) == []
    assert states(message) == [State.HELD]


def test_an_address_that_is_suppressed_again_needs_another_release() -> None:
    api.suppress(BOB)
    message = queue(account())
    claim_due(message.account)
    api.release(message)
    api.unsuppress(BOB)
    api.suppress(BOB)
    assert states(message) == [State.HELD]


@pytest.mark.parametrize("before", ["bounced", "manual"])
def test_who_unsubscribes_after_a_release_receives_no_more(before: str) -> None:
    sender = account()
    api.suppress(BOB, account=sender, reason=before)
    message = queue(sender)
    claim_due(message.account)
    api.release(message)
    subscription = Subscription(sender, BOB)
    subscriptions.unsubscribe(subscription, is_one_click=True)
    assert states(message) == [State.HELD]
    # A person decides again, and a repeated request does not undo that.
    api.release(message)
    subscriptions.unsubscribe(subscription, is_one_click=True)
    assert len(claim_due(message.account)) == 1


def test_an_entry_that_was_erased_does_not_hide_a_later_one() -> None:
    sender = account()
    entry = api.suppress(BOB, account=sender)
    entry.address, entry.folded = ERASED_ADDRESS, keys_of(BOB)[1]
    entry.save()
    message = queue(sender)
    claim_due(message.account)
    api.release(message)
    subscriptions.unsubscribe(Subscription(sender, BOB), is_one_click=True)
    Suppression.objects.filter(pk=entry.pk).delete()
    entry.pk = None  # so that it is read after the later one
    entry.save()
    assert states(message) == [State.HELD]
    assert in_force([BOB], sender.pk, timezone.now(), USING)[BOB].address == BOB


def test_a_clock_that_was_set_since_the_process_read_it_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.suppress(BOB)
    message = queue(account())
    claim_due(message.account)
    api.release(message)
    api.unsuppress(BOB)
    an_hour_ago = (timezone.now() - dt.timedelta(hours=1), time.monotonic())
    monkeypatch.setitem(clock._seen, USING, an_hour_ago)
    api.suppress(BOB)
    assert states(message) == [State.HELD]


def test_suppressing_holds_waiting_recipients_at_once() -> None:
    sender = account()
    waiting, later = queue(sender), queue(sender)
    other = queue(sender, "eve@example.net")
    set_state(
        later.recipients,
        State.DEFERRED,
        attempts=3,
        next_attempt_at=timezone.now() + dt.timedelta(hours=1),
    )
    api.suppress(BOB)
    assert (states(waiting), states(later)) == ([State.HELD], [State.HELD])
    assert states(other) == [State.QUEUED]


def test_many_are_held_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppressed, "AT_ONCE", 2)
    sender = account()
    for _ in range(5):
        queue(sender)
    api.suppress(BOB)
    assert Recipient.objects.filter(state=State.HELD).count() == 2
    assert sweep.sweep(USING).suppressed == 2
    assert sweep.sweep(USING).suppressed == 1
    assert Suppression.objects.get().highest_id is None


def test_a_recipient_that_was_being_sent_to_is_held_when_it_is_deferred() -> None:
    message = queue(account())
    claim_due(message.account)
    api.suppress(BOB)
    assert states(message) == [State.SENDING]
    set_state(message.recipients, State.DEFERRED, attempts=1, next_attempt_at=timezone.now())
    assert sweep.sweep(USING).suppressed == 1
    assert states(message) == [State.HELD]


def test_what_was_released_while_an_entry_is_pending_stays_released() -> None:
    sender = account()
    message, being_sent = queue(sender), queue(sender)
    claimed(being_sent)  # the entry stays pending
    api.suppress(BOB)
    api.release(message)
    assert sweep.sweep(USING).suppressed == 0
    assert states(message) == [State.QUEUED]
    assert Suppression.objects.get().highest_id is not None


def test_removing_an_address_releases_nothing() -> None:
    api.suppress(BOB)
    message = queue(account())
    claim_due(message.account)
    assert api.unsuppress("BOB@example.net")
    assert not api.unsuppress(BOB)
    assert states(message) == [State.HELD]
    assert len(claim_due(queue(Account.objects.get()).account)) == 1


def test_each_change_is_in_the_audit_log() -> None:
    api.suppress(BOB, reason="bounced", evidence="550 5.1.1 No such user")
    api.suppress(BOB, reason="Left the company")
    api.unsuppress(BOB)
    entries = AuditEntry.objects.order_by("pk").values_list("action", "target_name", "details")
    assert [(action, name, details.get("reason")) for action, name, details in entries] == [
        (AuditAction.SUPPRESSED, BOB, "bounced"),
        (AuditAction.SUPPRESSED, BOB, "Left the company"),
        (AuditAction.UNSUPPRESSED, BOB, None),
    ]


def test_a_claim_asks_once_about_all_recipients_and_not_at_all_without_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suppression, "_READ_FOR", 3_600.0)
    sender = account()
    worker = a_worker()

    def queries(number: int) -> tuple[int, int]:
        """Return how many queries a claim made, and how many of these read the list."""
        for place in range(number):
            queue(sender, f"eve{place}@example.net")
        with CaptureQueriesContext(connection) as captured:
            assert len(claim_due(sender, worker)) == number
        return len(captured), sum("outbox_suppression" in one["sql"] for one in captured)

    first, read = queries(1)
    assert read == 1  # whether there is any entry
    assert queries(5) == (first - 1, 0)  # read a short time ago
    api.suppress(BOB)
    queries(1)
    assert queries(5) == (first, 1)


@pytest.mark.django_db(transaction=True)
def test_suppressing_and_claiming_never_both_get_a_recipient() -> None:
    sender = account()
    addresses = [f"bob{number}@example.net" for number in range(30)]
    messages = [queue(sender, address) for address in addresses]
    worker = a_worker()
    start = threading.Barrier(2)

    def claim_all() -> None:
        start.wait()
        for _ in range(30):
            claim_due(sender, worker, limit=1)
        connections.close_all()

    claiming = threading.Thread(target=claim_all)
    claiming.start()
    start.wait()
    for address in reversed(addresses):
        api.suppress(address)
    claiming.join(60)
    claim_due(sender, worker)
    tried = set(Attempt.objects.values_list("message_id", flat=True))
    for message in messages:
        assert states(message) == [State.SENDING if message.pk in tried else State.HELD]


def tagged(message: Message, *tags: str) -> Message:
    Message.objects.filter(pk=message.pk).update(tags=list(tags))
    return message


@pytest.mark.every_database
@pytest.mark.parametrize("is_added_first", [True, False])
def test_an_entry_for_a_tag_holds_the_messages_with_it_only(is_added_first: bool) -> None:
    sender, other = account(), account()
    if is_added_first:
        api.suppress(BOB, account=sender, tag="news", reason="unsubscribed")
    news = tagged(queue(sender), "2026", "news")
    others = [
        queue(sender),
        tagged(queue(sender), "newsletter"),
        tagged(queue(sender, "eve@example.net"), "news"),
        tagged(queue(other), "news"),
    ]
    if not is_added_first:
        api.suppress(BOB, account=sender, tag="news", reason="unsubscribed")
        assert states(news) == [State.HELD]
        assert not Suppression.objects.get().highest_id
    claim_due(sender)
    claim_due(other)
    assert states(news) == [State.HELD]
    assert [states(one) for one in others] == [[State.SENDING]] * len(others)
    assert str(reason(news)) == (
        "The address is on the suppression list. Only for messages with the tag “news”: The"
        " recipient wants no further messages."
    )
    # Only a release sends it.
    api.release(news)
    assert len(claim_due(sender)) == 1
    assert states(news) == [State.SENDING]


@pytest.mark.parametrize("tag", ["", "news"])
def test_a_release_does_not_count_for_a_later_entry_of_another_tag(tag: str) -> None:
    sender = account()
    api.suppress(BOB, account=sender, tag="" if tag else "news")
    Suppression.objects.update(since=F("since") - dt.timedelta(minutes=1))
    message = tagged(queue(sender), "news")
    assert claim_due(sender) == []
    api.release(message)
    api.suppress(BOB, account=sender, tag=tag)
    assert states(message) == [State.HELD]
    # A claim compares the release with the later entry, in any order of the rows.
    assert in_force([BOB], sender.pk, timezone.now(), USING, tags=["news"])[BOB].tag == tag


def test_entries_for_tags_do_not_replace_each_other() -> None:
    sender = account()
    for tag in ("news", "offers", "", "news"):
        api.suppress(BOB, account=sender, tag=tag)
    assert set(Suppression.objects.values_list("tag", flat=True)) == {"", "news", "offers"}
    assert api.unsuppress(BOB, account=sender)
    assert api.suppressed([BOB], sender) == {}
    assert set(api.suppressed([BOB], sender, tags=["x", "news"])) == {BOB}
    assert api.unsuppress(BOB, account=sender, tag="news")
    assert not api.unsuppress(BOB, account=sender, tag="news")
    details = AuditEntry.objects.filter(action=AuditAction.UNSUPPRESSED).order_by("pk")
    assert [one.details.get("tag") for one in details] == [None, "news"]


def test_entries_that_wait_delay_none_of_another_tag() -> None:
    sender = account()
    sending, waiting = tagged(queue(sender), "a"), tagged(queue(sender), "b")
    set_state(sending.recipients.all(), State.SENDING)
    for tag in ("a", "b"):
        api.suppress(BOB, account=sender, tag=tag)
    entries = Suppression.objects.order_by("pk")
    assert [one.highest_id is None for one in entries] == [False, True]
    # As after an import, which leaves the recipients to the sweep.
    set_state(waiting.recipients.all(), State.QUEUED, next_attempt_at=timezone.now())
    Suppression.objects.update(highest_id=row(waiting).pk)

    assert suppressed.hold_waiting(USING) == 1

    assert states(waiting) == [State.HELD]
    assert [one.highest_id is None for one in entries.all()] == [False, True]


def test_a_tag_needs_an_account_and_is_short() -> None:
    sender = account()
    for tag, owner in (("news", None), ("é" * 51, sender), ("a\nb", sender), (" a", sender)):
        with pytest.raises(InvalidMessageError) as raised:
            api.suppress(BOB, account=owner, tag=tag)
        assert raised.value.field == "tag"


def test_an_address_that_bounces_is_added_beside_its_entry_for_a_tag() -> None:
    sender = account()
    api.suppress(BOB, account=sender, tag="news")
    with transaction.atomic():
        new = suppression.add_new(
            {BOB: "550"}, sender.pk, reason="bounced", actor=None, using=USING
        )
    assert new == {BOB}
    assert set(api.suppressed([BOB], sender)) == {BOB}

"""What has expired is removed: content, conversations, whole messages, with their files."""

import datetime as dt
import io
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.models.signals import pre_delete
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.api.quotas import check_storage
from outbox.api.times import format_date
from outbox.db.clock import database_now
from outbox.delivery import discarded_files, expired, expired_sessions, retention
from outbox.delivery.retention import Pass, totals
from outbox.delivery.sweep import index_new_messages
from outbox.exceptions import ContentErasedError, InvalidMessageError, QuotaExceededError
from outbox.models import (
    Account,
    Attachment,
    Attempt,
    DeliveryTotal,
    Draft,
    DraftKind,
    Event,
    FailureDigest,
    LastRun,
    Message,
    Recipient,
    SearchEntry,
    SiteEntry,
    SmtpSession,
    Source,
    State,
    Status,
)
from outbox.models.delivery_count import CountKey, add
from outbox.models.message import file_storage
from outbox.models.removal import _LINKED, _OF_MESSAGE, REMOVED, delete_messages
from tests.integration.delivery.mail_client import BOB, USING, account, destination, queue, states
from tests.integration.races import ONE_WRITER, committed_before
from tests.states import set_state

pytestmark = pytest.mark.django_db(transaction=True)

DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _own_storage(settings: LazySettings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = settings.SCRATCH / tmp_path.name


def files() -> list[str]:
    root = Path(file_storage().path(""))
    return [path.name for path in root.rglob("*") if path.is_file()]


def end(message: Message, days_ago: float, state: State = State.SENT) -> Message:
    """End the delivery of a message some days ago, with an attempt and its conversation."""
    at = database_now(USING) - days_ago * DAY
    session = SmtpSession.objects.create(
        destination=message.recipients.first().destination,  # type: ignore[union-attr]
        host="mail.example.org",
        started_at=at,
        ended_at=at,
        opening='[[1, "S", "220 ready"]]',
        greeting="ready",
    )
    attempt = Attempt.objects.create(
        message=message,
        session=session,
        started_at=at,
        ended_at=at,
        outcome="sent",
        transfer='[[1, "C", "RCPT TO:<bob@example.net>"]]',
    )
    set_state(
        message.recipients.all(),
        state,
        final_at=at,
        next_attempt_at=None,
        attempt=attempt,
        reply_code=250,
        reply_text="ok",
    )
    Event.objects.create(message=message, kind="queued", at=at)
    status = Status.FAILED if state == State.FAILED else Status.SENT
    Message.objects.filter(pk=message.pk).update(created_at=at - DAY, status=status)
    message.refresh_from_db()
    return message


def sent(sender: Account, days_ago: float, **fields: Any) -> Message:
    return end(queue(sender, **fields), days_ago)


def prune(**options: Any) -> dict[str, int]:
    found = totals(Pass(USING).run(**options))
    discarded_files.delete_all(USING)
    return found


def composed(owner: User, sender: Account, days_ago: float) -> Message:
    """Queue a message with a file from a draft, and end its delivery."""
    fields = api.DraftFields(account=sender, to=BOB, subject="Plan", text="The plan is secret.")
    draft = api.save_draft(owner, fields)
    api.attach(draft, "plan.txt", "text/plain", b"secret plan")
    return end(api.send_draft(draft, actor=owner), days_ago)


def test_content_is_removed_after_its_days_and_the_rest_is_kept() -> None:
    owner = User.objects.create_user("owner")
    sender = account(content_days=30, owner=owner)
    old, new = composed(owner, sender, 31), composed(owner, sender, 29)
    index_new_messages(USING)
    assert prune() == {"contents": 1}
    for model in (Source, Draft, Attachment):
        assert set(model.objects.values_list("message_id", flat=True)) == {new.pk}
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.subject, old.snippet) == ("Plan", "")
    assert new.snippet
    assert len(files()) == 1
    entry = SearchEntry.objects.get(pk=old.pk)
    assert "secret" not in str(entry.body)
    assert "plan" in str(entry.head)
    assert old.recipients.get().reply_text == "ok"
    assert "RCPT" in old.attempts.get().transfer
    assert prune() == {}


def test_conversations_are_removed_after_their_days() -> None:
    sender = account(transcript_days=7)
    old, new = sent(sender, 8), sent(sender, 6)
    assert prune() == {"conversations": 1, "sessions": 1}
    assert old.attempts.get().transfer == REMOVED
    assert "RCPT" in new.attempts.get().transfer
    session = old.attempts.get().session
    assert session is not None
    assert (session.opening, session.greeting) == (REMOVED, "")
    assert old.recipients.get().reply_text == "ok"
    assert old.source.read()
    assert prune() == {}


def test_a_whole_message_is_deleted_with_all_its_rows_and_files(settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "INLINE_SOURCE_BYTES": 10}
    owner = User.objects.create_user("owner")
    sender = account(message_days=90, content_days=30, owner=owner)
    old, kept = composed(owner, sender, 91), composed(owner, sender, 31)
    index_new_messages(USING)
    Message.objects.filter(pk=kept.pk).update(made_from=old)
    FailureDigest.objects.create(addressee_key=1).messages.add(old, kept)
    add({CountKey(database_now(USING), 1, 1, "example.net", "sent", 0): 2}, USING)

    assert prune() == {"messages": 1, "contents": 1, "forgotten sessions": 1}

    assert list(Message.objects.values_list("pk", flat=True)) == [kept.pk]
    assert Message.objects.get().made_from is None
    for model in _OF_MESSAGE:
        assert not model._default_manager.filter(message=old.pk).exists(), model
    assert SiteEntry.objects.count() == 1
    assert files() == []
    assert DeliveryTotal.objects.get().count == 2


def test_a_batch_takes_the_same_few_statements_for_any_number_of_messages() -> None:
    sender = account(message_days=90)
    counts = []
    for number in (1, 5):
        ids = [sent(sender, 91).pk for _ in range(number)]
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            delete_messages(ids, USING)
        counts.append(len(queries.captured_queries))
    assert counts[0] == counts[1] <= 22
    assert not Message.objects.exists()


def test_a_project_s_receiver_learns_of_a_deleted_message() -> None:
    sender = account(message_days=90)
    old, seen = sent(sender, 91), list[int]()

    def receive(instance: Message, **_given: Any) -> None:
        seen.append(instance.pk)

    pk = old.pk
    pre_delete.connect(receive, sender=Message)
    try:
        prune()
    finally:
        pre_delete.disconnect(receive, sender=Message)
    assert seen == [pk]
    assert not Message.objects.exists()


def test_every_table_that_refers_to_a_message_is_known() -> None:
    """A new one has to be added to the removal."""
    of_outbox = {
        getattr(one, "through", None) or one.related_model
        for one in Message._meta.related_objects
        if one.related_model._meta.app_label == "outbox" and one.related_model is not Message
    }
    assert of_outbox == {*_OF_MESSAGE, *_LINKED}


@pytest.mark.parametrize(
    "state",
    [State.QUEUED, State.DEFERRED, State.HELD, State.UNCERTAIN, State.SENDING],
)
def test_a_message_with_an_open_recipient_is_not_touched(state: State) -> None:
    sender = account(message_days=1, content_days=1, transcript_days=1)
    message = end(queue(sender, BOB, "eve@example.net"), 400)
    open_one = message.recipients.get(address=BOB)
    Recipient.objects.filter(pk=open_one.pk).delete()
    other = queue(sender)
    set_state(other.recipients.all(), state)
    Recipient.objects.filter(message=other).update(message=message)
    prune()
    assert Message.objects.filter(pk=message.pk).exists()
    assert message.source.read()
    assert "RCPT" in message.attempts.get().transfer


def test_drafts_and_scheduled_messages_are_not_touched() -> None:
    owner = User.objects.create_user("owner")
    sender = account(message_days=1, content_days=1, transcript_days=1, owner=owner)
    draft = api.save_draft(owner, api.DraftFields(account=sender, to=BOB, text="Later"))
    later = queue(sender, send_at=timezone.now() + DAY)
    Message.objects.update(created_at=timezone.now() - 400 * DAY)
    assert prune() == {}
    assert Draft.objects.get(pk=draft.pk).text == "Later"
    assert later.source.read()


def test_the_site_s_setting_applies_where_the_account_has_no_days(settings: LazySettings) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "CONTENT_RETENTION": 10 * 86_400}
    by_default, forever, longer = (
        account(1),
        account(2, content_days=0),
        account(3, content_days=20),
    )
    for sender in (by_default, forever, longer):
        sent(sender, 15)
    orphan = sent(account(4), 15)
    Message.objects.filter(pk=orphan.pk).update(account=None)
    assert prune() == {"contents": 2}
    left = Source.objects.values_list("message__account", flat=True)
    assert set(left) == {forever.pk, longer.pk}


def test_nothing_is_removed_by_default() -> None:
    sent(account(), 4_000)
    assert prune() == {}


def test_a_message_without_content_is_neither_sent_again_nor_copied(client: Client) -> None:
    owner = User.objects.create_user("owner")
    sender = account(content_days=1, owner=owner)
    message = composed(owner, sender, 2)
    Message.objects.filter(pk=message.pk).update(status=Status.FAILED)
    Recipient.objects.all().delete()
    other = queue(sender)
    set_state(other.recipients.all(), State.FAILED, final_at=timezone.now() - 2 * DAY)
    Recipient.objects.filter(message=other).update(message=message, next_attempt_at=None)
    prune()
    with pytest.raises(ContentErasedError, match="was removed"):
        api.retry(message)
    assert set(states(message)) == {State.FAILED}
    for kind in DraftKind:
        with pytest.raises(InvalidMessageError, match="was removed"):
            api.reply_to_message(message, kind, actor=owner)
    client.force_login(owner)
    page = client.get(reverse("outbox:message", args=[message.pk])).content.decode()
    assert "The content of this message was removed" in page
    assert "The content was removed." in page
    response = client.post(
        reverse("outbox:reply", args=[message.pk]), {"as": "forward"}, follow=True
    )
    assert "It cannot be sent again, replied to or copied." in response.content.decode()


def test_the_page_names_the_day_on_which_each_part_expires(client: Client) -> None:
    owner = User.objects.create_user("owner")
    sender = account(content_days=30, transcript_days=7, message_days=90, owner=owner)
    message = composed(owner, sender, 8)
    client.force_login(owner)
    address = reverse("outbox:message", args=[message.pk])
    ended = message.recipients.get().final_at
    assert ended is not None
    page = client.get(address).content.decode()
    for text, days in (
        ("The content is removed on {}.", 30),
        ("The conversations are removed on {}.", 7),
        ("The message is deleted on {}.", 90),
    ):
        day = format_date(ended + days * DAY, year=True)
        assert text.format(day) in page
    prune()
    page = client.get(address).content.decode()
    assert "The conversations were removed." in page
    assert "The content is removed on" in page

    waiting = queue(sender, owner=owner)
    page = client.get(reverse("outbox:message", args=[waiting.pk])).content.decode()
    assert "The content is removed 30 days after delivery has ended." in page


def test_removed_content_does_not_count_towards_the_quota(settings: LazySettings) -> None:
    owner = User.objects.create_user("owner")
    sender = account(content_days=1, owner=owner)
    composed(owner, sender, 2)
    settings.OUTBOX = {**settings.OUTBOX, "MAX_STORED_BYTES": 100}
    with pytest.raises(QuotaExceededError):
        check_storage(owner.pk)
    prune()
    check_storage(owner.pk)


def test_the_command_counts_first_and_then_removes() -> None:
    sender = account(name="Shop", content_days=30, message_days=90)
    sent(sender, 31)
    sent(sender, 91)  # the order of the keys need not be that of the times
    sent(sender, 1)
    out = io.StringIO()
    call_command("outbox_prune", dry_run=True, stdout=out)
    assert "To remove: 1 messages, 1 contents" in out.getvalue()
    assert (
        f"Account Shop ({sender.pk}): messages for 90 days, content for 30 days" in out.getvalue()
    )
    assert (Message.objects.count(), Source.objects.count()) == (3, 3)
    out = io.StringIO()
    call_command("outbox_prune", stdout=out)
    assert "Removed: 1 messages, 1 contents" in out.getvalue()
    assert (Message.objects.count(), Source.objects.count()) == (2, 1)


def test_a_batch_without_expired_rows_does_not_change_the_next_one() -> None:
    sender = account(message_days=30)
    for _ in range(3):
        sent(sender, 31)
    run = Pass(USING)
    batches = run.run()
    assert next(batches) == ("messages", 3)
    grown = run.at_once
    assert totals(batches).get("messages") is None
    assert run.at_once == grown


def test_an_interrupted_pass_continues_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE_MAX", 10)
    sender = account(message_days=1)
    for _ in range(25):
        sent(sender, 2)
    run = Pass(USING)
    run.at_once = 10
    assert next(run.run()) == ("messages", 10)
    assert Message.objects.count() == 15
    assert prune()["messages"] == 15


def test_a_message_whose_recipients_are_locked_is_skipped() -> None:
    """A retry that has begun keeps the message; one that begins later finds no content."""
    if connections[USING].vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    sender = account(message_days=1)
    message = sent(sender, 2)
    is_locked, may_end = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic():
            list(Recipient.objects.filter(message=message).select_for_update())
            is_locked.set()
            may_end.wait(20)
        connections.close_all()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        assert is_locked.wait(20)
        assert "messages" not in prune()
        assert Message.objects.filter(pk=message.pk).exists()
    finally:
        may_end.set()
        thread.join()
    assert prune()["messages"] == 1


@ONE_WRITER
def test_a_row_that_is_written_in_between_does_not_end_the_pass() -> None:
    """A user reads a message, or a reply to it is fetched."""
    message = sent(account(message_days=1), 2)

    def write() -> None:
        with suppress(IntegrityError):  # the message is gone
            Event.objects.create(message=message, kind="queued", at=database_now(USING))

    with committed_before('DELETE FROM "outbox_message"', write):
        assert prune()["messages"] == 1
    assert not Message.objects.exists()
    assert not Event.objects.exists()


def test_the_sweep_s_thread_prunes_once_an_hour() -> None:
    sender = account(message_days=1)
    sent(sender, 2)
    retention.prune_in_background(USING)
    for thread in threading.enumerate():
        if thread.name == "outbox-prune":
            thread.join(20)
    assert not Message.objects.exists()
    sent(sender, 2)
    retention.prune_if_due(USING, 10)
    assert Message.objects.exists()
    LastRun.objects.update(at=timezone.now() - DAY)
    retention.prune_if_due(USING, 10)
    assert not Message.objects.exists()


def test_a_session_is_kept_as_long_as_a_message_in_it() -> None:
    """The time of a conversation begins when the delivery of its message has ended."""
    sender = account(transcript_days=7)
    waiting, recent, old = sent(sender, 30), sent(sender, 30), sent(sender, 30)
    set_state(
        waiting.recipients.all(), State.DEFERRED, final_at=None, next_attempt_at=timezone.now()
    )
    set_state(recent.recipients.all(), State.SENT, final_at=timezone.now() - 6 * DAY)
    sessions = [one.attempts.get().session for one in (waiting, recent, old)]
    assert prune() == {"conversations": 1, "sessions": 1}
    openings = [SmtpSession.objects.get(pk=one.pk).opening for one in sessions if one]
    assert [opening == REMOVED for opening in openings] == [False, False, True]
    set_state(recent.recipients.all(), State.SENT, final_at=timezone.now() - 8 * DAY)
    assert prune() == {"conversations": 1, "sessions": 1}


def test_a_retention_that_becomes_longer_applies_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE_MAX", 10)
    sender = account(message_days=1)
    for _ in range(15):
        sent(sender, 2)
    run = Pass(USING)
    run.at_once = 10
    batches = run.run()
    assert next(batches) == ("messages", 10)
    Account.objects.filter(pk=sender.pk).update(message_days=30)
    assert totals(batches).get("messages") is None
    assert Message.objects.count() == 5


def test_old_messages_after_many_recent_ones_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported history has old times under new keys."""
    monkeypatch.setattr(expired, "_WINDOW", 3)
    sender = account(message_days=90, content_days=30, transcript_days=7)
    for days in (*[1] * 8, 8, *[1] * 8, 31, *[1] * 8, 91):
        sent(sender, days)
    SmtpSession.objects.all().delete()
    run = Pass(USING)
    run.at_once = 2
    assert totals(run.run()) == {"messages": 1, "contents": 1, "conversations": 2}
    assert prune() == {}


def test_sessions_are_matched_with_attempts_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expired, "_WINDOW", 3)
    sender = account(transcript_days=7)
    sent(sender, 1)
    old, used = sent(sender, 30), sent(sender, 20)
    waiting = end(queue(sender), 40)
    set_state(
        waiting.recipients.all(), State.DEFERRED, final_at=None, next_attempt_at=timezone.now()
    )
    for _ in range(5):
        sent(sender, 1)
    session = used.attempts.get().session
    assert session is not None
    waiting.attempts.create(session=session, started_at=timezone.now())  # the last of the keys

    run = Pass(USING)
    run.at_once = 1
    assert totals(run.run()) == {"conversations": 2, "sessions": 1}
    removed = SmtpSession.objects.filter(opening=REMOVED).values_list("pk", flat=True)
    assert list(removed) == list(old.attempts.values_list("session_id", flat=True))


def test_the_attempts_are_read_once_for_many_sessions() -> None:
    sender = account(transcript_days=7)
    for _ in range(9):
        sent(sender, 30)
    run = Pass(USING)
    run.at_once = 1
    with CaptureQueriesContext(connection) as found:
        assert totals(run.run()) == {"conversations": 9, "sessions": 9}
    texts = [one["sql"] for one in found.captured_queries]
    assert len([text for text in texts if '"session_id" IS NOT NULL' in text]) == 1


def test_few_messages_of_the_sessions_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session has hundreds of messages. Those that are too many follow with another reading."""
    monkeypatch.setattr(expired_sessions, "_NOTED_MAX", 10)
    monkeypatch.setattr(expired, "_WINDOW", 7)
    sender = account(transcript_days=7)
    messages = [sent(sender, 30) for _ in range(6)]
    sessions = list(SmtpSession.objects.order_by("pk"))
    for session in sessions:
        for message in messages[1:5]:
            message.attempts.create(session=session, started_at=session.started_at)
    waiting = messages[0]
    set_state(
        waiting.recipients.all(), State.DEFERRED, final_at=None, next_attempt_at=timezone.now()
    )
    found = []
    walk = expired_sessions.OldSessions()
    noted = []
    while (step := walk.find(expired.Rules(USING), 0, 2)).last is not None:
        found += step.ids
        noted.append(sum(map(len, walk._messages.values())))
    assert sorted(found) == [one.pk for one in sessions[1:]]
    assert max(noted) <= 10


def test_a_session_is_deleted_only_if_no_attempt_refers_to_it() -> None:
    """The smallest key is not the oldest attempt, after messages were imported."""
    sender = account(message_days=90)
    sent(sender, 1)
    kept, gone = end(queue(sender), 400), sent(sender, 300)
    set_state(kept.recipients.all(), State.HELD, final_at=None)
    [session] = SmtpSession.objects.filter(attempts__message=kept)
    [forgotten] = SmtpSession.objects.filter(attempts__message=gone)

    assert prune() == {"messages": 1, "forgotten sessions": 1}
    assert SmtpSession.objects.filter(pk=session.pk).exists()
    assert not SmtpSession.objects.filter(pk=forgotten.pk).exists()


def test_a_session_that_has_just_ended_is_kept(settings: LazySettings) -> None:
    """Its attempts may be recorded later."""
    settings.OUTBOX = {**settings.OUTBOX, "MESSAGE_RETENTION": 3600}
    sender = account()
    moment = timezone.now() - DAY / 2
    SmtpSession.objects.create(
        destination=destination(sender), host="mail.example.org", started_at=moment, ended_at=moment
    )
    assert prune() == {}
    SmtpSession.objects.update(ended_at=timezone.now() - 2 * DAY)
    assert prune() == {"forgotten sessions": 1}


@pytest.mark.parametrize(("target", "sizes"), [(1e-9, [4, 1, 1, 1]), (1_000.0, [4, 3])])
def test_a_batch_becomes_smaller_while_its_transactions_take_long(
    target: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit of a claim waits until the log of a batch has been written."""
    sender = account(message_days=90)
    for _ in range(7):
        sent(sender, 91)
    monkeypatch.setattr(retention, "_TARGET", target)
    monkeypatch.setattr(retention, "_AT_ONCE_MIN", 1)
    walk = Pass(USING)
    walk.at_once = 4
    assert [count for name, count in walk.run() if name == "messages" and count] == sizes


@pytest.mark.parametrize(
    ("removed", "took", "size"),
    [
        (100, 0.04, 50),
        (100, 9.0, 25),  # smaller ones only make the pass longer
        (20, 0.03, 25),
        (100, 0.019, 105),
        (100, 0.001, 200),
        (300, 0.001, 500),
        (0, 0.0, 100),
        (1, 0.005, 100),
        (60, 0.001, 120),
    ],
    ids=[
        "twice the target", "a stall", "a slow commit", "a little less", "much less", "the most",
        "nothing expired", "one expired", "some expired",
    ],
)  # fmt: skip
def test_the_size_of_a_batch_follows_from_what_the_last_one_removed(
    removed: int, took: float, size: int
) -> None:
    walk = Pass(USING)
    walk.at_once, walk._removed, walk._took = 100, removed, took
    walk._adapt()
    assert walk.at_once == size

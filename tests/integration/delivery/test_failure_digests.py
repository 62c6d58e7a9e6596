"""Failures are reported by email once, in the reader's language, by a working account."""

import datetime as dt
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.utils import timezone

from outbox import api
from outbox.api.failures import mark_failures_seen, report_failures, reschedule_digest
from outbox.api.periodic import run_periodic_work
from outbox.delivery import process
from outbox.models import (
    SMARTHOST_KEY,
    Account,
    Circuit,
    Destination,
    FailureDigest,
    FailureDigestChoice,
    Message,
    Origin,
    Preferences,
    Recipient,
    State,
)
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    USING,
    account,
    account_at,
    deliver,
    last_attempt,
    queue,
)
from tests.states import set_state

pytestmark = pytest.mark.django_db(transaction=True)

REFUSING = "at rcpt: 550 5.1.1 no such user"


@pytest.fixture(autouse=True)
def _at_once(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"FAILURE_DIGEST_DELAY": 0}


@pytest.fixture
def anna(transactional_db: None) -> User:
    return User.objects.create_user("anna", email="anna@example.com")


def reports() -> list[Message]:
    return list(Message.objects.filter(origin=Origin.REPORT).order_by("pk"))


def make_due() -> None:
    """Make the collected digests due."""
    FailureDigest.objects.update(due_at=timezone.now() - dt.timedelta(seconds=1))


def text_of(message: Message) -> str:
    """Return the text of a digest as a mail program reads it."""
    parsed: Any = message_from_bytes(message.source.read(), policy=policy.default)
    return str(parsed.get_content())


def mail_lines(lines: list[Any]) -> int:
    """Return how many MAIL commands a transcript has."""
    return sum("MAIL FROM" in str(line[2]) for line in lines)


def fails(
    sender: Account, *, owner: User | None = None, subject: str = "Figures", **options: Any
) -> Message:
    """Queue a message that has failed, as its server's rejection would leave it."""
    message = queue(sender, owner=owner, subject=subject, **options)
    set_state(
        Recipient.objects.filter(message=message),
        State.UNCERTAIN,
        reply_code=550,
        reply_text="5.1.1 no such user",
    )
    api.resolve_uncertain(message, State.FAILED)
    message.refresh_from_db()
    return message


def test_an_owner_whose_only_account_fails_gets_no_email(anna: User, fault_lab: StartLab) -> None:
    message = queue(account_at(fault_lab(REFUSING), owner=anna), owner=anna)
    deliver()
    assert report_failures(USING) == 0
    message.refresh_from_db()
    assert message.failure_unseen
    assert reports() == []
    later = FailureDigest.objects.get().due_at
    assert later is not None
    assert later > timezone.now()  # an account may be added


def test_a_second_account_delivers_a_digest_in_the_owner_s_language_and_time_zone(
    anna: User, fault_lab: StartLab
) -> None:
    Preferences.objects.create(user=anna, language="zh-hans", time_zone="Asia/Shanghai")
    refusing, accepting = fault_lab(REFUSING), fault_lab("")
    message = queue(account_at(refusing, owner=anna), owner=anna, subject="Figures")
    second = account_at(accepting, owner=anna, from_address="anna@example.net")
    Message.objects.update(queued_at=dt.datetime(2026, 11, 28, 20, 30, tzinfo=dt.UTC))
    deliver()
    assert report_failures(USING) == 1
    deliver()
    [transaction] = accepting.ledger.accepted
    mail: Any = message_from_bytes(transaction.source, policy=policy.default)
    assert mail["To"] == "anna@example.com"
    assert mail["From"].addresses[0].addr_spec == "anna@example.net"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert transaction.sender == ""
    assert mail["Subject"] == "投递失败：Figures"
    text = mail.get_content()
    assert "bob@example.net：550 5.1.1 no such user" in text
    assert "4:30" in text  # the next morning in Shanghai
    assert "UTC+8" in text
    [report] = reports()
    assert (report.owner, report.account) == (anna, second)
    message.refresh_from_db()
    assert message.failure_unseen  # an email is not a look at it


def test_a_server_that_rejects_the_null_sender_gets_the_account_s(
    anna: User, fault_lab: StartLab
) -> None:
    """Protocol item 113. The next message is sent so at once, in another session as well."""
    strict = fault_lab("on connection 1: at mail of message 1: 501 5.1.7 Invalid sender")
    failing = account(owner=anna)
    account_at(strict, owner=anna, from_address="anna@example.net")
    for _ in range(2):
        fails(failing, owner=anna)
        make_due()
        assert report_failures(USING) == 1
        deliver()
    assert [one.sender for one in strict.ledger.accepted] == ["anna@example.net"] * 2
    [first, second] = [last_attempt(report).transfer_lines for report in reports()]
    assert [mail_lines(one) for one in (first, second)] == [2, 1]


def test_the_failure_of_a_message_with_the_null_sender_makes_no_notice(anna: User) -> None:
    """Protocol item 113."""
    first = account(owner=anna)
    account(26, owner=anna)
    message = fails(first, owner=anna, envelope_sender="")
    assert report_failures(USING) == 0
    assert message.failure_unseen  # the pages show it
    assert reports() == []


def test_a_circuit_that_is_open_rules_an_account_out(anna: User) -> None:
    fails(account(owner=anna), owner=anna)
    second = account(26, owner=anna)
    Destination.objects.create(account=second, key=SMARTHOST_KEY, circuit=Circuit.OPEN)
    assert report_failures(USING) == 0
    assert reports() == []


def test_several_failures_are_one_email(anna: User) -> None:
    first = account(owner=anna)
    account(26, owner=anna)
    for number in range(25):
        fails(first, owner=anna, subject=f"Letter {number}")
    assert report_failures(USING) == 1
    [report] = reports()
    assert report.subject == "Delivery of 25 messages failed"
    text = text_of(report)
    assert "Letter 24" in text
    assert "… and 5 more." in text
    assert report_failures(USING) == 0


def test_the_next_email_waits_and_then_has_only_what_is_new(
    anna: User, settings: LazySettings
) -> None:
    first = account(owner=anna)
    account(26, owner=anna)
    fails(first, owner=anna, subject="Old")
    assert report_failures(USING) == 1
    fails(first, owner=anna, subject="New")
    assert report_failures(USING) == 0
    due = FailureDigest.objects.get()
    assert due.due_at is not None
    assert due.sent_at is not None
    assert due.due_at - due.sent_at == dt.timedelta(minutes=15)
    make_due()
    assert report_failures(USING) == 1
    assert "Old" not in text_of(reports()[-1])
    assert "New" in text_of(reports()[-1])


def test_what_was_seen_is_not_reported(anna: User) -> None:
    first = account(owner=anna)
    account(26, owner=anna)
    seen_at_once, seen_later, unseen = (
        fails(first, owner=anna, subject=name) for name in ("one", "two", "three")
    )
    mark_failures_seen(Message.objects.filter(pk=seen_at_once.pk))
    FailureDigest.objects.create(
        addressee_key=anna.pk, sent_at=timezone.now() - dt.timedelta(minutes=14)
    )
    assert report_failures(USING) == 0
    mark_failures_seen(Message.objects.filter(pk=seen_later.pk))
    make_due()
    assert report_failures(USING) == 1
    assert reports()[0].subject == f"Delivery failed: {unseen.subject}"


def test_a_message_retried_in_the_meantime_is_not_reported(anna: User) -> None:
    message = fails(account(owner=anna), owner=anna)
    account(26, owner=anna)
    api.retry(message)
    assert report_failures(USING) == 0
    assert reports() == []


def test_a_user_who_wants_no_email_gets_none(anna: User) -> None:
    Preferences.objects.create(user=anna, failure_digest=FailureDigestChoice.NEVER)
    message = fails(account(owner=anna), owner=anna)
    account(26, owner=anna)
    assert report_failures(USING) == 0
    message.refresh_from_db()
    assert (message.failure_unseen, message.failure_unreported) == (True, False)
    assert not FailureDigest.objects.exists()


def test_once_a_day_is_the_next_morning_in_the_owner_s_time_zone(anna: User) -> None:
    chosen = Preferences.objects.create(
        user=anna, failure_digest=FailureDigestChoice.DAILY, time_zone="America/St_Johns"
    )
    fails(account(owner=anna), owner=anna)
    account(26, owner=anna)
    assert report_failures(USING) == 0
    due_at = FailureDigest.objects.get().due_at
    assert due_at is not None
    local = due_at.astimezone(ZoneInfo("America/St_Johns"))
    assert (local.hour, local.minute) == (8, 0)
    assert dt.timedelta(0) < due_at - timezone.now() <= dt.timedelta(days=1)
    chosen.failure_digest = FailureDigestChoice.AT_ONCE
    chosen.save()
    reschedule_digest(chosen)
    assert report_failures(USING) == 1


def test_the_failure_of_a_digest_is_on_the_pages_but_in_no_email(anna: User) -> None:
    first, _second = account(owner=anna), account(26, owner=anna)
    third = account(27, owner=anna)
    fails(first, owner=anna)
    assert report_failures(USING) == 1
    [report] = reports()
    set_state(Recipient.objects.filter(message=report), State.UNCERTAIN)
    api.resolve_uncertain(report, State.FAILED)
    assert report_failures(USING) == 0
    report.refresh_from_db()
    assert (report.failure_unseen, report.failure_unreported) == (True, False)
    assert reports() == [report]
    assert not FailureDigest.objects.get().messages.exists()
    assert third.messages.count() == 0


@pytest.fixture
def shop(transactional_db: None) -> Account:
    return account(is_app_default=True)


def test_messages_of_apps_are_reported_to_the_addresses_of_the_setting(
    shop: Account, settings: LazySettings
) -> None:
    named = ["ops@example.com", "not an address", "Duty <duty@example.com>"]
    settings.OUTBOX = settings.OUTBOX | {"FAILURE_ADDRESSES": named}
    other = account(26)
    fails(other)
    assert report_failures(USING) == 1
    [report] = reports()
    assert (report.owner, report.account) == (None, shop)
    addresses = report.recipients.values_list("address", flat=True)
    assert set(addresses) == {"ops@example.com", "duty@example.com"}


def test_without_the_setting_staff_who_may_view_all_are_notified(shop: Account) -> None:
    names = ("view_message", "view_all_accounts")
    view = Permission.objects.filter(codename__in=names, content_type__app_label="outbox")
    for name, is_staff, may_view in (
        ("reads", True, True), ("blind", True, False), ("user", False, True), ("quiet", True, True),
    ):  # fmt: skip
        user = User.objects.create_user(name, email=f"{name}@example.com", is_staff=is_staff)
        if may_view:
            user.user_permissions.set(view)
        if name == "blind":
            user.user_permissions.set(view.filter(codename="view_message"))
        if name == "quiet":
            Preferences.objects.create(user=user, failure_digest=FailureDigestChoice.NEVER)
    User.objects.create_superuser("root", email="root@example.com")
    fails(account(26))
    assert report_failures(USING) == 1
    addresses = reports()[0].recipients.values_list("address", flat=True)
    assert set(addresses) == {"reads@example.com", "root@example.com"}


def test_a_link_leads_to_the_message_where_the_site_s_address_is_known(
    anna: User, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": "https://mail.example.com/"}
    message = fails(account(owner=anna), owner=anna)
    account(26, owner=anna)
    report_failures(USING)
    assert f"https://mail.example.com/messages/{message.pk}/" in text_of(reports()[0])


def test_a_digest_that_cannot_be_composed_stops_no_other(anna: User) -> None:
    ben = User.objects.create_user("ben", email="ben@example.com")
    for owner in (anna, ben):
        fails(account(30 + owner.pk, owner=owner), owner=owner)
        account(40 + owner.pk, owner=owner)
    Account.objects.filter(owner=anna).update(from_address="not an address")
    assert report_failures(USING) == 1
    assert [report.owner for report in reports()] == [ben]
    waiting = FailureDigest.objects.get(pk=anna.pk)
    assert waiting.due_at is not None
    assert waiting.due_at > timezone.now()
    assert waiting.messages.count() == 1


@pytest.fixture
def in_threads() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(60)


def test_two_workers_queue_one_digest(anna: User, in_threads: list[threading.Thread]) -> None:
    first = account(owner=anna)
    account(26, owner=anna)
    for number in range(20):
        fails(first, owner=anna, subject=f"Letter {number}")
    barrier = threading.Barrier(4)
    queued: list[Any] = []

    def work() -> None:
        barrier.wait(30)
        try:
            queued.append(report_failures(USING))
        finally:
            connections.close_all()

    in_threads += [threading.Thread(target=work) for _ in range(4)]
    for thread in in_threads:
        thread.start()
    for thread in in_threads:
        thread.join(60)
    while report_failures(USING):  # what another thread had locked
        pass
    assert len(queued) == 4
    named = "\n".join(text_of(report) for report in reports())
    assert len(reports()) == 1
    assert FailureDigest.objects.get().messages.count() + named.count("Letter") == 20


def test_the_sweep_reports(anna: User) -> None:
    fails(account(owner=anna), owner=anna)
    account(26, owner=anna)
    try:
        run_periodic_work(USING)
    finally:
        process.stop()
    assert len(reports()) == 1

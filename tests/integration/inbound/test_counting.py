"""Bounces appear in the counts of outcomes, once, until a user corrects them."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox import api
from outbox.api import operations
from outbox.api.reports import ReportDecision, correct_report
from outbox.db.clock import database_now
from outbox.delivery import old_counts
from outbox.models import DeliveryCount, DeliveryTotal, Event, ReplyGroup, State, reply_group
from outbox.models.delivery_count import CountKey, add
from outbox.models.delivery_time import MERGED_WORKER
from tests.integration.inbound.returned import (
    ANN,
    BOB,
    UNKNOWN,
    account,
    bounce,
    receive,
    report_of,
    sent,
    states,
)
from tests.integration.races import ONE_WRITER, committed_before

pytestmark = pytest.mark.django_db

USING = "default"


def counted(model: type[DeliveryCount] | type[DeliveryTotal] = DeliveryCount) -> int:
    rows = model.objects.filter(outcome=State.BOUNCED)
    return int(rows.aggregate(total=Sum("count"))["total"] or 0)


def failures() -> list[operations.ReplyFailures]:
    return operations.failures_by_reply(database_now(USING) - dt.timedelta(hours=1))


def test_a_bounce_is_counted_once_in_the_group_of_its_reply() -> None:
    shop = account()
    message = sent(shop, BOB, ANN)
    for _ in range(2):  # a second report says the same
        receive(shop, bounce(message_id=message.message_id))
    second = sent(shop)
    receive(shop, bounce(message_id=second.message_id))
    assert counted() == counted(DeliveryTotal) == 2
    rows = DeliveryCount.objects.filter(outcome=State.BOUNCED)  # of one minute, or of two
    keys = set(rows.values_list("account_key", "domain", "worker_key"))
    assert keys == {(shop.pk, "example.net", -shop.pk - 1)}
    [group] = failures()
    assert (group.code, group.enhanced, group.bounced, group.count) == (550, "5.1.1", 2, 2)
    assert "user unknown" in group.text
    assert sum(one.bounced for one in operations.throughput(60)) == 2


def test_a_bounce_joins_the_failures_with_the_same_reply_to_a_delivery() -> None:
    """A server may reject a recipient itself or report it later, in the same words."""
    from outbox.mail.server_replies import normalized_reply

    shop = account()
    receive(shop, bounce(message_id=sent(shop).message_id))
    [group] = failures()
    assert group.key == normalized_reply(550, "5.1.1", UNKNOWN.removeprefix("550 ")).key
    assert not group.has_attempts


def test_a_report_that_moves_no_recipient_is_not_counted() -> None:
    shop = account()
    receive(shop, bounce())  # only the address matches
    receive(shop, bounce(message_id=sent(shop).message_id, about="else@example.net"))
    assert counted() == 0


def test_invented_texts_do_not_become_groups() -> None:
    shop = account()
    for number in range(3):
        said = bounce(
            message_id=sent(shop).message_id, status=f"5.1.{number}", diagnostic=f"no{number}ne"
        )
        receive(shop, said)
    [group] = failures()
    assert (group.code, group.reason_code, group.bounced) == (None, "reported_undeliverable", 3)


def test_groups_with_and_without_room_are_written_in_one_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reply_group, "MAX_GROUPS", 1)
    shop = account()
    message = sent(shop, BOB, ANN)
    block = (
        f"\r\nFinal-Recipient: rfc822; {ANN}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such account\r\n"
    ).encode()
    source = bounce(message_id=message.message_id)
    with CaptureQueriesContext(connection) as queries:
        receive(shop, source.replace(b"unknown\r\n\r\n", b"unknown\r\n" + block, 1))
    assert states(message) == {BOB: State.BOUNCED, ANN: State.BOUNCED}
    assert sum(one["sql"].startswith('INSERT INTO "outbox_replygroup"') for one in queries) == 1
    assert ReplyGroup.objects.count() == 2


@pytest.mark.parametrize("is_merged", [False, True])
def test_a_correction_takes_the_count_back(is_merged: bool) -> None:
    shop = account()
    message, other = sent(shop), sent(shop)
    report = report_of(receive(shop, bounce(message_id=message.message_id)))
    receive(shop, bounce(message_id=other.message_id))
    if is_merged:
        earlier = database_now(USING) - old_counts.COMPACTED_AFTER - dt.timedelta(hours=2)
        Event.objects.filter(message=message).update(at=earlier)
        minute = earlier.replace(second=0, microsecond=0)
        row = DeliveryCount.objects.filter(outcome=State.BOUNCED)[0]
        DeliveryCount.objects.all().delete()
        DeliveryTotal.objects.all().delete()
        of_row = (row.account_key, row.domain, row.outcome, row.reply_key)
        add({CountKey(minute, row.worker_key, *of_row): 2}, USING)
        while old_counts.compact(USING):
            pass
        assert set(DeliveryTotal.objects.values_list("worker_key", flat=True)) == {MERGED_WORKER}
    assert correct_report(report, message, ReportDecision.NOT_THIS)
    assert states(message) == {BOB: State.SENT}
    assert counted() == counted(DeliveryTotal) == 1


def test_a_correction_without_an_effect_takes_nothing_back() -> None:
    shop = account()
    message = sent(shop)
    first = receive(shop, bounce(message_id=message.message_id))
    receive(shop, bounce(message_id=message.message_id))
    assert correct_report(report_of(first), message, ReportDecision.NOT_THIS)
    assert states(message) == {BOB: State.BOUNCED}  # the second report says so as well
    assert counted() == 1


@ONE_WRITER
@pytest.mark.django_db(transaction=True)
def test_two_corrections_at_once_restore_the_state() -> None:
    shop = account()
    message = sent(shop)
    first, second = (
        report_of(receive(shop, bounce(message_id=message.message_id))) for _ in range(2)
    )
    with committed_before(
        'INSERT INTO "outbox_event"',
        lambda: correct_report(second, message, ReportDecision.NOT_THIS),
    ):
        assert correct_report(first, message, ReportDecision.NOT_THIS)
    assert states(message) == {BOB: State.SENT}
    assert counted() == 0


def test_a_retried_recipient_may_bounce_again() -> None:
    shop = account()
    message = sent(shop)
    receive(shop, bounce(message_id=message.message_id))
    api.retry(message)
    assert counted() == 1


def test_the_dashboard_shows_bounces_and_what_they_count(client: Client) -> None:
    shop = account()
    receive(shop, bounce(message_id=sent(shop).message_id))
    client.force_login(User.objects.create_superuser("root"))
    page = client.get("/admin/outbox/operations/").content.decode()
    assert "A correction removes it from the count." in page
    assert 'class="bounced"' in page
    assert "user unknown" in page
    assert operations.FailureRate(sent=10, failed=1, bounced=1).share == pytest.approx(2 / 11)
    assert operations.FailureRate(sent=0, failed=0, bounced=3).share == 1

"""One key, one message: a repeated key returns the earlier message, also in a race."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, connections, transaction

from outbox import api
from outbox.models import Account, Message, Recipient, Source, Status

pytestmark = pytest.mark.usefixtures("shop")
AT_ONCE = 6


def send(subject: str = "Welcome", key: str = "welcome 7") -> api.Handle:
    return api.send(to="ann@example.com", subject=subject, text=".", idempotency_key=key)


def test_the_earlier_mail_comes_back() -> None:
    first = send()

    assert send() == first
    assert Message.objects.count() == Source.objects.count() == Recipient.objects.count() == 1


def test_a_handle_says_whether_its_message_is_new() -> None:
    assert [send().created for _ in range(3)] == [True, False, False]
    assert api.send(to="ann@example.com", subject="Hello", text=".").created is True
    assert api.Handle(1).created is None


def test_a_cancelled_message_is_returned_as_an_existing_one() -> None:
    first = send()
    api.cancel(first)

    again = send()

    assert (again, again.created) == (first, False)
    assert again.status() == Status.CANCELLED
    assert api.retry(again, recipients=again.message().recipients.all()) == 1
    assert again.status() == Status.QUEUED


def test_the_key_of_a_deleted_message_is_free() -> None:
    first = send()
    first.message().delete()

    again = send("Later")

    assert again.created is True
    assert Message.objects.get().subject == "Later"


def rows(*subjects: str, **more: object) -> list[api.MergeRow]:
    return [api.MergeRow("ann@example.com", {"s": one}, **more) for one in subjects]  # type: ignore[arg-type]  # the test's own words


@pytest.mark.parametrize("batch_size", [1, 50])
def test_of_rows_with_one_key_all_but_the_first_are_refused_by_name(batch_size: int) -> None:
    def run() -> api.BulkResult:
        return api.send_many(
            rows("1", "2", "3"),
            subject="{{ s }}",
            idempotency_key="orders",
            batch_size=batch_size,
        )

    first, again = run(), run()

    assert (first.queued, first.known) == (1, 0)
    assert (again.queued, again.known) == (0, 1)
    for result in (first, again):  # a repeated run says it again
        assert [one.place for one in result.refused] == [1, 2]
        assert {one.error.field for one in result.refused} == {"idempotency_key"}
    assert Message.objects.get().subject == "1"


def test_rows_with_keys_of_their_own_are_messages_of_their_own() -> None:
    def run(*numbers: int) -> api.BulkResult:
        rows = [
            api.MergeRow("ann@example.com", {"s": one}, idempotency_key=f"order {one}")
            for one in numbers
        ]
        return api.send_many(rows, subject="{{ s }}", idempotency_key="orders")

    assert (run(1, 2).queued, run(2, 1, 3).known) == (2, 2)
    assert [handle.created for handle in run(3, 4).handles()] == [False, True]
    assert Message.objects.count() == 4


def test_the_key_of_a_row_serves_without_one_of_all() -> None:
    (row,) = rows("1", idempotency_key="order 1")

    for created in (True, False):
        (handle,) = api.send_many([row], subject="{{ s }}").handles()
        assert handle.created is created

    assert Message.objects.get().idempotency_key == "order 1"


def test_a_row_that_was_refused_keeps_no_key() -> None:
    rows = [
        api.MergeRow("ann@example.com", {}, idempotency_key="order 1"),
        api.MergeRow("ann@example.com", {"s": "1"}, idempotency_key="order 1"),
    ]

    result = api.send_many(rows, subject="{{ s }}")

    assert (result.queued, [one.place for one in result.refused]) == (1, [0])


def test_the_earlier_mail_stays_as_it_was() -> None:
    send("Welcome")
    send("Changed")

    assert Message.objects.get().subject == "Welcome"


def test_another_key_queues_another_message() -> None:
    assert send(key="welcome 7") != send(key="welcome 8")


def test_without_a_key_every_message_is_new() -> None:
    for _ in range(2):
        api.send(to="ann@example.com", subject="Hello", text=".")

    assert Message.objects.count() == 2


def test_a_key_whose_transaction_was_rolled_back_is_free() -> None:
    with transaction.atomic():
        send()
        transaction.set_rollback(True)

    send("Later")

    assert Message.objects.get().subject == "Later"


def test_of_one_call_the_first_of_a_key_is_queued() -> None:
    def outgoing(subject: str, key: str | None) -> api.Outgoing:
        return api.Outgoing(
            source=f"From: shop@example.com\r\nSubject: {subject}\r\n\r\n".encode(),
            envelope_sender="shop@example.com",
            recipients=[api.OutgoingRecipient("ann@example.com")],
            idempotency_key=key,
        )

    earlier = send("earlier", key="a").pk

    ids = api.queue_ids(
        [outgoing(*one) for one in (("1", None), ("2", "a"), ("3", "b"), ("4", "b"), ("5", None))]
    )

    subjects = dict(Message.objects.values_list("pk", "subject"))
    assert [subjects[pk] for pk in ids] == ["1", "earlier", "3", "3", "5"]
    assert ids[1] == earlier
    assert len(subjects) == 4
    assert set(Source.objects.values_list("pk", flat=True)) == set(subjects)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside a transaction"])
def test_in_a_race_one_wins_and_all_get_its_message(inside: bool, shop: Account) -> None:
    start = Barrier(AT_ONCE)

    def race(number: int) -> int:
        try:
            connection.ensure_connection()
            start.wait(10)
            if not inside:
                return send(f"from {number}").pk
            with transaction.atomic():
                return send(f"from {number}").pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids = set(pool.map(race, range(AT_ONCE)))

    assert ids == {Message.objects.get().pk}
    assert Recipient.objects.count() == Source.objects.count() == 1
